"""`Watched`: a body that reports how far it was read, for targets without progress of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from ..content.base import BlobBody
from ..content.blocks import BlockBody, Blocks, blocks_of
from ..content.progress import Progress

# Seconds between two reports: more often than people can read.
_TOLD_EVERY: Final = 0.05


class Watched(BlockBody):
    """Wraps a body. Bytes that the target does not ask for, since it has them, count as read."""

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

    def blocks(self, offset: int, length: int) -> Blocks | None:
        """As the wrapped body."""
        blocks = blocks_of(self._body, offset, length)
        return _WatchedBlocks(blocks, offset, self._progress) if blocks is not None else None

    async def close(self) -> None:
        """As the wrapped body."""
        await self._body.close()


class _WatchedBlocks(Blocks):
    """As `blocks`, which begin at `offset`. The loop is told how far they were read each time it looks for more."""

    def __init__(self, blocks: Blocks, offset: int, progress: Progress) -> None:
        self._blocks = blocks
        self._progress = progress
        self._offset = self._told = offset
        self._has_begun = False

    async def ready(self) -> None:
        """As the wrapped blocks."""
        if not self._has_begun:
            self._has_begun = True
            self._progress.goes_on(self._offset, "it was read again")
        self._tell()
        await self._blocks.ready()

    def take(self, most: int, buffer: memoryview | None = None) -> memoryview:
        """As the wrapped blocks."""
        piece = self._blocks.take(most, buffer)
        self._offset += len(piece)
        return piece

    async def close(self) -> None:
        """As the wrapped blocks."""
        self._tell()
        await self._blocks.close()

    def _tell(self) -> None:
        if self._offset > self._told:
            self._told = self._offset
            self._progress.moved(self._offset)
