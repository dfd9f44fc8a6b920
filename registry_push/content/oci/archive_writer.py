"""`OCIArchiveWriter`: an OCI image layout that is written into a tar file, as a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Self

from ...errors import BlobCorrupt, Interrupted, InvalidDigest, ManifestRefused, UsageError, printable
from ...events import Placement
from ...model import Descriptor, Digest, Manifest
from ...model.descriptor import MAX_SIZE
from ...pauses import unless_stopped
from ..base import BlobBody, Placed, Traits
from ..blocks import blocks_of
from ..body import BytesBody
from ..local_target import LocalTarget
from ..pouring import closed, pour, pour_blocks
from ..threads import in_thread
from . import tar
from .index import LayoutIndex
from .layout import VERSION
from .new_file import refuse_existing
from .partial_archive import PartialArchive

# Bytes for `index.json` if `expect` was not called: some 200 manifests.
_ROOM: Final = 64 * 1024


class OCIArchiveWriter(LocalTarget):
    """A new archive as a target. An async context manager; `finish` puts the archive under its name.

    `oci-layout` comes first and `index.json` second, so that the archive can be read as a stream: room for the index is
    reserved by `expect`, and filled at the end. Then come the blobs and manifests, in the order in which they are put.
    The same content in the same order results in the same bytes.

    Until `finish` all is in `FILE.partial`. What is not finished stays there, if it is worth it, and is continued by
    a run that expects the same manifests; any other starts again. When `stop` is set, a put ends at once.
    """

    def __init__(self, path: Path, *, stop: asyncio.Event | None = None) -> None:
        self.path = path
        self._stop = stop
        self._index = LayoutIndex()
        self._expected: bytes | None = None
        self._head = b""
        self._room = 0
        self._file: PartialArchive | None = None
        self._puts = 0
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._file is not None:
            await asyncio.shield(in_thread(self._file.leave))

    @property
    def origin(self) -> str:
        """The archive, as places are written."""
        return f"oci-archive:{self.path}"

    @property
    def name(self) -> str:
        """An archive is one repository, called by its file."""
        return f"oci-archive:{self.path}"

    @property
    def traits(self) -> Traits:
        """One blob after the other, so that every run has the same order."""
        return Traits(models=1, bodies=1, requests=1, small=MAX_SIZE, is_local=True)

    def check_is_new(self) -> None:
        """Raise `UsageError` if there is something at the path."""
        refuse_existing(self.path)

    def expect(self, manifests: Iterable[tuple[Manifest, str]]) -> None:
        """Reserve room in `index.json` for manifests under these names. Call it before anything is put."""
        assert self._file is None, "the room is kept at the beginning"
        index = LayoutIndex()
        for manifest, ref in manifests:
            index = index.holding(manifest, ref)
        self._expected = index.encode_sorted()

    async def exists(self, blob: Descriptor) -> bool:
        """Return whether the blob is in the archive, in its full size.

        What an earlier run has left is found by `put`.
        """
        return self._file is not None and self._file.blobs.get(blob.digest) == blob.size

    async def put(self, blob: Descriptor, body: BlobBody, *, candidates: Collection[str] = ()) -> Placed:
        """Append the blob. One that fails or is cancelled is cut off again, or kept for later if much of it is there.

        Raises `BlobCorrupt`, `Unavailable` if the disk is full, `Unwritable`, `Interrupted`, and what the body raises.
        """
        async with self._turn:
            return await self._put(await self._begun(), blob, body)

    async def put_manifest(self, manifest: Manifest, ref: str) -> None:
        """Append the manifest, and have `ref`, a name or its own digest, name it.

        Raises `ManifestRefused` if content it names is not here or the index has no room, `Unavailable` if the disk is
        full.
        """
        async with self._turn:
            file = await self._begun()
            missing = [str(digest) for digest in _lacking(manifest, file.blobs)]
            if missing:
                what = f"the manifest for {printable(ref)} names what is not here"
                raise ManifestRefused(f"{what}: {', '.join(missing)}")
            index = self._index.holding(manifest, ref)
            if len(index.encode_sorted()) > self._room:
                raise ManifestRefused(
                    f"{self.path} has no room for {printable(ref)} in its index.json",
                    hint="write fewer models into one archive",
                )
            await self._put(file, manifest.descriptor, BytesBody(manifest.raw))
            self._index = index

    async def digest_of(self, ref: str) -> Digest | None:
        """Return the digest of the manifest that was put under `ref`, a name or its own digest; None if none was."""
        with suppress(InvalidDigest):
            digest = Digest.parse(ref)
            return digest if self._file is not None and digest in self._file.blobs else None
        found = self._index.named(ref)
        return found.digest if found is not None else None

    async def lists(self, referrer: Manifest) -> bool:
        """Return whether `referrer` is in the index, if it is about another manifest."""
        return referrer.subject is None or self._index.with_digest(referrer.digest) is not None

    async def finish(self) -> None:
        """Complete the archive, and put it under its name, on the disk.

        Raises `UsageError` if it has no manifest or its name is taken, `Unavailable`.
        """
        async with self._turn:
            if self._file is None or not self._index.refs:
                raise UsageError(f"{self.path} would be an archive without a manifest", hint="copy at least one model")
            await in_thread(self._file.commit, self._index.encode_sorted().ljust(self._room))

    async def _put(self, file: PartialArchive, blob: Descriptor, body: BlobBody) -> Placed:
        if file.blobs.get(blob.digest) == blob.size:
            return Placed(Placement.PRESENT)
        if body.size != blob.size:
            raise BlobCorrupt(f"the content received for {blob.digest} has {body.size} bytes, not {blob.size}")
        self._puts += 1
        put, is_wrong = self._puts, False
        try:
            await in_thread(file.append, put, blob.digest, blob.size)
            while (kept := await in_thread(file.take_over_blob, put)) is None:
                self._check_stop()
            sent, found = blob.size - kept, await self._pour(file, put, blob, body, kept)
            if found is not None and kept:  # the earlier run's part may be wrong
                await in_thread(file.restart, put)
                sent, found = sent + blob.size, await self._pour(file, put, blob, body, 0)
            is_wrong = found is not None
        finally:
            await asyncio.shield(in_thread(file.take_back, put, is_wrong=is_wrong))
        if is_wrong:
            raise BlobCorrupt(f"the content received for {blob.digest} has the digest {found}")
        return Placed(Placement.UPLOADED, sent)

    async def _pour(
        self, file: PartialArchive, put: int, blob: Descriptor, body: BlobBody, offset: int
    ) -> Digest | None:
        """Append `body` from `offset`; return the digest of the whole if it is not the blob's."""
        if (blocks := blocks_of(body, offset, blob.size - offset)) is not None:

            def write(pieces: Sequence[bytes | memoryview]) -> None:
                self._check_stop()
                file.write(put, pieces)

            pouring = pour_blocks(blocks, blob.size - offset, write)
        else:
            pieces = self._until_stopped(body.open(offset, blob.size - offset))
            pouring = pour(pieces, partial(file.write, put))
        await unless_stopped(pouring, self._stop, self._when_stopped)
        return await in_thread(file.complete, put, blob.digest, blob.size)

    async def _until_stopped(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for piece in pieces:
                self._check_stop()
                yield piece
        finally:
            await closed(pieces)

    def _check_stop(self) -> None:
        if self._stop is not None and self._stop.is_set():
            raise Interrupted(self._when_stopped)

    @property
    def _when_stopped(self) -> str:
        return f"stopped while {self.path} was written; what there is of it is kept"

    async def _begun(self) -> PartialArchive:
        """Return the file, opened by the first call.

        Raises as `writing`, `Unwritable`, `Unavailable` if another copy writes it, and `UsageError` if it is there.
        """
        if self._file is None:
            self.check_is_new()
            expected = self._expected if self._expected is not None else b" " * _ROOM
            self._room = len(expected)
            head = b"".join(
                tar.file_header(name, len(content)) + content + bytes(tar.padding(len(content)))
                for name, content in (("oci-layout", VERSION), ("index.json", expected))
            )
            file = PartialArchive(self.path, head)
            try:
                await in_thread(file.begin)
                while await in_thread(file.take_over):
                    self._check_stop()
            except BaseException:  # cancelled too: the lock on it must go
                await asyncio.shield(in_thread(file.leave))
                raise
            self._file = file
        return self._file


def _lacking(manifest: Manifest, blobs: Mapping[Digest, int]) -> list[Digest]:
    missing = [blob.digest for blob in manifest.blobs if blobs.get(blob.digest) != blob.size]
    return [*missing, *(child.digest for child in manifest.manifests if child.digest not in blobs)]
