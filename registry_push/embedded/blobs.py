"""`/v2/<name>/blobs/<digest>` (distribution-spec, "Pulling blobs", "Deleting blobs")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from ..content.body import FileBody
from ..errors import BlobMissing
from ..model import Digest
from .answers import Code, RefusedRequest, empty, html, undeletable
from .auth import other_origin
from .call import Call
from .digests import digest_of
from .quirks import Quirks
from .repositories import Repositories
from .rules import Rules

_RANGE: Final = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})\Z")


class Blobs:
    """The handlers for blobs."""

    def __init__(self, repositories: Repositories, quirks: Quirks, rules: Rules) -> None:
        self._repositories = repositories
        self._quirks = quirks
        self._rules = rules

    async def get(self, call: Call) -> web.StreamResponse:
        """GET and HEAD: the blob or one range of it, or a redirect to the storage."""
        digest = _digest_in(call)
        if self._quirks.storage_head is not None and await self._repositories[call.repository].has(digest):
            return self._elsewhere(call, digest)
        if self._quirks.mounts_are_links and call.request.method == "HEAD":
            link = f"{call.repository}/blobs/{digest}".encode()
            if (call.repository, digest) in self._repositories.mounted:
                told = {"Docker-Content-Digest": str(Digest.of(link)), "Content-Length": str(len(link))}
                return empty(200, told)
        return await self._content(call, digest)

    async def stored(self, call: Call) -> web.StreamResponse:
        """GET and HEAD at the storage, for all who have the signed URL."""
        if self._quirks.storage_head is None or "X-Amz-Signature" not in call.request.query:
            return html("AccessDenied", status=403)
        if call.exchange.authorization is not None:
            self._rules.broken(call.exchange, "Authorization was sent to the storage")
            return html("InvalidArgument", status=400)
        if call.request.method == "HEAD":
            return html("signed for GET", status=self._quirks.storage_head)
        return await self._content(call, _digest_in(call))

    def _elsewhere(self, call: Call, digest: Digest) -> web.StreamResponse:
        location = f"{other_origin(call.request)}/storage/{call.repository}/{digest}?X-Amz-Signature=5e%2f"
        named = {"Docker-Content-Digest": str(digest)} if self._quirks.storage_named else {}
        return empty(307, {"Location": location} | named)

    async def _content(self, call: Call, digest: Digest) -> web.StreamResponse:
        try:
            body = await self._repositories[call.repository].body(digest)
        except BlobMissing as error:
            raise RefusedRequest(Code.BLOB_UNKNOWN, str(digest)) from error
        try:
            return await send(call, digest, body, {})
        finally:
            await body.close()

    async def delete(self, call: Call) -> web.StreamResponse:
        """DELETE: remove the blob from this repository only."""
        if self._quirks.refuses_deletion is not None:
            return undeletable(self._quirks.refuses_deletion, Code.UNSUPPORTED)
        digest = _digest_in(call)
        if not await self._repositories.remove(call.repository, digest):
            raise RefusedRequest(Code.BLOB_UNKNOWN, str(digest))
        return empty(202, {})


def _digest_in(call: Call) -> Digest:
    return digest_of(call.parts["digest"], unknown=Code.BLOB_UNKNOWN)


async def send(call: Call, digest: Digest | None, body: FileBody, headers: Mapping[str, str]) -> web.StreamResponse:
    """Answer with `body`, or the requested range of it, and with `headers`; None: without the digest."""
    request, named = call.request, {} if digest is None else {"Docker-Content-Digest": str(digest)}
    response = web.StreamResponse(headers={**named, **headers, **({"ETag": f'"{digest}"'} if named else {})})
    if request.headers.get("If-None-Match") == f'"{digest}"':
        response.set_status(304)
        return response
    response.headers["Accept-Ranges"] = "bytes"
    response.content_type = "application/octet-stream"
    start, end = 0, body.size
    if "Range" in request.headers and "," not in request.headers["Range"]:  # RFC 9110, 14.2: may be ignored
        wanted = _wanted(request.headers["Range"], body.size)
        if wanted is None:
            headers = {"Content-Range": f"bytes */{body.size}", **named}
            raise RefusedRequest(Code.RANGE_INVALID, headers=headers)
        start, end = wanted
        response.set_status(206)
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{body.size}"
    response.content_length = end - start
    call.exchange.status = response.status  # before the client can see it
    await response.prepare(request)
    if request.method != "HEAD":
        async for piece in body.open(start, end - start):
            await response.write(piece)
    return response


def _wanted(header: str, size: int) -> tuple[int, int] | None:
    """Return start and end of the range that `header` asks for, or None if it is not satisfiable (RFC 9110, 14.1.2)."""
    match = _RANGE.match(header)
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        start, end = max(size - int(match[2]), 0), size
    else:
        start, end = int(match[1]), min(int(match[2]) + 1 if match[2] else size, size)
    return (start, end) if start < end else None
