"""One origin: a socket, the log of its requests, and the handling of bodies that were answered early."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Final

from aiohttp import web
from msgspec import Struct

from .call import Exchange
from .rules import Rules

Answer = Callable[[web.Request, Exchange], Awaitable[web.StreamResponse]]
Signer = Callable[[web.Request, web.StreamResponse], Awaitable[None]]

# aiohttp stops reading at twice this and hands over what is there: larger pieces, fewer turns of the loop.
_READ_BUFFER: Final = 1024 * 1024
# Seconds that `close` gives to requests under way: who closes a registry does not wait for them.
_SHUTDOWN: Final = 0.1
# Seconds between the end of our side and the cut, as in Go's net/http: a reset could destroy the answer.
_RESET_AVOIDANCE: Final = 0.5
_REQUEST_LINE: Final = re.compile(rb"[A-Z]{3,7} /\S* HTTP/1\.1\r\n")


class EarlyAnswers(Struct, frozen=True):
    """What a server does with a body that it has answered without reading it.

    It reads up to `discards` bytes (None: all), and cuts the line if there is more; with `close` it says so in any
    case. A body that waits for a 100 is not asked for. The line stays open then, but what comes next on it is that
    body (RFC 9112, 6.3): a new request there is a breach.
    """

    rules: Rules
    discards: int | None
    close: bool

    async def answer(self, request: web.Request, response: web.StreamResponse, exchange: Exchange) -> None:
        """Send `response`, and handle the rest of the body."""
        waits = _waits(request)
        announced = request.content_length
        too_much = self.discards is not None and announced is not None and announced > self.discards
        if self.close or (too_much and not waits):
            response.force_close()
        exchange.received = request.content.total_bytes
        await response.prepare(request)
        await response.write_eof()
        if self.close and waits and not exchange.received:
            _hang_up(request)
            return
        await self._discard(request, exchange, waits=waits)

    async def _discard(self, request: web.Request, exchange: Exchange, *, waits: bool) -> None:
        content = request.content
        while not content.at_eof():
            piece = await content.readany()
            exchange.received = content.total_bytes
            if waits and exchange.received == len(piece) and _REQUEST_LINE.match(piece):
                exchange.received = 0
                self.rules.broken(exchange, "another request on a connection that still owes the body of this one")
                _hang_up(request)
                return
            if self.discards is not None and content.total_bytes > self.discards and not content.at_eof():
                await _end(request)
                return


class Listener:
    """A server on 127.0.0.1 that passes requests to `answer`, each with its entry in `log`."""

    def __init__(
        self,
        answer: Answer,
        turns: Iterator[int],
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        early: EarlyAnswers | None = None,
        sign: Signer | None = None,
    ) -> None:
        self.log: list[Exchange] = []
        self._answer = answer
        self._turns = turns
        self._port = port
        self._tls = tls
        self._early = early
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle, expect_handler=_asked_for_later)
        if sign is not None:
            application.on_response_prepare.append(sign)
        self._runner = web.AppRunner(
            application, access_log=None, read_bufsize=_READ_BUFFER, shutdown_timeout=_SHUTDOWN
        )

    async def start(self) -> None:
        """Start to listen."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls).start()
        self._port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Break off what is under way."""
        await self._runner.cleanup()

    @property
    def host(self) -> str:
        """`127.0.0.1:<port>`."""
        return f"127.0.0.1:{self._port}"

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:<port>`, or https with `tls`."""
        return f"{'https' if self._tls else 'http'}://{self.host}"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        exchange = Exchange.of(request, next(self._turns))
        self.log.append(exchange)
        try:
            response = await self._answer(request, exchange)
            exchange.status, exchange.told = response.status, response.headers.get("Range")
        except ConnectionError:
            # There is no client to answer. If it were raised, aiohttp would log it as our error.
            return web.Response(status=400)
        finally:
            exchange.ended = next(self._turns)
        if self._early is not None and not request.content.is_eof():
            with suppress(
                OSError, web.RequestPayloadError
            ):  # OSError: the client has gone, whatever the kernel calls it
                await self._early.answer(request, response, exchange)
        return response


async def _asked_for_later(_: web.Request) -> None:
    """Do nothing: handlers ask for the body when the request is known to be good."""


def _waits(request: web.Request) -> bool:
    """Return whether the client still waits to be asked for its body."""
    return request.headers.get("Expect", "").lower() == "100-continue" and not request.content.total_bytes


async def _end(request: web.Request) -> None:
    if request.transport is not None and request.transport.can_write_eof():
        request.transport.write_eof()
    await asyncio.sleep(_RESET_AVOIDANCE)
    _hang_up(request)


def _hang_up(request: web.Request) -> None:
    request.protocol.force_close()
