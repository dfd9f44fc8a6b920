"""Receiving bodies: from the socket on the event loop, to hash and disk in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NoReturn

from aiohttp import web

from .answers import Code, RefusedRequest
from .call import Call, Exchange
from .options import OnCut, Options
from .sessions import Session, Sessions

# Bytes of a body that the log keeps: enough to tell which bytes of which blob it is.
_HEAD: Final = 32


class Cut:
    """Breaks the connection, once, when so many bytes of bodies have come in."""

    def __init__(self, after: int | None) -> None:
        self._left = after

    def before(self, piece: bytes) -> bytes:
        """Return the part of `piece` before the cut."""
        if self._left is None:
            return piece
        kept = piece[: self._left]
        self._left = self._left - len(kept) if len(kept) == len(piece) else None
        return kept


class BodyReceiver:
    """Appends bodies to sessions, with the limits and faults of the options."""

    def __init__(self, options: Options, sessions: Sessions) -> None:
        self._max_chunk = options.max_chunk
        self._on_cut = options.on_cut
        self._cut = Cut(options.cut_after)
        self._sessions = sessions

    async def receive(self, call: Call, session: Session) -> None:
        """Append the body to the session.

        Raises `RefusedRequest` if the body is too large, and nothing is left of it then. A body that breaks off
        leaves what `OnCut` says, and raises `ConnectionResetError`: aiohttp takes that as the connection's end.
        """
        check_size(call.request.content_length or 0, self._max_chunk)
        mark = session.spool.mark()
        try:
            await ask_for_body(call.request)
            await pour(call.request, call.exchange, session.spool.write, self._cut, self._max_chunk)
        except RefusedRequest:
            await asyncio.to_thread(session.spool.rewind, mark)
            raise
        except (ConnectionError, web.RequestPayloadError) as error:
            match self._on_cut:
                case OnCut.KEEP:
                    pass
                case OnCut.ACKNOWLEDGED:
                    await asyncio.to_thread(session.spool.rewind, mark)
                case OnCut.LOSE:
                    await self._sessions.end(session)
            raise ConnectionResetError("the body broke off") from error


async def pour(
    request: web.Request,
    exchange: Exchange,
    write: Callable[[bytes], None],
    cut: Cut,
    max_size: int | None = None,
) -> None:
    """Read the body and write it, in a thread, piece by piece.

    Raises `RefusedRequest` if it is over `max_size`, `ConnectionError` or `web.RequestPayloadError` if it breaks off.
    """
    loop = asyncio.get_running_loop()
    writing: asyncio.Future[None] | None = None
    try:
        async for piece in request.content.iter_any():
            kept = cut.before(piece)
            if exchange.cut_at is not None:
                kept = kept[: exchange.cut_at - exchange.received]
            exchange.head = (exchange.head + kept)[:_HEAD]
            exchange.received += len(kept)
            check_size(exchange.received, max_size)
            if writing is not None:
                await writing  # one piece is hashed and written while the next comes in
            writing = loop.run_in_executor(None, write, kept)
            if len(kept) < len(piece):
                break_off(request)
    finally:
        if writing is not None:
            await writing


def check_size(size: int, most: int | None) -> None:
    """Raise `RefusedRequest` for a body over `most` bytes."""
    if most is not None and size > most:
        raise RefusedRequest(Code.TOO_LARGE, f"at most {most} bytes a request")


async def ask_for_body(request: web.Request) -> None:
    """Send `100 Continue` if the client waits for it (RFC 9110, 10.1.1). Call it only if the body is needed."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # else aiohttp takes the 100 for the beginning of an answer


def break_off(request: web.Request) -> NoReturn:
    """Cut the line. Raises `ConnectionResetError`."""
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("cut where the options said")
