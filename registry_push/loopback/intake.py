"""Taking bodies in: from the socket on the event loop, to hash and disk in a thread beside it."""

from __future__ import annotations

import asyncio

from aiohttp import web

from ..stores.spool import Spool
from .answers import Code, RefusedRequest
from .call import Call
from .options import OnCut, Options
from .sessions import Session, Sessions


class Intake:
    """Appends bodies to sessions, under the limits and the mishaps that the options ask for."""

    def __init__(self, options: Options, sessions: Sessions) -> None:
        self._max_chunk = options.max_chunk
        self._on_cut = options.on_cut
        self._until_cut = options.cut_after
        self._sessions = sessions

    async def receive(self, call: Call, session: Session) -> None:
        """Appends the body to the session.

        Raises `RefusedRequest` if the body is too large, and nothing is left of it then. A body that breaks off
        leaves what `OnCut` says, and raises `ConnectionResetError`: aiohttp takes that as the connection's end.
        """
        self._check_size(call.request.content_length or 0)
        mark = session.spool.mark()
        try:
            await ask_for_body(call.request)
            await self._read(call, session.spool)
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

    async def _read(self, call: Call, spool: Spool) -> None:
        loop = asyncio.get_running_loop()
        writing: asyncio.Future[None] | None = None
        try:
            async for piece in call.request.content.iter_any():
                call.exchange.received += len(piece)
                self._check_size(call.exchange.received)
                kept = self._before_cut(piece)
                if writing is not None:
                    await writing  # one piece is hashed and written while the next comes in
                writing = loop.run_in_executor(None, spool.write, kept)
                if len(kept) < len(piece):
                    _break_off(call.request)
        finally:
            if writing is not None:
                await writing

    def _before_cut(self, piece: bytes) -> bytes:
        """What of `piece` comes before the cut that is planned, if one is."""
        if self._until_cut is None:
            return piece
        kept = piece[: self._until_cut]
        self._until_cut = self._until_cut - len(kept) if len(kept) == len(piece) else None
        return kept

    def _check_size(self, size: int) -> None:
        if self._max_chunk is not None and size > self._max_chunk:
            raise RefusedRequest(Code.TOO_LARGE, f"at most {self._max_chunk} bytes a request")


async def ask_for_body(request: web.Request) -> None:
    """Asks for a body that waits to be asked for (RFC 9110, 10.1.1): only where it is wanted for certain."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # aiohttp takes a writer that has written for an answer under way


def _break_off(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("cut where the options said")
