"""Upload sessions: the received bytes, and the URL for the next ones."""

from __future__ import annotations

import asyncio
import base64
import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlencode

from ..content.oci.layout import discard
from ..content.spool import Spool
from .answers import Code, RefusedRequest
from .call import Call


class Session:
    """One upload to one repository. `lock` is held by the request that changes it."""

    def __init__(self, repository: str, spool: Spool) -> None:
        self.id = str(uuid.uuid4())
        self.repository = repository
        self.spool = spool
        self.lock = asyncio.Lock()
        self.chunks: list[int] = []  # the sizes of the accepted PATCHes
        # With its padding it must be quoted in a query, so that a client which rebuilds Locations is found out.
        self._secret = base64.b64encode(secrets.token_bytes(16)).decode()

    @property
    def path(self) -> str:
        """The URL for the next bytes: path and query. It changes with the offset, and old ones are stale."""
        query = urlencode({"_state": f"{self._secret}{self.spool.size}"})
        return f"/v2/{self.repository}/blobs/uploads/{self.id}?{query}"

    def knows(self, state: str) -> bool:
        """Return whether `state` is, or was, in an address of this session."""
        return state.startswith(self._secret)

    def is_current(self, state: str) -> bool:
        """Return whether `state` is of the address that `path` gives now."""
        return state == f"{self._secret}{self.spool.size}"


class Sessions:
    """The sessions under way."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    def open(self, repository: str, spool: Spool) -> Session:
        """Return a new session."""
        session = Session(repository, spool)
        self._sessions[session.id] = session
        return session

    def find(self, call: Call) -> Session:
        """Return the session that the request's address means, an old one of its addresses too.

        Raises `RefusedRequest`.
        """
        session = self._sessions.get(call.parts["session"])
        if session is None:
            raise RefusedRequest(Code.BLOB_UPLOAD_UNKNOWN)
        if session.repository != call.repository or not session.knows(call.request.query.get("_state", "")):
            raise RefusedRequest(Code.BLOB_UPLOAD_UNKNOWN, "not an address of this upload")
        return session

    @asynccontextmanager
    async def held(self, call: Call) -> AsyncIterator[Session]:
        """As `find`, for one request at a time."""
        async with self.find(call).lock:
            yield self.find(call)  # it may have ended while this one waited

    async def end(self, session: Session) -> None:
        """Forget the session, and what it holds if that was not committed."""
        if self._sessions.pop(session.id, None) is not None:
            await discard(session.spool)

    def release(self, session: Session) -> Spool:
        """Forget the session, and hand over what it holds."""
        self._sessions.pop(session.id, None)
        return session.spool

    async def forget(self, session: str) -> None:
        """End the session with this id, if there is one, when nobody holds it."""
        if (found := self._sessions.get(session)) is not None:
            async with found.lock:
                await self.end(found)

    def offset(self, session: str) -> int | None:
        """Return how many bytes the session holds; None if there is none."""
        found = self._sessions.get(session)
        return found.spool.size if found is not None else None

    async def close(self) -> None:
        """End all sessions."""
        for session in list(self._sessions.values()):
            await self.end(session)
