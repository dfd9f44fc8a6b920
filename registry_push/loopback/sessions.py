"""Upload sessions: the bytes that came, and the address under which the next ones are taken."""

from __future__ import annotations

import asyncio
import base64
import secrets
import uuid
from urllib.parse import urlencode

from aiohttp import web

from ..stores.layout import discard
from ..stores.spool import Spool
from .answers import Code, RefusedRequest
from .options import OnCut


class Session:
    """One upload to one repository. `lock` is held by the request that changes it."""

    def __init__(self, repository: str, spool: Spool) -> None:
        self.id = str(uuid.uuid4())
        self.repository = repository
        self.spool = spool
        self.lock = asyncio.Lock()
        # With its padding it must be quoted in a query, so that a client which rebuilds Locations is found out.
        self._secret = base64.b64encode(secrets.token_bytes(16)).decode()

    @property
    def path(self) -> str:
        """Where the next bytes go: path and query. It changes with the offset, and an old one is stale."""
        query = urlencode({"_state": f"{self._secret}{self.spool.size}"})
        return f"/v2/{self.repository}/blobs/uploads/{self.id}?{query}"

    @property
    def range(self) -> str:
        """`0-<last byte>`; for an empty session `0-0`, as distribution says it."""
        return f"0-{max(self.spool.size - 1, 0)}"

    def knows(self, state: str) -> bool:
        """Whether `state` is, or was, in an address of this session."""
        return state.startswith(self._secret)

    def is_current(self, state: str) -> bool:
        """Whether `state` is of the address that `path` gives now."""
        return state == f"{self._secret}{self.spool.size}"


class Sessions:
    """The sessions under way."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    def open(self, repository: str, spool: Spool) -> Session:
        """A new session."""
        session = Session(repository, spool)
        self._sessions[session.id] = session
        return session

    def find(self, request: web.Request, repository: str, identifier: str) -> Session:
        """The session that the request's address means. Raises `RefusedRequest`."""
        session, state = self._sessions.get(identifier), request.query.get("_state", "")
        if session is None:
            raise RefusedRequest(Code.BLOB_UPLOAD_UNKNOWN)
        if session.repository != repository or not session.knows(state):
            raise RefusedRequest(Code.BLOB_UPLOAD_UNKNOWN, "not an address of this upload")
        return session

    async def end(self, session: Session) -> None:
        """Forgets the session, and what it holds if that was not committed."""
        self._sessions.pop(session.id, None)
        await discard(session.spool)

    async def close(self) -> None:
        """Ends all sessions."""
        for session in list(self._sessions.values()):
            await self.end(session)


class Intake:
    """Takes bodies in: from the socket on the event loop, to hash and disk in a thread beside it."""

    def __init__(self, *, max_chunk: int | None, on_cut: OnCut, cut_after: int | None) -> None:
        self._max_chunk = max_chunk
        self._on_cut = on_cut
        self._until_cut = cut_after

    def admit(self, request: web.Request) -> None:
        """Refuses a body that is too large before it is sent. Raises `RefusedRequest`."""
        if self._max_chunk is not None and (request.content_length or 0) > self._max_chunk:
            raise RefusedRequest(Code.TOO_LARGE, f"at most {self._max_chunk} bytes a request")

    async def receive(self, request: web.Request, session: Session) -> int:
        """Appends the body to the session and returns its length.

        A body that breaks off leaves in the session what `on_cut` says, and raises `ConnectionResetError`, which
        aiohttp takes as the end of the connection.
        """
        mark, received = session.spool.mark(), 0
        writing: asyncio.Future[None] | None = None
        loop = asyncio.get_running_loop()
        await _continue(request)
        try:
            async for piece in request.content.iter_any():
                received += len(piece)
                request["exchange"].received = received
                kept = self._before_cut(piece)
                if writing is not None:
                    await writing  # one piece is hashed and written while the next is read
                writing = loop.run_in_executor(None, session.spool.write, kept)
                if len(kept) < len(piece):
                    _break_off(request)
                if self._max_chunk is not None and received > self._max_chunk:
                    raise RefusedRequest(Code.TOO_LARGE, f"at most {self._max_chunk} bytes a request")
        except web.RequestPayloadError as error:  # the body broke off inside its own framing
            raise ConnectionResetError("the body broke off") from error
        finally:
            if writing is not None:
                await writing
        return received - (session.spool.size - mark[0] - received)
