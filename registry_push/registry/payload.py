"""The body of an upload request: a span of a blob, on its way from disk to socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from aiohttp import payload
from aiohttp.abc import AbstractStreamWriter

from ..errors import RegistryPushError, SourceChanged
from ..protocol.chunks import Span
from ..stores.base import BlobBody, LocalFile

# While a slice is under way the transport does not read, so an early answer is seen at its end, and progress is
# told there: a slice should take about a tenth of a second, whatever the line. On loopback 4 MiB and more cost
# nothing over one long sendfile.
_FIRST_SLICE: Final = 512 * 1024
_SMALLEST_SLICE: Final = 64 * 1024
_LARGEST_SLICE: Final = 16 * 1024 * 1024
_SHORT, _LONG = 0.05, 0.2  # seconds


class SpanPayload(payload.Payload):
    """Sends `span` of `body`: by the kernel on plain TCP, through one buffer over TLS.

    `on_sent(n)` is told after each slice how many bytes of the span have been given to the kernel. A line that
    takes nothing for `stall` seconds raises TimeoutError inside the write. A connection that breaks under the body
    ends the write without an error: the registry may have answered already, and that answer says more.
    """

    def __init__(self, body: BlobBody, span: Span, *, stall: float, on_sent: Callable[[int], None]) -> None:
        super().__init__(body, content_type="application/octet-stream")
        self._body = body
        self._span = span
        self._stall = stall
        self._on_sent = on_sent
        self._size = span.length
        self.sent = 0
        self.broken: OSError | None = None
        self.source_error: RegistryPushError | None = None

    @property
    def complete(self) -> bool:
        """Whether every byte was given to the kernel."""
        return self.sent == self._span.length

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """No text: required by aiohttp's interface, used by none of its paths for us."""
        raise TypeError("the body of an upload is no text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Writes the span. Cancelling breaks the connection, nothing else."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Writes the span; its length is the request's Content-Length already."""
        try:
            if isinstance(self._body, LocalFile) and _sends_files(writer):
                await self._send_file(writer, self._body)
            else:
                await self._send_pieces(writer)
        except RegistryPushError as error:
            self.source_error = error
            raise
        except TimeoutError:
            raise
        except OSError as error:
            self.broken = error

    async def _send_file(self, writer: AbstractStreamWriter, body: LocalFile) -> None:
        loop, transport = asyncio.get_running_loop(), writer.transport
        assert transport is not None
        writer.send_headers()
        size = _FIRST_SLICE
        while not self.complete:
            began, wanted = time.monotonic(), min(size, self._span.length - self.sent)
            async with asyncio.timeout(self._stall):
                moved = await loop.sendfile(transport, body.file, self._span.start + self.sent, wanted)
            if moved < wanted:
                body.check_size()
                raise SourceChanged(f"the file ended {wanted - moved} bytes early while it was sent")
            self._moved(moved)
            size = _next_slice(size, time.monotonic() - began)
            await asyncio.sleep(0)  # an answer that has arrived is read here

    async def _send_pieces(self, writer: AbstractStreamWriter) -> None:
        async for piece in self._body.open(self._span.start, self._span.length):
            async with asyncio.timeout(self._stall):
                await writer.write(piece)
            self._moved(len(piece))

    def _moved(self, count: int) -> None:
        self.sent += count
        self._on_sent(self.sent)


def _sends_files(writer: AbstractStreamWriter) -> bool:
    # Over TLS loop.sendfile falls back to tiny reads (5.6 s where 256 KiB pieces take 2.3 s).
    transport = writer.transport
    return transport is not None and transport.get_extra_info("sslcontext") is None


def _next_slice(size: int, seconds: float) -> int:
    if seconds < _SHORT:
        return min(size * 2, _LARGEST_SLICE)
    return max(size // 2, _SMALLEST_SLICE) if seconds > _LONG else size
