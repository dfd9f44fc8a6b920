"""Workarounds for what aiohttp lacks or gets wrong, each with the version in which it was seen.

The dependency is capped below the next minor release, since some of this reaches into private parts. Numbers are those
of aio-libs/aiohttp.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Hashable
from functools import partial
from typing import Any, Final, Self

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import Connection
from aiohttp.streams import StreamReader
from aiohttp.tracing import Trace

from ..model import HTTPOrigin
from .address_judge import RULE, AddressRefused
from .bounded_handler import BUFFER, BoundedHandler
from .resolver import Resolver
from .starvation import PATIENCE, Starvation


class Connector(aiohttp.TCPConnector):
    """Opens connections to allowed addresses only, each step within the user's timeout.

    `reached` are the addresses at which each origin was connected to without a proxy. A request takes a connection that
    is being opened ahead instead of opening another. Idle ones are closed if a request waits long: see `starvation`.
    """

    def __init__(self, *, timeout: float, patience: float = PATIENCE, **options: Any) -> None:
        super().__init__(resolver=Resolver(timeout), **options)
        self._starvation = Starvation(self._close_resting, patience=patience)
        self._ahead: defaultdict[Hashable, deque[asyncio.Future[None]]] = defaultdict(deque)
        # 3.14: the handler's class can't be given, only this private factory replaced.
        self._factory = partial(BoundedHandler, self._loop, memoryview(bytearray(BUFFER)))  # type: ignore[assignment]  # partial is invariant
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
        idle = self._conns.get(key)
        is_opened = not idle or not any(protocol.is_connected() for protocol, _ in idle)
        waiting = self._starvation.wait(key) if is_opened and self._available_connections(key) > 0 else None
        try:
            while ahead and not self._conns.get(key):
                await asyncio.wait([ahead.popleft()])
            connection = await super().connect(req, traces, timeout)
            handler = connection.protocol
            is_new = not isinstance(handler, BoundedHandler) or not handler.was_answered
            # Where no rule holds, an address is noted at the connection's first request.
            if (is_new or RULE.get() is not None) and (refused := self._judge(req, connection.transport)) is not None:
                connection.release()
                raise aiohttp.ClientConnectorError(key, refused)  # noqa: TRY301  # after it, nothing waits
        except BaseException:
            if waiting is not None:
                waiting.end()
            raise
        if isinstance(handler, BoundedHandler) and is_new:
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
        if isinstance(protocol, BoundedHandler) and writing is not None and writing.cancelling():
            protocol.exchange_is_over()  # the answer was read before the end of the body was noticed


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
        if isinstance(protocol, BoundedHandler) and self.content.is_eof():
            # The end of the request's body may have started the clock since the answer came.
            protocol.exchange_is_over()
        return self


def unread(content: StreamReader) -> bytes:
    """Take what has come of a body and was not read. 3.14: if the body breaks off, some 100 KB are lost otherwise."""
    return bytes(content._read_nowait(-1)) if content._buffer else b""
