"""`/v2/<name>/blobs/uploads/…` (distribution-spec, "Pushing blobs")."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final

from aiohttp import web

from ..errors import InvalidDigest
from ..model import Digest
from .answers import Code, RefusedRequest, empty, html
from .auth import origin
from .call import Call
from .chunk_rules import ChunkRules, RangeReply
from .digests import digest_of
from .late_commits import LateCommits
from .options import Options
from .receiving import BodyReceiver
from .repositories import Repositories
from .sessions import Session, Sessions

CONTENT_RANGE: Final = re.compile(r"([0-9]{1,19})-([0-9]{1,19})\Z")
_OCTETS: Final = "application/octet-stream"


class Uploads:
    """The handlers for uploads."""

    def __init__(self, options: Options, repositories: Repositories, sessions: Sessions, late: LateCommits) -> None:
        self._options = options
        self._late = late
        self._rules = ChunkRules(options.quirks, options.min_chunk)
        self._repositories = repositories
        self._sessions = sessions
        self._intake = BodyReceiver(options, sessions)

    async def start(self, call: Call) -> web.StreamResponse:
        """POST: mounts a blob, takes a whole one, or opens a session."""
        query = call.request.query
        if self._options.zot_like and "digest" in query:
            # zot, pkg/api/routes.go, CreateBlobUpload: a digest says that the whole blob is in this request.
            if call.request.headers.get("Content-Type") != _OCTETS:
                return empty(415, {})
            if not call.request.body_exists:
                raise RefusedRequest(Code.BLOB_UPLOAD_INVALID)
        if "mount" in query and "from" in query:
            # A mount that can't be done is an ordinary session, whatever was wrong with it.
            with suppress(InvalidDigest):
                digest = Digest.parse(query["mount"])
                if await self._mounts(digest, query["from"], call.repository):
                    return self._created(call, digest)
        session = self._sessions.open(call.repository, self._repositories.spool())
        if "digest" in query and call.request.body_exists:
            try:
                return await self._finish(call, session)
            finally:
                await self._sessions.end(session)
        return empty(202, self._where(call, session) | self._rules.announced)

    async def status(self, call: Call) -> web.StreamResponse:
        """GET: the session's progress. An old URL is answered too, with the new one.

        It waits for a body that is being received, so that the answer stays true.
        """
        async with self._sessions.held(call) as session:
            where = self._where(call, session, RangeReply.STATUS) | self._rules.announced_with_status
            if not self._options.quirks.status_has_location:
                del where["Location"]
            return empty(204, where)

    async def append(self, call: Call) -> web.StreamResponse:
        """PATCH: takes a chunk."""
        async with self._sessions.held(call) as session:
            self._check_place(call, session)
            self._rules.check_chunk(call.request, session, self._where(call, session, RangeReply.REFUSAL))
            before = session.spool.size
            await self._intake.receive(call, session)
            if session.spool.size > before:
                session.chunks.append(session.spool.size - before)
            return empty(self._options.quirks.patch_status, self._where(call, session))

    async def finish(self, call: Call) -> web.StreamResponse:
        """PUT: takes the last chunk, if there is one, and makes a blob of the session."""
        async with self._sessions.held(call) as session:
            return await self._finish(call, session)

    async def cancel(self, call: Call) -> web.StreamResponse:
        """DELETE: forgets the session."""
        async with self._sessions.held(call) as session:
            await self._sessions.end(session)
        return empty(204, {"Docker-Upload-UUID": session.id})

    async def close(self) -> None:
        """End all sessions."""
        await self._sessions.close()
        await self._late.close()

    async def _mounts(self, digest: Digest, source: str, target: str) -> bool:
        if self._options.quirks.mounts_need_manifest and not await self._repositories.has_manifests(source):
            return False
        return await self._repositories.mount(digest, source, target)

    async def _finish(self, call: Call, session: Session) -> web.StreamResponse:
        if "digest" not in call.request.query:
            raise RefusedRequest(Code.DIGEST_INVALID, "digest missing")
        digest = digest_of(call.request.query["digest"])
        if call.request.method == "PUT":
            self._check_place(call, session)
            if (status := self._rules.refuses_whole(call.request, session)) is not None:
                return html("no such page", status=status)
            self._rules.check_closing(call.request, session)
        await self._intake.receive(call, session)
        if self._options.verifies and session.spool.digest != digest:
            await self._sessions.end(session)
            raise RefusedRequest(Code.DIGEST_INVALID, {"Digest": str(digest), "Received": str(session.spool.digest)})
        if self._late.takes(session.spool.size):
            return self._late.add(call.request, self._sessions.release(session), call.repository, digest)
        await self._repositories.commit(session.spool, call.repository, digest)
        await self._sessions.end(session)
        return self._created(call, digest)

    def _check_place(self, call: Call, session: Session) -> None:
        """Raise `RefusedRequest` unless the body belongs where the session ends."""
        request = call.request
        where = self._where(call, session, RangeReply.REFUSAL)
        if not session.is_current(request.query.get("_state", "")):
            raise RefusedRequest(Code.RANGE_INVALID, "this address is stale", headers=where)
        if "Content-Range" not in request.headers:
            return
        stated = CONTENT_RANGE.match(request.headers["Content-Range"])
        if stated is None:
            raise RefusedRequest(Code.BLOB_UPLOAD_INVALID, "Content-Range is not <first>-<last>")
        first, last = int(stated[1]), int(stated[2])
        if first > last or first != session.spool.size:
            raise RefusedRequest(Code.RANGE_INVALID, f"the next byte is {session.spool.size}", headers=where)
        if request.content_length is not None and request.content_length != last - first + 1:
            raise RefusedRequest(Code.SIZE_INVALID, "Content-Range and Content-Length differ")

    def _where(self, call: Call, session: Session, told: RangeReply = RangeReply.CHUNK) -> dict[str, str]:
        where = {"Location": self._location(call, session.path), "Docker-Upload-UUID": session.id}
        held = self._rules.range(session, told)
        return where if held is None else where | {"Range": held}

    def _created(self, call: Call, digest: Digest) -> web.StreamResponse:
        location = self._location(call, f"/v2/{call.repository}/blobs/{digest}")
        return empty(201, {"Location": location, "Docker-Content-Digest": str(digest)})

    def _location(self, call: Call, path: str) -> str:
        return path if self._options.relative_locations else origin(call.request) + path
