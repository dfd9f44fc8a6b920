"""`Job`: one push under way, and its stream, which any number of clients read, each from the beginning.

Lines that must not be lost (that a blob begins or is done, the manifest, the end) are in a list that only grows, two
lines a blob; every reader has a position in it. Progress in between is one number for each blob under way, overwritten
as it moves: a slow reader sees it less often, and neither slows the upload nor uses more memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

from msgspec import Struct

from ..errors import RegistryPushError
from ..events import (
    BlobDone,
    BlobProgress,
    BlobRewound,
    BlobStarted,
    Event,
    ManifestPushed,
    ModelStarted,
)
from ..model import Digest
from . import lines
from .failures import words_of

# Seconds between two looks at the progress, as in Ollama's server/upload.go.
PACE: Final = 0.06
# Lines returned at once: a reader that comes late to a model of 10,000 blobs gets them in pieces.
_AT_ONCE: Final = 256


class Reported(Struct, frozen=True):
    """A line for every reader; if it reports the beginning of an upload, `begins` is the blob and its progress."""

    line: bytes
    begins: tuple[Digest, int] | None = None


class Job:
    """A push that several clients may wait for. It is called with the push's events, and `end` once."""

    def __init__(self) -> None:
        self.told: list[Reported] = [Reported(lines.RETRIEVING)]
        self.moving: dict[Digest, tuple[int, int]] = {}  # for each blob under way: bytes so far, and in all
        self.error: RegistryPushError | None = None
        self._blobs_left = 0
        self._told_of_manifest = False
        self._news = asyncio.Event()
        self._over = asyncio.Event()

    def __call__(self, event: Event) -> None:
        """Take an event; never blocks."""
        match event:
            case ModelStarted():
                self._blobs_left = event.blobs
            case BlobStarted(blob=blob, offset=offset):
                self.moving[blob.digest] = offset, blob.size
                self._tell(lines.pushing(blob.digest, blob.size, offset), begins=(blob.digest, offset))
                self._tell(lines.starting(blob))
            case BlobProgress() | BlobRewound():
                self.moving[event.digest] = event.offset, event.size
            case BlobDone(blob=blob):
                self.moving.pop(blob.digest, None)
                self._tell(lines.pushing(blob.digest, blob.size, blob.size))
                self._blobs_left -= 1
                if not self._blobs_left:
                    self._tell_of_manifest()
            case ManifestPushed():
                self._tell_of_manifest()
            case _:
                pass

    def end(self, error: RegistryPushError | None) -> None:
        """End the stream; `error` says why, if the push failed."""
        self.error = error
        self.moving.clear()
        self._over.set()
        self._tell(lines.SUCCESS if error is None else lines.failed(words_of(error)))

    @property
    def is_over(self) -> bool:
        """Whether the last line has been added."""
        return self._over.is_set()

    async def over(self) -> None:
        """Wait for the end of the push."""
        await self._over.wait()

    async def news(self) -> None:
        """Wait for the next line."""
        await self._news.wait()

    def _tell_of_manifest(self) -> None:
        """Add the line before the manifest's: after the last blob, or at the manifest if there are none."""
        if not self._told_of_manifest:
            self._told_of_manifest = True
            self._tell(lines.PUSHING_MANIFEST)

    def _tell(self, line: bytes, *, begins: tuple[Digest, int] | None = None) -> None:
        self.told.append(Reported(line, begins))
        self._news.set()
        self._news = asyncio.Event()


class Reader:
    """One client's position in a job's stream."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._place = 0
        self._shown: dict[Digest, int] = {}  # the progress last sent for each blob under way

    async def begun(self, patience: float) -> None:
        """Wait for more than the first line: until the registry has let us in, or the push is over.

        Waits for `patience` seconds at most.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while len(self._job.told) == 1:
                    await self._job.news()

    async def next(self) -> bytes:
        """Return the lines that are due, empty at the end.

        If nothing is due, wait up to `PACE` seconds for the next progress.
        """
        if self._place == len(self._job.told):
            await _at_most(PACE, self._job.over())
        while not (text := self._take()) and not self._job.is_over:
            await _at_most(PACE if self._job.moving else None, self._job.news())
        return text

    def _take(self) -> bytes:
        told = self._job.told[self._place : self._place + _AT_ONCE]
        self._place += len(told)
        text = b"".join(each.line for each in told)
        if self._place < len(self._job.told):
            return text
        moving = self._job.moving
        self._shown = {digest: offset for digest, offset in self._shown.items() if digest in moving}
        begun = dict(each.begins for each in told if each.begins is not None)
        for digest, (offset, size) in moving.items():
            # 100 % is reported when the registry has confirmed the blob.
            if offset < size and digest not in begun and self._shown.get(digest) != offset:
                text += lines.pushing(digest, size, offset)
                self._shown[digest] = offset
        self._shown |= begun
        return text


async def _at_most(seconds: float | None, what: Coroutine[Any, Any, None]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await what
