"""`VolumeWriter`: an OCI image layout that is written into one tar file, or cut into several volumes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Self

from ...errors import BlobCorrupt, Interrupted, InvalidDigest, ManifestRefused, Unavailable, UsageError, printable
from ...events import Placement
from ...model import Descriptor, Digest, Manifest
from ...model.descriptor import MAX_SIZE
from ...pauses import unless_stopped
from ...text.sizes import size
from ..base import BlobBody, Placed, Traits
from ..blocks import blocks_of
from ..local_target import LocalTarget
from ..partial_file import WORTH_KEEPING, PartialFile
from ..pouring import closed, pour, pour_blocks
from ..spool import Spool, sync_folder
from ..threads import in_thread
from ..write_errors import free_bytes, writing
from .appending import Appending
from .index import LayoutIndex
from .new_file import refuse_existing
from .volume_file import VolumeFile
from .volume_names import TAR, refuse_other_sums, refuse_other_volumes, sum_line
from .volume_plan import Entry, VolumePlan, blobs_of


class VolumeWriter(LocalTarget):
    """A new archive, or a new set of volumes of at most `split` bytes each, as a target. An async context manager.

    `expect` comes first: it decides which bytes go where, so that the same content has the same bytes. Each file is a
    layout of its own, with every manifest, and the blobs in the order of their digests; a blob larger than a volume
    lies in parts in several ones. Blobs in `elsewhere` are left out: whoever reads the archive has them.

    Until `finish` the files have `.partial` after their names. What a killed run has left is continued by one that
    expects the same, and no more than a blob is written again. When `stop` is set, a put ends at once.
    """

    def __init__(
        self,
        path: Path,
        *,
        split: int | None = None,
        elsewhere: Collection[Digest] = (),
        stop: asyncio.Event | None = None,
    ) -> None:
        self.path = path
        self._split = split
        self._elsewhere = frozenset(elsewhere)
        self._stop = stop
        self._plan: VolumePlan | None = None
        self._manifests: dict[Digest, Manifest] = {}
        self._files: list[VolumeFile] = []
        self._order: list[Digest] = []  # what is not written yet, the next one last
        self._done: set[Digest] = set()
        self._put_refs: dict[str, Digest] = {}
        self._turn = asyncio.Lock()
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="export")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.shield(in_thread(_leave, self._files))

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
        """One blob after the other, in the order of the files."""
        return Traits(models=1, bodies=1, requests=1, small=MAX_SIZE, is_local=True, in_order=True)

    @property
    def plan(self) -> VolumePlan:
        """What is written where; known once it is expected."""
        assert self._plan is not None, "it is expected before"
        return self._plan

    def check_is_new(self) -> None:
        """Raise `UsageError` if there is something at the path, or where its sums go."""
        refuse_existing(self.path)
        if self._split is not None:
            refuse_existing(self.path.with_name(f"{self._stem}.v001{TAR}"))
        refuse_other_sums(self.sums_path, self._stem)

    @property
    def _stem(self) -> str:
        return self.path.name.removesuffix(TAR)

    @property
    def sums_path(self) -> Path:
        """Where the sums of all files are, as `sha256sum -c` reads them."""
        return self.path.with_name(f"{self._stem}.sha256")

    def expect(self, manifests: Iterable[tuple[Manifest, str]]) -> None:
        """Plan the files for these manifests, each under a name or its own digest.

        Raises `UsageError` if nobody could read them, `ManifestCorrupt` if two manifests contradict each other.
        """
        assert not self._files, "the plan comes first"
        index, found = LayoutIndex(), list(manifests)
        for manifest, ref in found:
            index = index.holding(manifest, ref)
        self._manifests = {manifest.digest: manifest for manifest, _ in found}
        blobs = blobs_of(self._manifests.values())
        self._plan = plan = VolumePlan.of(
            self._stem,
            index=index.encode_sorted(),
            names={(ref, manifest.digest) for manifest, ref in found if ref != str(manifest.digest)},
            manifests=[manifest.descriptor for manifest in self._manifests.values()],
            blobs=[blob for blob in blobs.values() if blob.digest not in self._elsewhere],
            requires=[digest for digest in blobs if digest in self._elsewhere],
            split=self._split,
        )
        self._order = sorted(plan.places, reverse=True)

    async def exists(self, blob: Descriptor) -> bool:
        """Return whether the blob is in the files, or left out. What an earlier run has left is found by `put`."""
        return any(blob.digest in each for each in (self._done, self._elsewhere, self._manifests))

    async def put(self, blob: Descriptor, body: BlobBody, *, candidates: Collection[str] = ()) -> Placed:
        """Append the blob, which is the next one by its digest. One that fails or is cancelled can be continued.

        Raises `BlobCorrupt`, `Unavailable` if the disk is full, `Unwritable`, `Interrupted`, and what the body raises.
        """
        async with self._turn:
            if await self.exists(blob):
                return Placed(Placement.PRESENT)
            if body.size != blob.size:
                raise BlobCorrupt(f"the content received for {blob.digest} has {body.size} bytes, not {blob.size}")
            await self._begin()
            await self._write_manifests(until=blob.digest)
            return await self._append(blob, body)

    async def put_manifest(self, manifest: Manifest, ref: str) -> None:
        """Have `ref`, a name or its own digest, name the manifest, which is in every file.

        Raises `ManifestRefused` if content that it names is not there, or it was not expected.
        """
        async with self._turn:
            lacking = [str(blob.digest) for blob in manifest.blobs if not await self.exists(blob)]
            if lacking:
                what = f"the manifest for {printable(ref)} names what is not here"
                raise ManifestRefused(f"{what}: {', '.join(lacking)}")
            if manifest.digest not in self._manifests:
                raise ManifestRefused(f"{self.path} has no room for {printable(ref)}, which was not expected")
            self._put_refs[ref] = manifest.digest

    async def digest_of(self, ref: str) -> Digest | None:
        """Return the digest of the manifest that was put under `ref`; None if none was."""
        with suppress(InvalidDigest):
            digest = Digest.parse(ref)
            return digest if digest in self._put_refs.values() else None
        return self._put_refs.get(ref)

    async def lists(self, referrer: Manifest) -> bool:
        """Return whether `referrer` was put, if it is about another manifest."""
        return referrer.subject is None or referrer.digest in self._put_refs.values()

    async def finish(self) -> None:
        """Complete the files, and put them under their names, on the disk, the first volume last.

        Raises `UsageError` if there is no manifest or a name is taken, `Unavailable`.
        """
        async with self._turn:
            if self._plan is None or not self._put_refs:
                raise UsageError(f"{self.path} would be an archive without a manifest", hint="copy at least one model")
            await self._begin()
            await self._write_manifests(until=None)
            assert not self._order, "every blob was put"
            await in_thread(self._finish)

    async def _begin(self) -> None:
        """Open the files, once. Raises as `VolumeFile.open`, and `Unavailable` if the disk has too little room."""
        if self._files:
            return
        self.check_is_new()
        if self._split is not None:
            refuse_other_volumes(self.path.parent, self._stem, [each.name for each in self.plan.files])
        files = [VolumeFile(self.path.parent, each) for each in self.plan.files]
        try:
            await in_thread(self._open, files)
        except BaseException:  # cancelled too: the locks on them must go
            await asyncio.shield(in_thread(_leave, files))
            raise
        self._files = files

    def _open(self, files: Sequence[VolumeFile]) -> None:
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        for file in files:
            file.open(self.plan.document)
        needed = sum(file.plan.size - min(file.there, file.plan.size) for file in files)
        free = free_bytes(self.path.parent)
        if free is not None and free < needed:
            raise Unavailable(
                f"{self.path.parent} has room for {size(free)}, and {size(needed)} are to be written",
                hint="make room, or name another folder; nothing was written",
            )

    async def _write_manifests(self, until: Digest | None) -> None:
        """Write the manifests whose turn is before that of the blob `until`."""
        while self._order and self._order[-1] != until:
            digest = self._order[-1]
            assert digest in self._manifests, "blobs are put in the order of their digests"
            for place in self._places(digest):
                appending = Appending([place], self._hashing)
                try:
                    await in_thread(_append_all, appending, self._manifests[digest])
                finally:
                    await asyncio.shield(in_thread(appending.give_up, forget=False))
            self._order.pop()

    async def _append(self, blob: Descriptor, body: BlobBody) -> Placed:
        appending = Appending(self._places(blob.digest), self._hashing)
        is_wrong = False
        try:
            sent, is_right = await self._pour(appending, blob, body)
            if not is_right and sent < blob.size:  # what was there may be wrong
                await in_thread(appending.restart)
                again, is_right = await self._pour(appending, blob, body)
                sent += again
            is_wrong = not is_right
        finally:
            await asyncio.shield(in_thread(appending.give_up, forget=is_wrong))
        if is_wrong:
            raise BlobCorrupt(f"the content received for {blob.digest} has another digest")
        self._done.add(self._order.pop())
        return Placed(Placement.UPLOADED, sent) if sent or not blob.size else Placed(Placement.PRESENT)

    def _places(self, digest: Digest) -> list[tuple[VolumeFile, Entry]]:
        return [(self._files[number], entry) for number, entry in self.plan.places[digest]]

    async def _pour(self, appending: Appending, blob: Descriptor, body: BlobBody) -> tuple[int, bool]:
        """Append what is missing of `body`, piece by piece.

        Return how many bytes that was, and whether the whole has the right digest.
        """
        sent = 0
        while appending.size < blob.size:
            while await in_thread(appending.take_over):
                self._check_stop()
            if length := appending.left:
                pouring = self._pour_piece(appending, body, appending.size, length)
                await unless_stopped(pouring, self._stop, self._when_stopped)
                sent += length
        return sent, await in_thread(appending.complete, blob.digest)

    async def _pour_piece(self, appending: Appending, body: BlobBody, offset: int, length: int) -> None:
        if (blocks := blocks_of(body, offset, length)) is None:
            await pour(self._until_stopped(body.open(offset, length)), appending.write)
            return

        def write(pieces: Sequence[bytes | memoryview]) -> None:
            self._check_stop()
            appending.write(pieces)

        await pour_blocks(blocks, length, write)

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

    def _finish(self) -> None:
        count, document = len(self._files), self.plan.document
        sums: list[Digest | None] = [None] * count
        for n in (*range(1, count), 0):  # the first one knows the sums of all others
            said = document.of_volume(n + 1, sums) if document.volumes else document
            sums[n] = self._files[n].finish(said.encode())
        lines = [sum_line(found, file.plan.name) for found, file in zip(sums, self._files, strict=True) if found]
        self._write_sums("".join(lines))
        for n in (*range(1, count), 0):  # once the first one is there, all are
            self._files[n].rename()
            sync_folder(self.path.parent)

    def _write_sums(self, text: str) -> None:
        # By this name a killed export finds it again.
        partial = PartialFile(self.sums_path.with_name(f"{self.sums_path.name}.partial"))
        with writing(self.sums_path):
            spool = partial if partial.begin(0) else Spool(self.path.parent)
            try:
                spool.write(text.encode())
                spool.commit(self.sums_path)
            finally:
                spool.discard()


def _append_all(appending: Appending, manifest: Manifest) -> None:
    while appending.take_over():
        pass
    appending.write([manifest.raw[appending.size :]])
    if not appending.complete(manifest.digest):
        appending.restart()
        appending.write([manifest.raw])
        appending.complete(manifest.digest)


def _leave(files: Sequence[VolumeFile]) -> None:
    """Close `files`, and remove them if there is too little in them to be worth keeping."""
    written = sum(file.there - len(file.plan.head) for file in files)
    for file in files:
        if written < WORTH_KEEPING:
            file.remove()
        else:
            file.close()
