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
from .archive import OCIArchive
from .layout import OCILayout
from .tar_scan import Member

_FLAGS: Final = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_ANEW: Final = "export or copy the models into a new archive"


class LayoutMender(OCILayout):
    """As `OCILayout`, but a blob that is there is replaced, at once and only by content that has its digest."""

    def _begin(self, partial: PartialFile, blob: Descriptor) -> Spool:
        self._prepare()
        with writing(self.path):
            return partial if partial.begin(blob.size) else Spool(self.path)


class ArchiveMender:
    """Overwrites broken content of `archive` in its place, which must have the content's size.

    If that is cut, the content is as broken as before, and can be mended again.
    """

    def __init__(self, archive: OCIArchive, stop: asyncio.Event) -> None:
        self._archive = archive
        self._stop = stop

    async def put(self, blob: Descriptor, body: BlobBody, *, candidates: Collection[str] = ()) -> Placed:
        """Overwrite the blob, hashed on arrival. Cancelling leaves it broken.

        Raises `ArchiveCorrupt` if it has no place of its size, `BlobCorrupt` if the content has another digest,
        `Unwritable`, `Unavailable`, `Interrupted`, and what the body raises.
        """
        member = await self._archive.member_of(blob.digest)
        if member is None or member.size != blob.size:
            has = "no place for it" if member is None else f"a place of {member.size} bytes for it"
            raise ArchiveCorrupt(f"the archive has {has}, which can't be changed", hint=_ANEW)
        place = await opened(lambda: _Place(self._archive.path, member))
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
    """The bytes of `member` in the archive at `path`, open for writing. Every method blocks on the disk.

    One lock keeps `close` from closing the file under a thread whose caller was cancelled.
    """

    def __init__(self, path: Path, member: Member) -> None:
        self._path = path
        self._member = member
        self._lock = threading.Lock()
        self.running = RunningHash()
        with writing(path):
            self._descriptor: int | None = os.open(os.path.realpath(path), _FLAGS)

    def write(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Write what comes next. Raises `BlobCorrupt` if there is no more room for it."""
        with self._lock, writing(self._path):
            for piece in pieces:
                if self._descriptor is None:
                    return
                if self.running.offset + len(piece) > self._member.size:
                    raise BlobCorrupt(f"the content received for {self._path} is too long")
                write_all(self._descriptor, piece, self._member.offset + self.running.offset)
                self.running.take(self.running.offset, memoryview(piece))

    def sync(self) -> None:
        """Sync the content to the disk."""
        with self._lock, writing(self._path):
            if self._descriptor is not None:
                os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file. Waits for a thread that is writing. Safe to call twice."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
