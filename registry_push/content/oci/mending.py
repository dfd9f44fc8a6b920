"""`LayoutMender` and `ArchiveMender`: replace broken blobs of image layouts."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Collection, Sequence
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
from .archive import OCIArchive
from .layout import OCILayout
from .tar_scan import Room
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
    """Overwrites broken content of `archive`, or of a set of volumes, in its place, which must have the content's size.

    If that is cut, the content is as broken as before, and can be mended again.
    """

    def __init__(self, archive: OCIArchive | VolumeSet, stop: asyncio.Event) -> None:
        self._archive = archive
        self._stop = stop

    async def put(self, blob: Descriptor, body: BlobBody, *, candidates: Collection[str] = ()) -> Placed:
        """Overwrite the blob, hashed on arrival, wherever it lies. Cancelling leaves it broken.

        Raises `ArchiveCorrupt` if it has no place of its size, `BlobCorrupt` if the content has another digest,
        `Unwritable`, `Unavailable`, `Interrupted`, and what the body raises.
        """
        copies = await in_thread(self._archive.rooms, blob.digest)
        sizes = [sum(room.size for room in rooms) for rooms in copies]
        if not sizes or {*sizes} != {blob.size}:
            has = f"a place of {sizes[0]} bytes for it" if sizes else "no place for it"
            raise ArchiveCorrupt(f"the archive has {has}, which can't be changed", hint=_ANEW)
        for rooms in copies:
            await self._overwrite(rooms, blob, body)
        return Placed(Placement.UPLOADED, blob.size * len(copies))

    async def _overwrite(self, rooms: Sequence[Room], blob: Descriptor, body: BlobBody) -> None:
        place = await opened(lambda: _Place(rooms))
        try:
            stopped = f"stopped while {self._archive.path} was mended"
            await unless_stopped(_filled(place, blob, body), self._stop, stopped)
            if place.running.offset != blob.size or place.running.digest != blob.digest:
                raise BlobCorrupt(f"the content received for {blob.digest} has the digest {place.running.digest}")
            await in_thread(place.sync)
        finally:
            await asyncio.shield(in_thread(place.close))


async def _filled(place: _Place, blob: Descriptor, body: BlobBody) -> None:
    if (blocks := blocks_of(body, 0, blob.size)) is not None:
        await pour_blocks(blocks, blob.size, place.write)
    else:
        await pour(body.open(0, blob.size), place.write)


class _Place:
    """The bytes of `rooms`, which follow each other, open for writing. Every method blocks on the disk.

    One lock keeps `close` from closing the files under a thread whose caller was cancelled.
    """

    def __init__(self, rooms: Sequence[Room]) -> None:
        self._rooms = rooms
        self._lock = threading.Lock()
        self._descriptors: list[int] = []
        self.running = RunningHash()
        try:
            for room in rooms:
                with writing(room.path):
                    self._descriptors.append(os.open(os.path.realpath(room.path), _FLAGS))
        except BaseException:  # nobody else closes those that are open
            self.close()
            raise

    def write(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Write what comes next. Raises `BlobCorrupt` if there is no more room for it."""
        with self._lock:
            for piece in pieces:
                if self._descriptors:
                    self._write(memoryview(piece))

    def _write(self, piece: memoryview) -> None:
        start = 0  # of the room, in the content
        for room, descriptor in zip(self._rooms, self._descriptors, strict=True):
            at = self.running.offset - start
            if at < room.size and piece:
                now, piece = piece[: room.size - at], piece[room.size - at :]
                with writing(room.path):
                    write_all(descriptor, now, room.offset + at)
                self.running.take(self.running.offset, now)
            start += room.size
        if piece:
            raise BlobCorrupt(f"the content received for {self._rooms[0].path} is too long")

    def sync(self) -> None:
        """Sync the content to the disk."""
        with self._lock:
            for room, descriptor in zip(self._rooms, self._descriptors, strict=False):
                with writing(room.path):
                    os.fsync(descriptor)

    def close(self) -> None:
        """Close the files. Waits for a thread that is writing. Safe to call twice."""
        with self._lock:
            while self._descriptors:
                os.close(self._descriptors.pop())
