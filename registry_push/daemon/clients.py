"""`Clients`: the connections of clients, so many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

from aiohttp import web

# Seconds in which a client that is turned away can send what it has begun to: a reset would tear the answer away.
_LINGERING: Final = 1.0


class Clients:
    """Makes room for whoever comes: the client that has been idle longest goes. Where none is idle, 503.

    Idle is who has sent no request, or a part of its head, or waits after an answer. A burst of connections that are
    accepted in one turn of the loop is counted in the next.
    """

    def __init__(self, most: int, retry_after: int) -> None:
        self._most = most
        self._retry_after = retry_after
        self._working: set[asyncio.BaseProtocol] = set()

    @contextmanager
    def working(self, request: web.Request) -> Iterator[None]:
        """While its request is worked on, a client is not idle."""
        self._working.add(request.protocol)
        try:
            yield
        finally:
            self._working.discard(request.protocol)

    def protocol(self, server: web.Server) -> asyncio.BaseProtocol:
        """Return what speaks with the next client of `server`."""
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
    """Answers 503 before anything was asked."""

    def __init__(self, retry_after: int) -> None:
        body = b'{"error":"too many clients are connected; come again"}'
        head = (
            "HTTP/1.1 503 Service Unavailable",
            f"Retry-After: {retry_after}",
            "Content-Type: application/json; charset=utf-8",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        self._answer = "\r\n".join([*head, "", ""]).encode() + body

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say it, and ends."""
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self._answer)
        if transport.can_write_eof():
            transport.write_eof()
        asyncio.get_running_loop().call_later(_LINGERING, transport.close)
