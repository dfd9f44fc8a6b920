"""`/v2/<name>/blobs/uploads/…` as Ollama's registry has it (Ollama's server/upload.go and x/transfer).

If Ollama's client does not reveal how the server behaves, this one is strict: parts must be requested in order, at the
newest session URL; a used one is valid only for the bytes that it was used for, as that client retries so.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from aiohttp import web

from ..content.oci.layout import discard
from ..content.spool import Spool
from ..errors import InvalidDigest
from ..model import Digest
from .answers import Code, RefusedRequest, empty, plain
from .auth import origin
from .call import Call
from .options import Ollama, Options
from .parts import Part, PartFile, PartSession, Whole
from .receiving import Cut, ask_for_body, check_size, pour
from .repositories import Repositories
from .rules import Rules
from .storage import Storage
from .uploads import CONTENT_RANGE

EXTENSIONS: Final = frozenset({"x-redirect-uploads", "x-content-length"})
_QUERIES: Final = (frozenset[str](), {"mount", "from"}, {"digest"})


class OllamaUploads:
    """The handlers for uploads."""

    def __init__(
        self, options: Options, ollama: Ollama, repositories: Repositories, storage: Storage, rules: Rules, cut: Cut
    ) -> None:
        self._relative = options.relative_locations
        self._max_chunk = options.max_chunk
        self._verifies = options.verifies
        self._options = ollama
        self._repositories = repositories
        self._storage = storage
        self._rules = rules
        self._cut = cut
        self._sessions: dict[str, PartSession] = {}

    async def start(self, call: Call) -> web.StreamResponse:
        """POST: mounts a blob, finds one that is known, or opens a session."""
        request, query = call.request, call.request.query
        if set(query) not in _QUERIES:
            self._rules.unusual(call.exchange, "a POST has mount and from, or digest, or no query")
        if request.body_exists:
            raise self._rules.refusal(call.exchange, Code.BLOB_UPLOAD_INVALID, "a POST has no body")
        if "mount" in query and "from" in query:
            # A mount that can't be done is an ordinary session, whatever was wrong with it.
            with suppress(InvalidDigest):
                digest = Digest.parse(query["mount"])
                if await self._repositories.mount(digest, query["from"], call.repository):
                    return self._created(call, digest)
        whole = self._announced(call)
        if whole is not None and await self._linked(whole.digest, call.repository):
            return self._created(call, whole.digest)
        session = PartSession(call.repository, whole)
        self._sessions[session.id] = session
        headers = self._where(call, session)
        if whole is not None and self._options.direct:
            whole.offered = True
            headers["X-Direct-Upload-URL"], signed = self._storage.presign_whole(session, whole)
            headers |= {f"X-Signed-Header-{name}": value for name, value in signed.items()}
        return empty(202, headers)

    async def status(self, call: Call) -> web.StreamResponse:
        """GET: how far the session has come, if the options say that it can be asked."""
        if not self._options.status:
            self._rules.unusual(call.exchange, "a session can't be asked how far it is here")
            return plain("404 page not found", status=404)
        session, _ = self._find(call)
        return empty(204, self._where(call, session) | {"Range": f"0-{max(session.stored - 1, 0)}"})

    async def append(self, call: Call) -> web.StreamResponse:
        """PATCH: sends a part on to the storage, before its body is read, or takes it."""
        session, step = self._find(call)
        part = self._asked(call, session, step)
        mode = call.request.headers.get("X-Redirect-Uploads")
        if mode not in (None, "1"):
            self._rules.unusual(call.exchange, f"X-Redirect-Uploads: {mode} in a PATCH")
        part.redirected = mode is not None and self._redirects(part)
        if part.redirected:
            headers = {
                "Docker-Upload-Location": self._address(call, session.path),
                "Location": self._storage.presign_part(session, part),
            }
            return empty(307, headers)
        await self._take(call, session, part)
        return empty(202, self._where(call, session))

    async def finish(self, call: Call) -> web.StreamResponse:
        """PUT: makes a blob of what came."""
        session, _ = self._find(call)
        async with session.lock:
            session, step = self._find(call)  # it may have ended while this one waited
            digest = self._check_commit(call, session, step)
            spool = self._repositories.spool()
            try:
                await asyncio.to_thread(_join, session.content, spool)
                if self._verifies and spool.digest != digest:
                    await self._end(session)
                    what = f"what was sent is {spool.digest}, and {digest} was committed"
                    raise self._rules.refusal(call.exchange, Code.DIGEST_INVALID, what)
                await self._repositories.commit(spool, call.repository, digest)
            finally:
                await discard(spool)
            await self._end(session)
        return self._created(call, digest)

    async def cancel(self, call: Call) -> web.StreamResponse:
        """DELETE: nothing says that Ollama's registry knows it."""
        self._rules.unusual(call.exchange, "a session can't be cancelled here")
        return plain("404 page not found", status=404)

    async def forget(self, session: str) -> None:
        """End the session with this id, if there is one."""
        if (found := self._sessions.get(session)) is not None:
            async with found.lock:
                await self._end(found)

    def offset(self, session: str) -> int | None:
        """Return None: parts have no single offset."""
        return None

    async def close(self) -> None:
        """End all sessions."""
        for session in list(self._sessions.values()):
            await self._end(session)

    def _announced(self, call: Call) -> Whole | None:
        """Return the blob that the client announces, if it does. Raises `RefusedRequest`."""
        mode, size = (call.request.headers.get(name) for name in ("X-Redirect-Uploads", "X-Content-Length"))
        text = call.request.query.get("digest")
        if mode is None and size is None and text is None:
            return None
        # Ollama's client sends all three or none.
        if mode != "2" or text is None or size is None or not (size.isascii() and size.isdecimal()):
            what = "a POST with one of digest, X-Redirect-Uploads: 2 and X-Content-Length needs all three"
            raise self._rules.refusal(call.exchange, Code.BLOB_UPLOAD_INVALID, what)
        return Whole(self._digest(call, text), int(size))

    def _digest(self, call: Call, text: str) -> Digest:
        try:
            return Digest.parse(text)
        except InvalidDigest as error:
            raise self._rules.refusal(call.exchange, Code.DIGEST_INVALID, "digest parsing failed") from error

    async def _linked(self, digest: Digest, repository: str) -> bool:
        """Put a blob of any repository into this one too; False if none has it."""
        for name in await self._repositories.names():
            if await self._repositories.mount(digest, name, repository):
                return True
        return False

    def _find(self, call: Call) -> tuple[PartSession, int]:
        """Return the session of the request's URL, and which of the session's URLs that is.

        Raises `RefusedRequest`.
        """
        session = self._sessions.get(call.parts["session"])
        if session is None:
            raise RefusedRequest(Code.BLOB_UPLOAD_UNKNOWN)
        step = session.step(call.request.query.get("_state", ""))
        if session.repository != call.repository or step is None:
            raise self._rules.refusal(call.exchange, Code.BLOB_UPLOAD_UNKNOWN, "not a session URL that was given out")
        return session, step

    def _asked(self, call: Call, session: PartSession, step: int) -> Part:
        """Return the part that a PATCH is for. Raises `RefusedRequest`."""
        request, exchange = call.request, call.exchange
        if session.whole is not None and session.whole.offered:
            self._rules.unusual(exchange, "a part, though a direct upload was offered")
        if set(request.query) != {"_state"}:
            self._rules.unusual(exchange, "the session URL's query was added to")
        stated = CONTENT_RANGE.match(request.headers.get("Content-Range", ""))
        if stated is None:
            raise self._rules.refusal(exchange, Code.BLOB_UPLOAD_INVALID, "Content-Range is not <first>-<last>")
        first, last = int(stated[1]), int(stated[2])
        if request.content_length != last - first + 1:
            raise self._rules.refusal(exchange, Code.SIZE_INVALID, "Content-Range and Content-Length differ")
        try:
            return session.ask(step, first, last)
        except ValueError as error:
            raise self._rules.refusal(exchange, Code.BLOB_UPLOAD_INVALID, str(error)) from error

    def _redirects(self, part: Part) -> bool:
        redirect = self._options.redirect
        return redirect if isinstance(redirect, bool) else redirect(part.first, part.size)

    async def _take(self, call: Call, session: PartSession, part: Part) -> None:
        """Store a part that is not redirected; leave nothing of it if the body breaks off."""
        check_size(part.size, self._max_chunk)
        file: PartFile | None = await asyncio.to_thread(self._repositories.part_file)
        assert file is not None
        try:
            await ask_for_body(call.request)
            await pour(call.request, call.exchange, file.write, self._cut)
            file = session.put(part, file)
        except web.RequestPayloadError as error:
            raise ConnectionResetError("the body broke off") from error
        finally:
            if file is not None:
                await asyncio.shield(asyncio.to_thread(file.discard))

    def _check_commit(self, call: Call, session: PartSession, step: int) -> Digest:
        """Return the digest to commit. Raises `RefusedRequest` if anything is wrong."""
        request, exchange, whole = call.request, call.exchange, session.whole
        invalid = Code.BLOB_UPLOAD_INVALID
        if request.body_exists:
            raise self._rules.refusal(exchange, invalid, "the commit has no body")
        if not session.is_newest(step):
            raise self._rules.refusal(exchange, invalid, "the commit is not at the newest session URL")
        if set(request.query) - {"_state", "digest", "etag"}:
            self._rules.unusual(exchange, "the session URL's query was added to")
        digest = self._digest(call, request.query.get("digest", ""))
        if whole is not None and whole.digest != digest:
            raise self._rules.refusal(exchange, Code.DIGEST_INVALID, f"{whole.digest} was announced")
        etag = request.query.get("etag")
        if whole is not None and whole.offered and not session.parts:
            if whole.file is None:
                raise self._rules.refusal(exchange, invalid, "the direct upload never came")
            if etag is not None:
                self._rules.unusual(exchange, "an etag for a direct upload")
            return digest
        if (flaw := session.flaw(self._options.min_part)) is not None:
            raise self._rules.refusal(exchange, invalid, flaw)
        if etag is None and any(part.redirected for part in session.parts):
            raise self._rules.refusal(exchange, invalid, "parts were redirected, and there is no etag")
        if self._verifies and etag not in (None, session.etag):
            raise self._rules.refusal(exchange, invalid, f"the etag of what was stored is {session.etag}")
        return digest

    async def _end(self, session: PartSession) -> None:
        session.ended = True
        self._sessions.pop(session.id, None)
        await asyncio.shield(asyncio.to_thread(_discard, session.files))

    def _where(self, call: Call, session: PartSession) -> dict[str, str]:
        return {name: self._address(call, session.path) for name in self._options.session_in}

    def _created(self, call: Call, digest: Digest) -> web.StreamResponse:
        location = self._address(call, f"/v2/{call.repository}/blobs/{digest}")
        return empty(201, {"Location": location, "Docker-Content-Digest": str(digest)})

    def _address(self, call: Call, path: str) -> str:
        return path if self._relative else origin(call.request) + path


def _join(files: list[PartFile], spool: Spool) -> None:
    for file in files:
        file.copy_to(spool)


def _discard(files: list[PartFile]) -> None:
    for file in files:
        file.discard()
