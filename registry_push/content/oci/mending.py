"""`LayoutMender` and `ArchiveMender`: replace broken blobs of image layouts."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from ...errors import ArchiveCorrupt, BlobCorrupt
from ...events import Placement
from ...model import Descriptor
from ...pauses import unless_stopped
from ..base import BlobBody, Placed
from ..blocks import blocks_of
from ..body import opened
from ..hashing import RunningHash
from ..ollama.folder import write_all
from ..partial_file import PartialFile
from ..pouring import pour, pour_blocks
from ..spool import Spool
from ..threads import in_thread
from ..write_errors import writing
from .archive import Extent, OCIArchive
from .layout import OCILayout
from .volume_set import VolumeSet

_FLAGS: Final = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_ANEW: Final = "export or copy the models into a new archive"


class LayoutMender(OCILayout):
    """As `OCILayout`, but a blob that is there is replaced, at once and only by content that has its digest."""

    def _begin(self, partial: PartialFile, blob: Descriptor) -> Spool:
        self._prepare()
        with writing(self.path):
            return partial if partial.begin(blob.size) else Spool(self.path)


class ArchiveMender:
    """Overwrites broken content of `archive`, or of several volumes, in its place, which must have the content's size.

    If that is cut, the content is as broken as before, and can be mended again.
    """

    def __init__(self, archive: OCIArchive | VolumeSet, stop: asyncio.Event) -> None:
        self._archive = archive
        self._stop = stop

    async def put(self, blob: Descriptor, body: BlobBody, *, candidates: Collection[str] = ()) -> Placed:
        """Overwrite the blob, hashed on arrival. Cancelling leaves it broken.

        Raises `ArchiveCorrupt` if it has no place of its size, `BlobCorrupt` if the content has another digest,
        `Unwritable`, `Unavailable`, `Interrupted`, and what the body raises.
        """
        extents = await in_thread(self._archive.extents, blob.digest)
        if (room := sum(each.size for each in extents)) != blob.size:
            has = f"a place of {room} bytes for it" if extents else "no place for it"
            raise ArchiveCorrupt(f"the archive has {has}, which can't be changed", hint=_ANEW)
        place = await opened(lambda: _Place(extents))
        try:
            stopped = f"stopped while {self._archive.path} was mended"
            await unless_stopped(_filled(place, blob, body), self._stop, stopped)
            if place.running.offset != blob.size or place.running.digest != blob.digest:
                raise BlobCorrupt(f"the content received for {blob.digest} has the digest {place.running.digest}")
            await in_thread(place.sync)
        finally:
            await asyncio.shield(in_thread(place.close))
        return Placed(Placement.UPLOADED, blob.size)


async def _filled(place: _Place, blob: Descriptor, body: BlobBody) -> None:
    if (blocks := blocks_of(body, 0, blob.size)) is not None:
        await pour_blocks(blocks, blob.size, place.write)
    else:
        await pour(body.open(0, blob.size), place.write)


class _Place:
    """The bytes of `extents`, one after the other, open for writing. Every method blocks on the disk.

    One lock keeps `close` from closing the files under a thread whose caller was cancelled.
    """

    def __init__(self, extents: Sequence[Extent]) -> None:
        self._lock = threading.Lock()
        self.running = RunningHash()
        self._left = [*extents]  # where what comes next goes
        self._descriptors: dict[Path, int] = {}
        try:
            for path in dict.fromkeys(each.path for each in extents):
                with writing(path):
                    self._descriptors[path] = os.open(os.path.realpath(path), _FLAGS)
        except BaseException:  # nobody else closes the others
            self.close()
            raise

    def write(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Write what comes next. Raises `BlobCorrupt` if there is no more room for it."""
        with self._lock:
            for piece in pieces:
                rest = memoryview(piece)
                while rest and self._descriptors:
                    rest = self._written(rest)

    def _written(self, rest: memoryview) -> memoryview:
        """Write what of `rest` belongs into the next extent; return what is left of it."""
        if not self._left:
            raise BlobCorrupt(f"the content received for {', '.join(map(str, self._descriptors))} is too long")
        extent = self._left.pop(0)
        now = rest[: extent.size]
        with writing(extent.path):
            write_all(self._descriptors[extent.path], now, extent.offset)
        self.running.take(self.running.offset, now)
        if len(now) < extent.size:
            self._left.insert(0, Extent(extent.path, extent.offset + len(now), extent.size - len(now)))
        return rest[len(now) :]

    def sync(self) -> None:
        """Sync the content to the disk."""
        with self._lock:
            for path, descriptor in self._descriptors.items():
                with writing(path):
                    os.fsync(descriptor)

    def close(self) -> None:
        """Close the files. Waits for a thread that is writing. Safe to call twice."""
        with self._lock:
            for descriptor in self._descriptors.values():
                os.close(descriptor)
            self._descriptors.clear()
