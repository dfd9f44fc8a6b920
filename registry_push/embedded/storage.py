"""The storage of an Ollama registry: presigned URLs at an origin of its own, as S3 and R2 have them."""

from __future__ import annotations

import asyncio
import base64
import secrets
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Final
from xml.sax.saxutils import escape

from aiohttp import web
from msgspec import Struct

from .call import Exchange
from .failures import Mishaps
from .listener import EarlyAnswers, Listener
from .options import Ollama
from .parts import Holder, Part, PartFile, PartSession, Whole
from .receiving import Cut, ask_for_body, pour
from .repositories import Repositories
from .rules import Rules


class Presigned(Struct, frozen=True):
    """What one URL allows: a PUT of `holder`'s bytes, with `headers`, until `expires`."""

    session: PartSession
    holder: Holder
    headers: Mapping[str, str]
    expires: float


class Storage:
    """Takes parts and whole blobs at URLs that it has signed, and nothing else."""

    def __init__(
        self,
        options: Ollama,
        repositories: Repositories,
        rules: Rules,
        cut: Cut,
        turns: Iterator[int],
        tls: ssl.SSLContext | None,
    ) -> None:
        self.mishaps: Mishaps | None = None  # set by the server, which knows the sessions
        self._options = options
        self._repositories = repositories
        self._rules = rules
        self._cut = cut
        self._presigned: dict[str, Presigned] = {}
        self._to_expire = options.expire_first
        early = EarlyAnswers(rules, options.discards, options.close_early)
        self.listener = Listener(self._answer, turns, tls=tls, early=early)

    @property
    def most_parallel_puts(self) -> int:
        """How many PUTs were under way at one time, at most."""
        puts = [exchange for exchange in self.listener.log if exchange.method == "PUT"]
        under_way = (
            sum(put.began <= at.began and (not put.ended or put.ended > at.began) for put in puts) for at in puts
        )
        return max(under_way, default=0)

    def presign_part(self, session: PartSession, part: Part) -> str:
        """Return a URL to PUT `part` to."""
        return self._presign(session, part, f"&partNumber={part.number}&uploadId={secrets.token_urlsafe(24)}", {})

    def presign_whole(self, session: PartSession, whole: Whole) -> tuple[str, Mapping[str, str]]:
        """Return a URL to PUT the whole blob to, and the headers that go with it."""
        checksum = base64.b64encode(bytes.fromhex(whole.digest.hex)).decode()
        headers = {**self._options.signed_headers, "X-Amz-Checksum-Sha256": checksum}
        return self._presign(session, whole, "&x-id=PutObject&note=a+b", headers), headers

    def _presign(self, session: PartSession, holder: Holder, query: str, headers: Mapping[str, str]) -> str:
        """Return a URL like R2's that reveals a client which re-encodes it: `%2f` and `%7E`, `+`, any order."""
        began = self._options.clock()
        if self._to_expire:
            self._to_expire -= 1
            began -= self._options.lifetime + 1
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(began))
        signed = "%3b".join(["host", *sorted(name.lower() for name in headers)])
        target = (
            f"/ollama/docker/registry/v2/repositories/{session.repository}/_uploads/{session.id}/%7Edata"
            f"?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=embedded%2f{date[:8]}%2fauto%2fs3%2faws4_request"
            f"&X-Amz-Date={date}&X-Amz-Expires={self._options.lifetime}&X-Amz-SignedHeaders={signed}{query}"
            f"&X-Amz-Signature={secrets.token_hex(32)}"
        )
        self._presigned[target] = Presigned(session, holder, headers, began + self._options.lifetime)
        return self.listener.origin + target

    async def _answer(self, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        hook = self._options.storage_hook
        if hook is not None and (answer := await hook(request)) is not None:
            return answer
        if self.mishaps is not None:
            return await self.mishaps.answer(request, exchange, self._handled, storage=True)
        return await self._handled(request, exchange)

    async def _handled(self, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        if request.method != "PUT":
            return self._refused(exchange, 405, "MethodNotAllowed", "the storage takes PUT only")
        for name, status, code in _NEVER:
            if name in request.headers:
                return self._refused(exchange, status, code, f"{name} was sent to the storage")
        presigned = self._presigned.get(request.raw_path)
        if presigned is None:
            return self._refused(exchange, 403, "SignatureDoesNotMatch", "no presigned URL, byte for byte")
        if presigned.expires <= self._options.clock():
            return _error(403, "AccessDenied", "Request has expired")
        if presigned.session.ended:
            return _error(404, "NoSuchUpload", "The specified upload does not exist.")
        for name, value in presigned.headers.items():
            if request.headers.getall(name, []) != [value]:
                return self._refused(exchange, 403, "SignatureDoesNotMatch", f"{name} is not what was signed")
        self._rules.check_extensions(request, exchange, {name.lower() for name in presigned.headers})
        if request.content_length != presigned.holder.size:
            return self._refused(exchange, 400, "InvalidRequest", "Content-Length is not the size that was asked for")
        return await self._take(request, exchange, presigned)

    async def _take(self, request: web.Request, exchange: Exchange, presigned: Presigned) -> web.StreamResponse:
        file: PartFile | None = await asyncio.to_thread(self._repositories.part_file)
        assert file is not None
        try:
            await ask_for_body(request)
            await pour(request, exchange, file.write, self._cut)
            etag = file.md5.hex()
            file = presigned.session.put(presigned.holder, file)
        except web.RequestPayloadError as error:
            raise ConnectionResetError("the body broke off") from error
        finally:
            if file is not None:
                await asyncio.shield(asyncio.to_thread(file.discard))
        status = self._options.direct_status if isinstance(presigned.holder, Whole) else 200
        return web.Response(status=status, headers={"ETag": f'"{etag}"'})

    def _refused(self, exchange: Exchange, status: int, code: str, what: str) -> web.Response:
        self._rules.broken(exchange, what)
        return _error(status, code, what)


# S3's answers to a second credential beside a presigned URL, and to a body without a length.
_NEVER: Final = (
    ("Authorization", 400, "InvalidArgument"),
    ("Content-Range", 400, "InvalidArgument"),
    ("Cookie", 400, "InvalidArgument"),
    ("Transfer-Encoding", 411, "MissingContentLength"),
)


def _error(status: int, code: str, message: str) -> web.Response:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    )
    return web.Response(body=text.encode(), status=status, content_type="application/xml")
