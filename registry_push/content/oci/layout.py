"""`OCILayout`: content in an OCI image layout folder (image-spec, image-layout.md)."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from ...errors import (
    BlobCorrupt,
    BlobMissing,
    IntegrityError,
    InvalidDigest,
    ManifestRefused,
    StoreNotFound,
    printable,
)
from ...events import Placement
from ...model import Descriptor, Digest, Manifest
from ...model.export_document import ExportDocument
from ...model.manifest import MAX_MANIFEST_BYTES
from ...pauses import unless_stopped
from ..base import BlobBody, Placed
from ..blocks import blocks_of
from ..body import FileBody, opened
from ..folder_lock import locked
from ..local_target import LocalTarget
from ..partial_file import PartialFile
from ..pouring import pour, pour_blocks
from ..spool import Spool
from ..threads import in_thread
from ..write_errors import writing
from .index import LayoutIndex
from .layout_files import LayoutFiles, blob_path
from .reader import LayoutReader

VERSION: Final = json.dumps({"imageLayoutVersion": "1.0.0"}).encode()
# As for the blobs in them: other users can read what is copied for them.
_FOLDER_MODE: Final = 0o755


class OCILayout(LayoutReader, LocalTarget):
    """An image layout folder, created by the first write.

    Implements `Source[str | None]`, `Checker`, `TagLister` and `Target`.

    Blobs in `elsewhere` are left out: whoever reads it has them. When `stop` is set, a put ends at once, and the bytes
    received are kept. Links are followed inside the folder only. Writers in one process may share an object; processes
    take turns at `index.json`, if the system has `flock`.
    """

    def __init__(self, path: Path, *, elsewhere: Collection[Digest] = (), stop: asyncio.Event | None = None) -> None:
        self.path = path
        self._elsewhere = elsewhere
        self._stop = stop
        self._writing = threading.Lock()
        self._files = LayoutFiles(path)
        self._folders = tuple(str(path / name) for name in ("blobs", "blobs/sha256"))

    async def open(self, blob: Descriptor) -> FileBody:
        """Return the body of `blob`. Raises `BlobMissing`, and `BlobCorrupt` if its size is another."""
        body = await self.body(blob.digest)
        if body.size != blob.size:
            await body.close()
            raise self._misfit(blob, body.size)
        return body

    async def body(self, digest: Digest) -> FileBody:
        """Return the body of the blob `digest`, of whatever size. Raises `BlobMissing`, `BlobCorrupt`, `Unreadable`."""
        return FileBody(await opened(lambda: self._files.open(digest)), name=str(blob_path(self.path, digest)))

    async def has(self, digest: Digest) -> bool:
        """Return whether there is a file for `digest`."""
        return await in_thread(self._size, digest) is not None

    async def exists(self, blob: Descriptor) -> bool:
        """Return whether the blob is here, in its full size, or left out."""
        return blob.digest in self._elsewhere or await super().exists(blob)

    async def put(self, blob: Descriptor, body: BlobBody, *, candidates: Collection[str] = ()) -> Placed:
        """Put the blob here: under a temporary name, then on the disk, then under its own.

        If a killed or cancelled copy has left a large part of it, that is continued, and hashed with the rest.
        Raises `BlobCorrupt`, `Unavailable` if the disk is full, `Unwritable`, `Interrupted`, and what the body raises.
        """
        spool = await self._begun(blob)
        if spool is None:
            return Placed(Placement.PRESENT)
        try:
            sent = await self._filled(spool, blob, body)
            await self.adopt(spool, blob.digest)
        except BaseException:  # cancelled too: the lock on it must go
            await _leave(spool)
            raise
        return Placed(Placement.UPLOADED, sent)

    async def put_manifest(self, manifest: Manifest, ref: str) -> None:
        """Put the manifest under `ref`, a name or its own digest, instead of what was there.

        Raises `ManifestRefused` if content it names is not here, `Unavailable` if the disk is full.
        """
        missing = await in_thread(self._lacking, manifest)
        if missing:
            raise ManifestRefused(f"the manifest for {printable(ref)} names what is not here: {', '.join(missing)}")
        await self.add_manifest(manifest)
        if ref != str(manifest.digest):
            await self.update(lambda index: index.tagged(manifest.descriptor, ref))
        elif manifest.subject is not None:  # it is found by its subject
            await self.update(lambda index: index.added(manifest.descriptor))

    async def digest_of(self, ref: str) -> Digest | None:
        """Return the digest of the manifest under `ref`, a name or its own digest.

        None if there is none, or if content that it names is missing: then it is not all here. Raises
        `ManifestCorrupt` for a damaged index, `Unreadable`.
        """
        with suppress(InvalidDigest):
            digest = Digest.parse(ref)
            return digest if await self.has(digest) else None
        try:
            found = (await self.index()).named(ref)
        except StoreNotFound:
            return None
        return found.digest if found is not None and await self._is_whole(found) else None

    async def lists(self, referrer: Manifest) -> bool:
        """Return whether `referrer` is in the index, if it is about another manifest. Raises as `digest_of`."""
        try:
            return referrer.subject is None or (await self.index()).with_digest(referrer.digest) is not None
        except StoreNotFound:
            return False

    async def _is_whole(self, entry: Descriptor) -> bool:
        try:
            manifest = await self.manifest(entry)
            for each in (manifest, *await self.children(manifest)):
                await self.check(each)
        except (BlobMissing, IntegrityError):
            return False
        return True

    @property
    def origin(self) -> str:
        """The folder, as places are written."""
        return f"oci:{self.path}"

    @property
    def name(self) -> str:
        """A layout is one repository, called by its folder."""
        return f"oci:{self.path}"

    def exports(self) -> Sequence[ExportDocument]:
        """Return the document of the export that wrote the layout, if there is one."""
        found = self._files.read_export()
        return (found,) if found is not None else ()

    async def index(self) -> LayoutIndex:
        """Return what `index.json` says. Raises `StoreNotFound`, `ManifestCorrupt`, `Unreadable`."""
        return await self._files.index()

    async def update(self, change: Callable[[LayoutIndex], LayoutIndex]) -> None:
        """Replace `index.json` atomically by what `change` returns for it. Raises as `index`, and `Unavailable`."""
        await in_thread(self._update, change)

    async def add_manifest(self, manifest: Manifest) -> None:
        """Put the manifest's bytes among the blobs, not into the index. Raises `Unavailable`."""
        spool = await self.spool()
        try:
            await in_thread(self._write, spool, manifest.raw)
            await self.adopt(spool, manifest.digest)
        finally:
            await discard(spool)

    async def spool(self) -> Spool:
        """Return an empty spool for a blob of this layout. Raises `Unavailable`, `Unreadable`."""
        await self.make_folders()
        return Spool(self.path)

    async def make_folders(self) -> None:
        """Make the folders that blobs go into. Raises `Unavailable`, `Unreadable`."""
        await in_thread(self._prepare)

    async def adopt(self, spool: Spool, digest: Digest) -> None:
        """Make the content of `spool` the blob `digest`, which the caller has checked. Raises `Unavailable`."""
        await in_thread(self._adopt, spool, digest)

    def blob_path(self, digest: Digest) -> Path:
        """Return where the blob `digest` lies or would lie."""
        return blob_path(self.path, digest)

    async def _begun(self, blob: Descriptor) -> Spool | None:
        """Return the spool for `blob`: what an earlier run has left of it, unless another process is writing that.

        None if the blob is here. For a new blob, one turn of a thread does all of it: with a turn for each step, 100
        blobs of 5 MB took 1.05 of the time.
        """
        file = PartialFile(self.path / f".partial-{blob.digest.hex}")
        try:
            spool = await in_thread(self._begin, file, blob)
            while file.is_behind and await in_thread(self._take_over, file):
                pass
        except BaseException:  # cancelled too: the lock on it must go
            await _leave(file)
            raise
        return spool

    async def _filled(self, spool: Spool, blob: Descriptor, body: BlobBody) -> int:
        """Make the content of `spool` the blob's. Return how many bytes of it were received."""
        if body.size != blob.size:
            raise BlobCorrupt(f"the content received for {blob.digest} has {body.size} bytes, not {blob.size}")
        left = spool.size
        sent = await self._fill(spool, body)
        if left and spool.digest != blob.digest:  # the earlier run's part may be wrong
            await in_thread(self._rewind, spool)
            sent += await self._fill(spool, body)
        if spool.size != blob.size or spool.digest != blob.digest:
            await discard(spool)
            raise BlobCorrupt(f"the content received for {blob.digest} has the digest {spool.digest}")
        return sent

    async def _fill(self, spool: Spool, body: BlobBody) -> int:
        """Write what `spool` misses of `body`, unless told to stop, and return the number of bytes."""
        missing = body.size - spool.size
        if (blocks := blocks_of(body, spool.size, missing)) is not None:
            pouring = pour_blocks(blocks, missing, partial(self._append_all, spool), spool.hash)
        else:
            pouring = pour(body.open(spool.size, missing), partial(self._write_all, spool))
        await unless_stopped(pouring, self._stop, f"stopped while {self.path} was written; what there is of it is kept")
        return missing

    async def _raw_manifest(self, digest: Digest) -> bytes:
        return await self._files.manifest(digest)

    def _size(self, digest: Digest) -> int | None:
        return self._files.size(digest)

    def _read_blob(self, digest: Digest) -> bytes:
        return self._files.read_manifest(digest)

    def _read_index(self) -> LayoutIndex:
        return self._files.read_index()

    def _update(self, change: Callable[[LayoutIndex], LayoutIndex]) -> None:
        self._prepare()
        with self._writing, locked(self.path):
            try:
                index = self._read_index()
            except StoreNotFound:
                index = LayoutIndex()
            content = change(index).encode()
            if len(content) > MAX_MANIFEST_BYTES:
                raise ManifestRefused(
                    f"{self.path / 'index.json'} would have over {MAX_MANIFEST_BYTES} bytes, which nobody could read",
                    hint="write fewer models into one layout",
                )
            if not (self.path / "oci-layout").exists():
                self.replace_file("oci-layout", VERSION)
            self.replace_file("index.json", content)

    def replace_file(self, name: str, content: bytes) -> None:
        """Replace a file of the layout atomically. Blocks on the disk. Raises as `writing`."""
        path, spool = self.path / name, Spool(self.path)
        with writing(path):
            try:
                spool.write(content)
                spool.commit(path)
            finally:
                spool.discard()

    def _prepare(self) -> None:
        blobs = self.path / "blobs" / "sha256"
        if self._has_folders():
            return
        self._files.inside(blobs)  # a link there would have us write elsewhere
        with writing(blobs):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for folder in (self.path, blobs.parent, blobs):
                try:
                    folder.mkdir()
                except FileExistsError:
                    continue
                folder.chmod(_FOLDER_MODE)

    def _has_folders(self) -> bool:
        """Return whether the folders are there, and no links. It is asked before each blob, so it has to be cheap."""
        with suppress(OSError):
            return all(stat.S_ISDIR(os.lstat(folder).st_mode) for folder in self._folders)
        return False

    def _begin(self, partial: PartialFile, blob: Descriptor) -> Spool | None:
        if self._size(blob.digest) == blob.size:
            return None
        self._prepare()
        with writing(self.path):
            return partial if partial.begin(blob.size) else Spool(self.path)

    def _take_over(self, partial: PartialFile) -> bool:
        with writing(self.path):
            return partial.take_over()

    def _rewind(self, spool: Spool) -> None:
        with writing(self.path):
            spool.restart()

    def _lacking(self, manifest: Manifest) -> list[str]:
        wanted = [blob for blob in manifest.blobs if blob.digest not in self._elsewhere]
        missing = [blob.digest for blob in wanted if self._size(blob.digest) != blob.size]
        missing += [child.digest for child in manifest.manifests if self._size(child.digest) is None]
        return [str(digest) for digest in missing]

    def _write_all(self, spool: Spool, pieces: Sequence[bytes | memoryview]) -> None:
        with writing(self.path):
            for piece in pieces:
                spool.write(piece)

    def _append_all(self, spool: Spool, pieces: Sequence[bytes | memoryview]) -> None:
        with writing(self.path):
            for piece in pieces:
                spool.append(piece)

    def _write(self, spool: Spool, piece: bytes) -> None:
        with writing(self.path):
            spool.write(piece)

    def _adopt(self, spool: Spool, digest: Digest) -> None:
        with writing(self.path):
            spool.commit(self.blob_path(digest))


async def _leave(spool: Spool) -> None:
    """As `discard`, but keep a large part for a later run."""
    await asyncio.shield(in_thread(spool.leave))


async def discard(spool: Spool) -> None:
    """Discard `spool` in a thread, which ends its work even when the caller is cancelled once more."""
    await asyncio.shield(in_thread(spool.discard))
