"""Files that are no blobs, read from a coroutine: keys, logins, manifests, indexes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from .ollama.paths import regular_descriptor
from .threads import ended, no_thread

# Opens a file for reading and returns its descriptor.
Opener = Callable[[Path], int]


def linked_descriptor(path: Path) -> int:
    """As `regular_descriptor`, links followed."""
    return regular_descriptor(Path(os.path.realpath(path)))


async def read_small_file(path: Path, limit: int, opener: Opener = regular_descriptor) -> bytes:
    """Return the content of `path`. Cancelling is safe: it waits until the file is closed.

    Raises `OSError`, `OutOfResources` if no thread can be started, what `opener` raises, and `ValueError` if there are
    more than `limit` bytes.
    """
    reading = asyncio.ensure_future(_read(path, limit, opener))
    try:
        content = await asyncio.shield(reading)
    except asyncio.CancelledError:
        await ended(reading)  # else a loop that closes now would leave the file open
        raise
    except RuntimeError as error:
        if (short := no_thread(error)) is not None:
            raise short from error
        raise
    if len(content) > limit:
        raise ValueError(f"has more than {limit} bytes")
    return content


async def _read(path: Path, limit: int, opener: Opener) -> bytes:
    import aiofiles  # takes 1.5 ms

    async with aiofiles.open(path, "rb", opener=lambda name, _: opener(Path(name))) as file:
        return await file.read(limit + 1)
