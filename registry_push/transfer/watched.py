"""`Watched`: a body that tells how far it was read, for targets that tell nothing of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from ..content.base import BlobBody
from ..content.progress import Progress

# Seconds. Nobody reads progress more often.
_TOLD_EVERY: Final = 0.05


class Watched:
    """As the body that it wraps. What the target does not ask for, since it has it, was read before."""

    def __init__(self, body: BlobBody, progress: Progress) -> None:
        self._body = body
        self._progress = progress
        self._told_at = 0.0

    @property
    def size(self) -> int:
        """Of the wrapped body."""
        return self._body.size

    async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
        """As the wrapped body."""
        self._progress.goes_on(offset, "it was read again")
        end, clock = offset + length, asyncio.get_running_loop().time
        async for piece in self._body.open(offset, length):
            yield piece
            offset += len(piece)
            if offset == end or clock() - self._told_at >= _TOLD_EVERY:
                self._told_at = clock()
                self._progress.moved(offset)

    async def close(self) -> None:
        """As the wrapped body."""
        await self._body.close()
