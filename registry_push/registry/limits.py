"""What one run may do at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..protocol.chunks import SINGLE_PUT


class Limits:
    """Slots for bodies. Only a request with a body takes one, for as long as the body moves.

    Small blobs have a lane of their own, so that a config of 500 bytes never waits behind 40 GB.
    """

    def __init__(self, jobs: int) -> None:
        self._large = asyncio.Semaphore(jobs)
        self._small = asyncio.Semaphore(jobs)
        # Parts go to a storage that is built for many: with eight jobs, sixteen at once, as Ollama's own client.
        self._parts = asyncio.Semaphore(2 * jobs)

    @asynccontextmanager
    async def body(self, blob_size: int) -> AsyncIterator[None]:
        """Holds a slot for one body of a blob of `blob_size` bytes."""
        async with self._small if blob_size <= SINGLE_PUT else self._large:
            yield

    @asynccontextmanager
    async def part(self) -> AsyncIterator[None]:
        """Holds a slot for a part that goes to a storage."""
        async with self._parts:
            yield
