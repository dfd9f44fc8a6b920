"""The body of an upload request: a span of a blob, on its way from disk to socket."""

from __future__ import annotations

import asyncio
import errno
import os
from asyncio.trsock import TransportSocket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

from aiohttp import payload
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import StreamWriter

from ...content.base import BlobBody, LocalFile
from ...content.blocks import Blocks, blocks_of
from ...content.hashing import Hasher, RunningHash, probe
from ...content.read_errors import shortage
from ...content.threads import in_thread
from ...errors import ConnectionLost, RegistryPushError, SourceChanged
from ...protocol.bandwidth import Bandwidth
from ..reasons import reason_of
from ..sockets import prepare_for
from .encryption import ENCRYPTED_AT_ONCE
from .sendfile_sender import SendfileSender
from .thread_sender import Check, ThreadSender, nothing

if TYPE_CHECKING:
    from ...protocol.upload.chunks import Span

# What one call to the kernel may send. The socket's buffer bounds it too (2.5 MiB on loopback); more would hold up the
# loop where the file is not in the page cache.
_MOST_AT_ONCE: Final = 1024 * 1024
# Seconds, and bytes. Nobody reads more often, and an event for each call cost 0.1 s of CPU a GiB.
_TOLD_EVERY: Final = 0.02
_WORTH_TELLING: Final = 4 * 1024 * 1024

# A short body that is encrypted is read in longer pieces than it is encrypted in, since each is a turn of a thread: 400
# of 4 MiB take 0.85 of the CPU. Those in flight would take too much memory if long ones were read so too.
_SHORT: Final = 8 * 1024 * 1024
_READ_AT_ONCE: Final = 2 * 1024 * 1024

# A file system that can't splice (some FUSE ones) says one of these at the first call.
_NO_SENDFILE: Final = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class SpanPayload(payload.Payload):
    """Sends `span` of `body`: from the file on plain TCP, through one buffer over TLS.

    `running` takes what passes, in threads of `hasher`; without it plain TCP is the kernel's. `check` is called when
    all but the last bytes are sent, and all of it is hashed if `running` takes it; what it raises keeps those back.
    `encrypted` are the bytes that are read and encrypted at once. `on_sent(n)` is told fifty times a second, and at the
    end, how many bytes of the span have gone. A line that takes nothing for `stall` seconds raises TimeoutError inside
    the write. A connection that breaks under the body ends the write without an error: the registry may have answered
    already, and that answer says more.
    """

    def __init__(
        self,
        body: BlobBody,
        span: Span,
        hasher: Hasher | None = None,
        running: RunningHash | None = None,
        *,
        stall: float,
        on_sent: Callable[[int], None],
        bandwidth: Bandwidth | None = None,
        check: Check = nothing,
        encrypted: int = ENCRYPTED_AT_ONCE,
    ) -> None:
        super().__init__(body, content_type="application/octet-stream")
        self._body = body
        self._span = span
        self._hasher = hasher
        self._running = running
        self._check = check
        self._encrypted = encrypted
        self._stall = stall
        self._on_sent = on_sent
        self._told_at = 0.0
        self._bandwidth = bandwidth
        self._slice = bandwidth.slice if bandwidth else _MOST_AT_ONCE
        self._size = self._length = span.length  # aiohttp's own may be None to a type checker
        self._counted = 0
        self._carrier: ThreadSender | None = None
        self.broken: OSError | None = None
        self.source_error: RegistryPushError | None = None

    @property
    def sent(self) -> int:
        """Bytes that were passed to the kernel. A thread may be ahead of what the loop knows."""
        return self._counted if self._carrier is None else self._carrier.sent

    @property
    def length(self) -> int:
        """Bytes of the span."""
        return self._length

    @property
    def complete(self) -> bool:
        """Whether every byte was passed to the kernel."""
        return self.sent == self._length

    def failure(self, url: str) -> RegistryPushError | None:
        """Return why the body could not be read, or not be sent to `url`; None if it was not the body that failed."""
        if self.source_error is not None or self.broken is None:
            return self.source_error
        return ConnectionLost(f"the body could not be sent: {reason_of(self.broken)}", url=url)

    async def at_rest(self) -> None:
        """Wait, for milliseconds, until `sent` counts everything that was sent."""
        if self._carrier is not None:
            await self._carrier.at_rest()

    def end(self) -> int:
        """Stop reporting progress and return the number of bytes sent."""
        self._on_sent = _ignore
        return self.sent

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Raise `TypeError`: aiohttp's interface requires this method, but never calls it for us."""
        raise TypeError("the body of an upload is no text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the span. Cancelling breaks the connection, and nothing else."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write the span; its length is the request's Content-Length already."""
        try:
            await self._send(writer)
        except RegistryPushError as error:
            self.source_error = error
            raise
        except TimeoutError:
            raise
        except OSError as error:
            if (short := shortage(error, "the body can't be sent")) is not None:
                self.source_error = short
                raise short from error
            self.broken = error

    async def _send(self, writer: AbstractStreamWriter) -> None:
        transport = writer.transport
        assert transport is not None and isinstance(writer, StreamWriter), "a request's own"
        if not isinstance(self._body, LocalFile) and _is_plain(transport) and self._bandwidth is None:
            blocks = blocks_of(self._body, self._span.start, self._span.length)
            if blocks is not None and self._hasher is not None:
                try:
                    await blocks.ready()  # what can't be had needs no request
                except BaseException:
                    await blocks.close()
                    raise
                return await self._carry(writer, transport, blocks, self._hasher)
        if not isinstance(self._body, LocalFile) or not _is_plain(transport):
            return await self._send_pieces(writer, transport)
        if self._running is not None and self._hasher is not None and self._bandwidth is None:
            return await self._carry(writer, transport, self._body, self._hasher)
        line = await self._bare(writer, transport)
        # With a limit, what is to be hashed as it passes goes in pieces.
        if self._running is not None or not await self._pumped(line.fileno(), self._body):
            await self._send_pieces(writer, transport)
        return None

    async def _bare(self, writer: StreamWriter, transport: asyncio.WriteTransport) -> TransportSocket:
        """Return the socket when the transport's buffer is empty: the body is sent past it."""
        transport.set_write_buffer_limits(0)
        writer.send_headers()
        await writer.drain()
        socket: TransportSocket = transport.get_extra_info("socket")
        return socket

    async def _carry(
        self, writer: StreamWriter, transport: asyncio.WriteTransport, body: LocalFile | Blocks, hasher: Hasher
    ) -> None:
        """Have threads send the span. Takes over `body` if it is blocks."""
        try:
            socket = await self._bare(writer, transport)
            if isinstance(body, LocalFile):
                # Not with blocks: three processes share the processors then, and each has to find enough to do in its
                # turn. 1 GiB between two registries here took 0.94 of our CPU without it.
                prepare_for(socket, self._span.length)
            self._carrier = ThreadSender(
                socket.fileno(),
                body,
                self._span,
                self._running,
                hasher,
                stall=self._stall,
                moved=self._moved,
                check=self._check,
            )
            await self._carrier.run()
        finally:
            if isinstance(body, Blocks):
                await body.close()

    async def _pumped(self, line: int, body: LocalFile) -> bool:
        """Send the span by the kernel; return False, with nothing sent, if this file system can't do that."""
        pump = SendfileSender(
            line,
            body.file.fileno(),
            self._span,
            at_once=self._slice,
            stall=self._stall,
            turn=self._turn,
            moved=self._moved,
            check=self._check,
        )
        try:
            await pump.run()
        except EOFError:
            body.check_size()
            raise SourceChanged(
                f"the file ended {self._span.length - self.sent} bytes early while it was sent"
            ) from None
        except OSError as error:
            if self.sent == 0 and error.errno in _NO_SENDFILE:
                return False
            if not isinstance(error, ConnectionError):
                await self._probe(body)
            raise
        return True

    async def _probe(self, body: LocalFile) -> None:
        """Raise the file's error at the byte where the kernel stopped, since it does not say which side failed."""
        offset = self._span.start + self.sent
        length = min(self._slice, self._span.stop - offset)
        await in_thread(probe, os.dup(body.file.fileno()), offset, length, body.name)

    async def _send_pieces(self, writer: StreamWriter, transport: asyncio.WriteTransport) -> None:
        at_once = min(self._slice, self._encrypted)
        transport.set_write_buffer_limits(at_once)
        pieces = self._pieces()
        try:
            async for piece in pieces:
                left: memoryview | None = memoryview(piece)
                del piece
                while left:
                    part, left = left[:at_once], left[at_once:] or None
                    count = len(part)
                    if pause := self._turn(count):
                        await asyncio.sleep(pause)
                    if self._counted + count == self._span.length:
                        self._check()
                    async with asyncio.timeout(self._stall):
                        await writer.write(part, drain=False)
                        # Encrypted by now: who waits for the line holds no content besides. 3 MB of 55 for four bodies.
                        del part
                        await writer.drain()
                    self._moved(count)
        finally:
            if isinstance(pieces, AsyncGenerator):  # not whenever it is collected
                await pieces.aclose()

    def _pieces(self) -> AsyncIterator[bytes]:
        if self._hasher is not None and isinstance(self._body, LocalFile):
            start, length = self._span.start, self._span.length
            is_short = self._body.opened_as.size <= _SHORT
            at_once = max(self._encrypted, _READ_AT_ONCE) if is_short else self._encrypted
            return self._hasher.pieces(self._body, start, length, self._running, at_once=at_once)
        if self._hasher is not None and self._running is not None:
            return self._hasher.along(self._body, self._span.start, self._span.length, self._running)
        return self._body.open(self._span.start, self._span.length)

    def _turn(self, count: int) -> float:
        """Return the seconds to wait before the next `count` bytes may go."""
        return self._bandwidth.turn(count, asyncio.get_running_loop().time()) if self._bandwidth else 0.0

    def _moved(self, count: int) -> None:
        self._counted += count
        now = asyncio.get_running_loop().time()
        if self.complete or count >= _WORTH_TELLING or now - self._told_at >= _TOLD_EVERY:
            self._told_at = now
            self._on_sent(self.sent)


def _ignore(_: int) -> None:
    """Do nothing."""


def _is_plain(transport: asyncio.WriteTransport) -> bool:
    # TLS is encrypted in the process; Windows has no os.sendfile.
    return hasattr(os, "sendfile") and transport.get_extra_info("sslcontext") is None
