"""Content on its way to a disk: pieces are hashed and written in threads while the next ones are awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from .threads import in_thread

# Bytes that go to a thread at once: networks deliver far shorter pieces, and a hop costs as much as hashing 50 KB.
_BATCH: Final = 1024 * 1024


async def pour(pieces: AsyncIterator[bytes], write: Callable[[Sequence[bytes]], None]) -> None:
    """Have threads `write` all of `pieces`, in their order. Raises what `write` and `pieces` raise.

    When it ends, however it does, `pieces` is closed, and no thread writes any more, unless it is cancelled twice.
    """
    batch: list[bytes] = []
    held = 0
    writing: asyncio.Task[None] | None = None
    try:
        async for piece in pieces:
            batch.append(piece)
            held += len(piece)
            if held >= _BATCH:
                if writing is not None:
                    await writing
                writing = asyncio.create_task(in_thread(write, batch))
                batch, held = [], 0
        if writing is not None:
            await writing
        if batch:
            await in_thread(write, batch)
    finally:
        if writing is not None:
            await asyncio.gather(writing, return_exceptions=True)
        await closed(pieces)


async def closed(pieces: AsyncIterator[bytes]) -> None:
    """End a body that was not read to its end: what it holds, such as a connection, is not left to chance."""
    close = getattr(pieces, "aclose", None)
    if close is not None:
        await close()
