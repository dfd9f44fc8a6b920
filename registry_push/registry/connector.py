"""`Connector`: what opens connections, each step within the time that the user allows, and to no forbidden address."""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

import aiohttp
from aiohttp.client_middlewares import ClientHandlerType, ClientMiddlewareType
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from ..model import HTTPOrigin
from ..protocol.addresses import AddressRule
from .bounded_handler import BoundedHandler

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

    `reached` are the addresses at which each origin was connected to, without a proxy.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
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
        connection = await super().connect(req, traces, timeout)
        if req.proxy is None and connection.transport is not None:
            peer = connection.transport.get_extra_info("peername")
            if peer:
                rule = _RULE.get()
                if rule is None:
                    self.reached[HTTPOrigin.of(str(req.url))].add(str(peer[0]))
                elif not rule.allows(str(peer[0])):
                    connection.release()
                    raise aiohttp.ClientConnectorError(req.connection_key, AddressRefused(rule, str(peer[0])))
        return connection

    async def _create_proxy_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # aiohttp's signature
    ) -> tuple[asyncio.BaseTransport, ResponseHandler]:
        # Within it TLS is spoken to the registry as well: no line needs more for all of it than for one answer.
        async with asyncio.timeout(timeout.sock_connect):
            return await super()._create_proxy_connection(req, traces, timeout)
