"""Workarounds for what aiohttp lacks or gets wrong, each with the version in which it was seen.

The dependency is capped below the next minor release, since some of this reaches into private parts. Numbers are those
of aio-libs/aiohttp.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections import defaultdict, deque
from collections.abc import Hashable
from contextlib import suppress
from functools import partial
from typing import Any, Final, Self

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader
from aiohttp.tracing import Trace

from ..model import HTTPOrigin
from .address_judge import RULE, AddressRefused
from .alarm import Alarm
from .starvation import PATIENCE, Starvation, Waiting

# Informational answers (100, 102, 103) before the real one. Servers send one or two.
_MOST_INFORMATIONAL: Final = 10
# Seconds. Headers that begin in time get as long again to end, but no longer than this.
_GRACE: Final = 30.0
_SWITCHING: Final = 101
# Answers that have no body, whatever follows their headers (RFC 9112, section 6.3).
_BODYLESS: Final = (204, 304)
_END_OF_HEAD: Final = re.compile(rb"\n\r?\n")
# Bytes of the end of headers that may be in an earlier piece.
_MOST_BEFORE: Final = 2
# `struct linger`: on, zero seconds. Unsent data is dropped, and the other side gets a reset.
_RESET: Final = struct.pack("ii", 1, 0)


class TooManyInformational(aiohttp.ClientError):
    """One informational answer followed another, and no other came."""


class HeadTooLate(aiohttp.SocketTimeoutError):
    """An answer began in time, but its headers did not end in time."""


def longest(patience: float) -> float:
    """Return the seconds for all headers of an answer whose first byte may take `patience` seconds."""
    return patience + min(patience, _GRACE)


class BoundedHandler(ResponseHandler):
    """A connection on which answers are bounded.

    3.14: each byte restarts `sock_read` (since pull request 4142), so that headers that arrive byte by byte, and
    informational answers, never end. Answers to no request are queued, however many; here they close the connection.

    3.14: if a body follows an answer that has none, as when a balancer answers HEAD with its whole page, the answer is
    lost (aiohttp issue 10322); here the body is dropped with the connection.

    3.14: an abandoned request is closed in order, after all of it that is unsent. Here, if it was not answered, the
    connection is reset: the unsent rest would keep the line and the server busy, and an end would look like a cut.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._informational = 0
        self._is_waiting = False
        self._is_sending = False
        self._is_bodyless = False
        self._before = b""
        self.was_answered = False
        self.waiting: Waiting | None = None
        self._deadline = Alarm(loop, lambda: self._give_up(HeadTooLate()))

    def set_response_params(self, **params: Any) -> None:
        """A request is about to be sent."""
        self._informational, self._is_waiting, self._is_sending = 0, True, True
        self._is_bodyless, self._before = False, b""
        super().set_response_params(**params)

    def start_timeout(self) -> None:
        """All of the request is sent."""
        super().start_timeout()
        if self.read_timeout:  # else it is called to stop the clock: see `stop_waiting`
            self._is_sending = False
        if self._is_waiting and self.read_timeout:
            self._deadline.set(longest(self.read_timeout))
        else:
            self._deadline.stop()

    def data_received(self, data: bytes) -> None:
        """Take received data. Headers are parsed apart from what follows, in which an error would lose them."""
        while data and self._is_waiting and self.exception() is None:
            head, data = self._split(data)
            super().data_received(head)
        if not data or self.exception() is not None:
            return
        if self._is_bodyless:
            self._give_up(None)
        else:
            super().data_received(data)

    def _split(self, data: bytes) -> tuple[bytes, bytes]:
        """Split `data` after the end of the headers."""
        found = _END_OF_HEAD.search(self._before + data)
        if found is None:
            self._before = (self._before + data)[-_MOST_BEFORE:]
            return data, b""
        end = found.end() - len(self._before)
        self._before = b""
        return data[:end], data[end:]

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """An answer's headers are there."""
        if not self._is_waiting:
            self._give_up(None)
            return
        self.was_answered = True
        self.stop_waiting()
        code = data[0].code
        if 100 <= code < 200 and code != _SWITCHING:
            self._informational += 1
            if self._informational > _MOST_INFORMATIONAL:
                self._give_up(TooManyInformational())
                return
        else:
            self._is_waiting = False
            self._is_bodyless = self._skip_payload or code in _BODYLESS
            self._deadline.stop()
        super().feed_data(data, size)

    def close(self) -> None:
        """Close the connection, by a reset if a request is under way."""
        if self.transport is None or not (self._is_waiting or self._is_sending):
            super().close()
            return
        line = self.transport.get_extra_info("socket")
        with suppress(OSError):  # it is broken already
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.abort()

    def take_nothing(self) -> None:
        """The body was read past aiohttp: whatever follows on this connection ends it."""
        self._is_bodyless = True

    def stop_waiting(self) -> None:
        """Stop waiting for the first answer on this connection."""
        if self.waiting is not None:
            self.waiting.end()
            self.waiting = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone."""
        self.stop_waiting()
        self._deadline.close()
        super().connection_lost(exc)

    def _give_up(self, error: Exception | None) -> None:
        self._is_waiting = False
        self._deadline.close()
        if error is not None:
            self.set_exception(error)
        self.force_close()
        if self.transport is not None:
            self.transport.abort()


class Connector(aiohttp.TCPConnector):
    """Opens connections to allowed addresses only, each step within the user's timeout.

    `reached` are the addresses at which each origin was connected to without a proxy. A request takes a connection that
    is being opened ahead instead of opening another. Idle ones are closed if a request waits long: see `starvation`.
    """

    def __init__(self, *, patience: float = PATIENCE, **options: Any) -> None:
        super().__init__(**options)
        self._starvation = Starvation(self._close_resting, patience=patience)
        self._ahead: defaultdict[Hashable, deque[asyncio.Future[None]]] = defaultdict(deque)
        # 3.14: the handler's class can't be given, only this private factory replaced.
        self._factory = partial(BoundedHandler, loop=self._loop)  # type: ignore[assignment]  # partial is invariant
        self.reached: defaultdict[HTTPOrigin, set[str]] = defaultdict(set)

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # aiohttp's signature
    ) -> Connection:
        """Connect, or take an idle connection; its address is judged again, as another registry may have opened it."""
        key = req.connection_key
        ahead = self._ahead[key]
        # An idle one is taken at once. With a limit on connections, the one being opened may be what we wait for.
        is_opened = not any(protocol.is_connected() for protocol, _ in self._conns.get(key, ()))
        waiting = self._starvation.wait(key) if is_opened and self._available_connections(key) > 0 else None
        try:
            while ahead and not self._conns.get(key):
                await asyncio.wait([ahead.popleft()])
            connection = await self._connect(req, traces, timeout)
        except BaseException:
            if waiting is not None:
                waiting.end()
            raise
        handler = connection.protocol
        if isinstance(handler, BoundedHandler) and not handler.was_answered:
            handler.waiting = waiting or self._starvation.wait(key)
        elif waiting is not None:
            waiting.end()
        return connection

    async def open_ahead(self, req: ClientRequest, timeout: aiohttp.ClientTimeout) -> None:  # noqa: ASYNC109
        """Open a connection for the next request, even if others are idle. Only for connectors without a limit."""
        key, opened = req.connection_key, self._loop.create_future()
        ahead = self._ahead[key]
        ahead.append(opened)
        try:
            protocol = await self._create_connection(req, [], timeout)
            refused = self._judge(req, protocol.transport)
            if refused is not None or self._closed:
                protocol.close()
            else:
                self._release(key, protocol)
        finally:
            if opened in ahead:
                ahead.remove(opened)
            opened.set_result(None)

    async def _connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # aiohttp's signature
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        if RULE.get() is None and getattr(connection.protocol, "was_answered", False):
            return connection  # its address was noted at its first request
        refused = self._judge(req, connection.transport)
        if refused is not None:
            connection.release()
            raise aiohttp.ClientConnectorError(req.connection_key, refused)
        return connection

    def _judge(self, req: ClientRequest, transport: asyncio.BaseTransport | None) -> AddressRefused | None:
        """Note the address of `transport` if the user named the host; else return the error if it is not allowed."""
        peer = transport.get_extra_info("peername") if transport is not None and req.proxy is None else None
        if not peer:
            return None
        rule = RULE.get()
        if rule is None:
            self.reached[HTTPOrigin.of(str(req.url))].add(str(peer[0]))
            return None
        return None if rule.allows(str(peer[0])) else AddressRefused(rule, str(peer[0]))

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        if isinstance(protocol, BoundedHandler):
            protocol.stop_waiting()
        rests = not (should_close or protocol.should_close)
        super()._release(key, protocol, should_close=should_close or (rests and self._starvation.claims(key)))

    def _close_resting(self, key: Hashable) -> int:
        resting = self._conns.pop(key, ())  # type: ignore[call-overload]  # keys are hashable
        for protocol, _ in resting:
            protocol.close()
        return len(resting)

    async def _create_proxy_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # aiohttp's signature
    ) -> tuple[asyncio.BaseTransport, ResponseHandler]:
        # 3.14: `sock_connect` bounds the connection to the proxy, but nothing bounds its answer to CONNECT, nor the TLS
        # handshake with the registry that follows. Both together get the time of one answer.
        async with asyncio.timeout(timeout.sock_connect):
            return await super()._create_proxy_connection(req, traces, timeout)


# Go's http.Transport waits one second (ExpectContinueTimeout); servers that know nothing of Expect never answer.
CONTINUE_PATIENCE: Final = 1.0


class ImpatientRequest(aiohttp.ClientRequest):
    """A request that sends its body when the server asks for it, or after `CONTINUE_PATIENCE` seconds of silence.

    3.14: `expect100` waits for ever, and old servers know nothing of it (RFC 9110, 10.1.1). A final answer in between
    stops the body before it begins: aiohttp cancels the writer when the answer is done with.
    """

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Write the body, as aiohttp would."""
        asked, protocol = self._continue, conn.protocol
        timer = asked and asyncio.get_running_loop().call_later(CONTINUE_PATIENCE, _settle, asked)
        try:
            await super().write_bytes(writer, conn, content_length)
        finally:
            if timer is not None:
                timer.cancel()
        writing = asyncio.current_task()
        if protocol is not None and writing is not None and writing.cancelling():
            stop_waiting(protocol)  # the answer was read before the end of the body was noticed


def _settle(asked: asyncio.Future[bool]) -> None:
    if not asked.done():
        asked.set_result(True)


class TimedResponse(aiohttp.ClientResponse):
    """An answer with `waited`: the seconds from the request's last header to the answer's.

    DNS, connecting and the TLS handshake are not included, which would add one to three round trips to the first one.
    """

    waited = 0.0

    async def start(self, connection: Connection) -> Self:
        """Read the answer's headers."""
        clock, protocol = asyncio.get_running_loop().time, connection.protocol
        began = clock()
        await super().start(connection)
        self.waited = clock() - began
        if protocol is not None and self.content.is_eof():
            stop_waiting(protocol)  # it began after this answer, if the body's end was heard of in the same turn
        return self


def stop_waiting(protocol: ResponseHandler) -> None:
    """Stop the clock of an exchange that is over.

    3.14: the clock starts when the body has ended, even if the answer is done with by then, and breaks the next
    exchange on this connection when its time is over (aiohttp issue 13000, another way to the same).
    """
    protocol.read_timeout = None
    protocol.start_timeout()


def unread(content: StreamReader) -> bytes:
    """Take what has come of a body and was not read. 3.14: if the body breaks off, some 100 KB are lost otherwise."""
    return bytes(content._read_nowait(-1)) if content._buffer else b""
