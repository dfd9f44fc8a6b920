"""`RemoteBody`: a blob at a registry, read in order, and gone on with where the line broke."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from ..errors import BlobCorrupt, Interrupted, RegistryPushError, SourceUnavailable, TLSFailed, Unavailable
from ..events import Retrying, Sink
from ..model import Descriptor
from ..pauses import Pauses

# Opens the blob's content from an offset to its end.
Opener = Callable[[int], AbstractAsyncContextManager[AsyncIterator[bytes]]]


class _Reader:
    """One answer that is being read: its pieces from `offset` on, with what was left of the last one."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.held = AsyncExitStack()
        self._rest = b""
        self._pieces: AsyncIterator[bytes] | None = None

    async def open(self, opener: Opener) -> None:
        self._pieces = await self.held.enter_async_context(opener(self.offset))

    async def piece(self, most: int) -> bytes:
        """One to `most` bytes. Raises `Unavailable` if the answer is over."""
        piece = self._rest or await self._next()
        if not piece:
            raise Unavailable(f"the answer ended {most} bytes early")
        piece, self._rest = piece[:most], piece[most:]
        self.offset += len(piece)
        return piece

    async def _next(self) -> bytes:
        assert self._pieces is not None, "it was opened"
        try:
            return await anext(self._pieces, b"")
        except Exception as error:
            # Who opened it says what the error means.
            await self.held.__aexit__(type(error), error, error.__traceback__)
            raise

    async def close(self) -> None:
        await self.held.aclose()


class RemoteBody:
    """The blob's bytes. A `BlobBody` whose parts are best opened one after the other.

    One answer serves parts that follow each other, so a source that knows no ranges is read once. If the line breaks,
    the rest is asked for from where it broke, as often as `pauses` allow without a byte between; an address that a
    redirect led to is asked for anew each time, since it expires. Raises `SourceUnavailable` if that does not help.
    """

    def __init__(self, blob: Descriptor, opener: Opener, *, pauses: Pauses, sink: Sink, stop: asyncio.Event) -> None:
        self._blob = blob
        self._opener = opener
        self._pauses = pauses
        self._sink = sink
        self._stop = stop
        self._spare: _Reader | None = None  # whose last part was read to its end

    @property
    def size(self) -> int:
        """Bytes, as its descriptor says."""
        return self._blob.size

    async def open(self, offset: int, length: int) -> AsyncGenerator[bytes, None]:
        """Yield exactly `length` bytes from `offset`."""
        if not 0 <= offset <= offset + length <= self.size:
            raise BlobCorrupt(f"{self._blob.digest} has {self.size} bytes; {length} from {offset} were asked for")
        end, budget = offset + length, self._pauses.budget()
        reader, self._spare = self._spare, None
        try:
            while offset < end:
                try:
                    if reader is not None and reader.offset != offset:
                        await reader.close()
                        reader = None
                    if reader is None:
                        reader = _Reader(offset)
                        await reader.open(self._opener)
                    piece = await reader.piece(end - offset)
                except Interrupted:
                    raise
                except TLSFailed as error:
                    error.read_at_source()
                    raise
                except Unavailable as error:
                    if reader is not None:
                        await reader.close()
                        reader = None
                    await self._rest(error, budget.spend(error.retry_after))
                    continue
                except RegistryPushError as error:
                    error.read_at_source()
                    raise
                offset += len(piece)
                budget.restore()
                yield piece
            self._spare, reader = reader, None
        finally:
            if reader is not None:
                await reader.close()

    async def close(self) -> None:
        """Give the connection back. Safe to call twice."""
        reader, self._spare = self._spare, None
        if reader is not None:
            await reader.close()

    async def _rest(self, error: Unavailable, pause: float | None) -> None:
        if pause is None:
            raise SourceUnavailable(
                f"{self._blob.digest} can't be read at its source: {error.message}",
                hint="run the same command again: it goes on from there",
                url=error.url,
            ) from error
        self._sink(Retrying(f"download of {self._blob.digest.short}", error.message, pause))
        await self._pauses.rest(pause, self._stop)
