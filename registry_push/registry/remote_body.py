"""`RemoteBody`: a blob at a registry, read in order, and continued where the line broke."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from ..content.blocks import EMPTY, BlockBody, Blocks
from ..errors import (
    BlobCorrupt,
    Interrupted,
    RateLimited,
    RegistryPushError,
    SourceUnavailable,
    TLSFailed,
    Unavailable,
)
from ..events import Retrying, Sink
from ..model import Descriptor
from ..pauses import Pauses, loop_time
from ..protocol.bandwidth import Bandwidth
from .answer_reader import AnswerReader, Opener
from .questions import Reading


class RemoteBody(BlockBody):
    """The blob's bytes. A `BlobBody` whose parts are best opened one after the other.

    One answer serves parts that follow each other, so a source that knows no ranges is read once. If the line breaks,
    the rest is asked for from where it broke, as often as `pauses` allow without a byte between; an address that a
    redirect led to is asked for anew each time, since it expires. Raises `SourceUnavailable` if that does not help, and
    `Interrupted` if the run is stopped and the source sends nothing.
    Threads can take what does not come encrypted (`is_plain`), if no `bandwidth` limits it.
    """

    def __init__(
        self,
        blob: Descriptor,
        opener: Opener,
        *,
        pauses: Pauses,
        sink: Sink,
        stop: asyncio.Event,
        reading: Callable[[], Reading],
        bandwidth: Bandwidth | None = None,
        is_plain: bool = False,
    ) -> None:
        self._blob = blob
        self.opener = opener
        self.pauses = pauses
        self._sink = sink
        self._stop = stop
        self.reading = reading
        self._bandwidth = bandwidth
        self._is_plain = is_plain and bandwidth is None
        self._spare: AnswerReader | None = None  # whose last part was read to its end
        self._is_closed = False

    @property
    def size(self) -> int:
        """Bytes, as its descriptor says."""
        return self._blob.size

    async def open(self, offset: int, length: int) -> AsyncGenerator[bytes, None]:
        """Yield exactly `length` bytes from `offset`."""
        part = _Part(self, offset, length, in_threads=False)
        try:
            while part.left:
                await part.ready()
                if piece := part.take(min(part.left, self._bandwidth.slice) if self._bandwidth else part.left):
                    if self._bandwidth and (pause := self._bandwidth.turn(len(piece), loop_time())):
                        await asyncio.sleep(pause)  # meanwhile the line fills up, and the source waits too
                    whole = piece.obj
                    yield whole if isinstance(whole, bytes) and len(whole) == len(piece) else bytes(piece)
        except BaseException:
            await part.abandon()
            raise
        await part.close()

    def blocks(self, offset: int, length: int) -> Blocks | None:
        """As `BlockBody.blocks`."""
        return _Part(self, offset, length, in_threads=True) if self._is_plain else None

    def check(self, offset: int, length: int) -> None:
        """Raises `BlobCorrupt` if it has no such part."""
        if not 0 <= offset <= offset + length <= self.size:
            raise BlobCorrupt(f"{self._blob.digest} has {self.size} bytes; {length} from {offset} were asked for")

    async def reader_at(self, offset: int) -> AnswerReader | None:
        """Return the reader of the last part, if it is at `offset`."""
        reader, self._spare = self._spare, None
        if reader is not None and reader.offset != offset:
            await reader.close()
            return None
        return reader

    async def keep(self, reader: AnswerReader | None) -> None:
        """Keep `reader`, whose part was read to its end, for the next one; close it if there will be none."""
        # A request that is cancelled leaves its part after the body is closed: aiohttp does not wait for its writer.
        unused, self._spare = (reader, None) if self._is_closed else (self._spare, reader)
        if unused is not None:
            await unused.close()

    async def rest(self, error: Unavailable, pause: float | None) -> None:
        """Rest after `error`. Raises `SourceUnavailable` if there is no other try."""
        if pause is None:
            raise SourceUnavailable(
                f"{self._blob.digest} can't be read at its source: {error.message}",
                hint="run the same command again: it goes on from there",
                url=error.url,
            ) from error
        self._sink(Retrying(f"download of {self._blob.digest.short}", error.message, pause))
        await self.pauses.rest(pause, self._stop)

    async def close(self) -> None:
        """Release the connection. Safe to call twice."""
        spare, self._spare, self._is_closed = self._spare, None, True
        if spare is not None:
            await spare.close()


class _Part(Blocks):
    """`length` bytes of `body` from `offset`, asked for anew where the line breaks."""

    def __init__(self, body: RemoteBody, offset: int, length: int, *, in_threads: bool) -> None:
        self._body = body
        self._offset = offset
        self._length = length
        self._end = offset + length
        self._in_threads = in_threads
        self._budget = body.pauses.budget()
        self._reader: AnswerReader | None = None
        self._known = -1  # how far it was when it was last ready; -1: it never was

    @property
    def left(self) -> int:
        """Bytes not taken yet."""
        return self._end - self._position

    @property
    def _position(self) -> int:
        return self._reader.offset if self._reader is not None else self._offset

    async def ready(self) -> None:
        """As `Blocks.ready`."""
        if self._known < 0:
            self._body.check(self._offset, self._length)
            self._reader = await self._body.reader_at(self._offset)
        elif self._position > self._known:
            self._budget.restore()
        self._known = self._position
        while self.left:
            try:
                with self._body.reading():
                    if self._reader is None:
                        self._reader = AnswerReader(self._offset)
                        await self._reader.open(self._body.opener)
                    await self._reader.ready(in_threads=self._in_threads)
            except Interrupted:
                raise
            except TLSFailed as error:
                error.read_at_source()
                raise
            except Unavailable as error:
                await self.abandon()
                is_over = isinstance(error, RateLimited)  # it was waited for already
                await self._body.rest(error, None if is_over else self._budget.spend(error.retry_after))
            except RegistryPushError as error:
                error.read_at_source()
                raise
            else:
                return

    def take(self, most: int, buffer: memoryview | None = None) -> memoryview:
        """As `Blocks.take`."""
        reader = self._reader
        return reader.take(min(most, self._end - reader.offset), buffer) if reader is not None else EMPTY

    async def abandon(self) -> None:
        """Close the answer, and stay where it was."""
        reader, self._offset, self._reader = self._reader, self._position, None
        if reader is not None:
            await reader.close()

    async def close(self) -> None:
        """As `Blocks.close`; an answer that was read to this part's end serves the next part too."""
        if self._reader is None or self.left:
            await self.abandon()
        else:
            reader, self._offset, self._reader = self._reader, self._end, None
            await self._body.keep(reader)
