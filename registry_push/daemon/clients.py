"""`Clients`: the connections of clients, up to a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

from aiohttp import web

# Seconds in which a client that is turned away may finish sending: a reset could destroy the answer.
_LINGERING: Final = 1.0


class Clients:
    """Makes room for new clients: closes the connection that has been idle longest; answers 503 if none is idle.

    A client is idle if it has sent no request, or a part of its head, or waits after an answer. Connections accepted in
    one turn of the loop are counted in the next.
    """

    def __init__(self, most: int, retry_after: int) -> None:
        self._most = most
        self._retry_after = retry_after
        self._working: set[asyncio.BaseProtocol] = set()

    @contextmanager
    def working(self, request: web.Request) -> Iterator[None]:
        """Context in which a client is not idle: its request is being worked on."""
        self._working.add(request.protocol)
        try:
            yield
        finally:
            self._working.discard(request.protocol)

    def protocol(self, server: web.Server) -> asyncio.BaseProtocol:
        """Return the protocol for the next client of `server`."""
        here = [each for each in server.connections if each.transport is not None]
        if len(here) >= self._most:
            idle: web.RequestHandler | None = next((each for each in here if each not in self._working), None)
            if idle is None:
                return _TurnedAway(self._retry_after)
            idle.force_close()
        return server()


class BoundedRunner(web.AppRunner):
    """An `AppRunner` whose sites take the clients that `clients` has room for."""

    __slots__ = ("_clients",)

    def __init__(self, application: web.Application, clients: Clients, **options: Any) -> None:
        super().__init__(application, **options)
        self._clients = clients

    @property
    def server(self) -> web.Server | None:
        """What a site calls for each connection."""
        server = super().server
        if server is None:
            return None
        made: Callable[[], asyncio.BaseProtocol] = lambda: self._clients.protocol(server)  # noqa: E731
        return cast("web.Server", made)


class _TurnedAway(asyncio.Protocol):
    """Answers 503 before any request."""

    def __init__(self, retry_after: int) -> None:
        body = b'{"error":"too many clients are connected; try again later"}'
        head = (
            "HTTP/1.1 503 Service Unavailable",
            f"Retry-After: {retry_after}",
            "Content-Type: application/json; charset=utf-8",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        self._answer = "\r\n".join([*head, "", ""]).encode() + body

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the answer and close."""
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self._answer)
        if transport.can_write_eof():
            transport.write_eof()
        asyncio.get_running_loop().call_later(_LINGERING, transport.close)
