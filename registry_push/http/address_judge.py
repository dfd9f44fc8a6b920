"""Which addresses a request may be sent to, judged when the socket is made."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

import aiohttp
from aiohttp.client_middlewares import ClientHandlerType, ClientMiddlewareType
from aiohttp.client_reqrep import ClientRequest

from ..protocol.addresses import AddressRule

SocketFactory = Callable[[tuple[Any, ...]], socket.socket]

# The rule for the request that the current task sends. aiohttp's hook for new sockets gets an address and nothing about
# the request; the tasks that connect inherit this variable.
RULE: Final[ContextVar[AddressRule | None]] = ContextVar("address rule", default=None)


class AddressRefused(OSError):
    """The rule in force does not allow `address`. An `OSError`, so that a name's other addresses are tried."""

    def __init__(self, rule: AddressRule, address: str) -> None:
        super().__init__("this address is not allowed")
        self.rule = rule
        self.address = address


def held_to(rule: AddressRule) -> ClientMiddlewareType:
    """Return a middleware that lets a request connect only to addresses that `rule` allows."""

    async def send(request: ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
        token = RULE.set(rule)
        try:
            return await handler(request)
        finally:
            RULE.reset(token)

    return send


def judged(made_for: SocketFactory) -> SocketFactory:
    """Wrap a socket factory: raise `AddressRefused` for an address that the rule in force does not allow."""

    def made(address: tuple[Any, ...]) -> socket.socket:
        rule = RULE.get()
        if rule is not None and not rule.allows(str(address[4][0])):
            raise AddressRefused(rule, str(address[4][0]))
        return made_for(address)

    return made
