"""`Connector`: what opens connections, each step within the time that the user allows, and to no forbidden address."""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict, deque
from collections.abc import Callable, Hashable
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

import aiohttp
from aiohttp.client_middlewares import ClientHandlerType, ClientMiddlewareType
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from ..model import HTTPOrigin
from ..protocol.addresses import AddressRule
from .bounded_handler import BoundedHandler
from .starvation import PATIENCE, Starvation

SocketFactory = Callable[[tuple[Any, ...]], socket.socket]

# The rule for the request that the current task sends. aiohttp's hook for new sockets is given an address and nothing
# of the request; what it starts to connect inherits this.
_RULE: Final[ContextVar[AddressRule | None]] = ContextVar("address rule", default=None)


class AddressRefused(OSError):
    """The rule in force does not allow `address`. An `OSError`, so that a name's other addresses are tried."""

    def __init__(self, rule: AddressRule, address: str) -> None:
        super().__init__("this address is not allowed")
        self.rule = rule
        self.address = address


def held_to(rule: AddressRule) -> ClientMiddlewareType:
    """Make the middleware that has a request connect only to what `rule` allows."""

    async def send(request: ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
        token = _RULE.set(rule)
        try:
            return await handler(request)
        finally:
            _RULE.reset(token)

    return send


def judged(made_for: SocketFactory) -> SocketFactory:
    """Wrap a socket factory: raise `AddressRefused` for an address that the rule in force does not allow."""

    def made(address: tuple[Any, ...]) -> socket.socket:
        rule = _RULE.get()
        if rule is not None and not rule.allows(str(address[4][0])):
            raise AddressRefused(rule, str(address[4][0]))
        return made_for(address)

    return made


class Connector(aiohttp.TCPConnector):
    """As aiohttp's, which bounds the connection to a proxy but not what that says to CONNECT (3.14).

    `reached` are the addresses at which each origin was connected to, without a proxy. A request takes a connection
    that is being opened ahead rather than open another. Those that rest are closed if a request waits long: see
    `starvation`.
    """

    def __init__(self, *, patience: float = PATIENCE, **options: Any) -> None:
        super().__init__(**options)
        self._starvation = Starvation(self._close_resting, patience=patience)
        self._ahead: defaultdict[Hashable, deque[asyncio.Future[None]]] = defaultdict(deque)
        # 3.14 has no public place for it.
        self._factory = partial(BoundedHandler, loop=self._loop)  # type: ignore[assignment]  # partial is invariant
        self.reached: defaultdict[HTTPOrigin, set[str]] = defaultdict(set)

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # aiohttp's signature
    ) -> Connection:
        """Connect, or take an idle connection: one that another registry's request has opened is judged anew."""
        key = req.connection_key
        ahead = self._ahead[key]
        # One that rests is taken at once. Where connections are limited, one of ours may be what is waited for.
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
        """Open a connection for who asks next, even if others rest. For connectors without a limit."""
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
        if _RULE.get() is None and getattr(connection.protocol, "was_answered", False):
            return connection  # where it leads was noted at its first request
        refused = self._judge(req, connection.transport)
        if refused is not None:
            connection.release()
            raise aiohttp.ClientConnectorError(req.connection_key, refused)
        return connection

    def _judge(self, req: ClientRequest, transport: asyncio.BaseTransport | None) -> AddressRefused | None:
        """Note where `transport` leads if the user has named it, else return the error if it may not lead there."""
        peer = transport.get_extra_info("peername") if transport is not None and req.proxy is None else None
        if not peer:
            return None
        rule = _RULE.get()
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
        # Within it TLS is spoken to the registry as well: no line needs more for all of it than for one answer.
        async with asyncio.timeout(timeout.sock_connect):
            return await super()._create_proxy_connection(req, traces, timeout)
