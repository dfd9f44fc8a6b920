"""`/v2/<user>/<repository>/…` as hf.co has it for Ollama's clients, which only pull there.

Sources: hub-docs, docs/hub/ollama.md; ollama/ollama issues 8360, 10195 and 11654. Small blobs are answered 200 with the
body and a relative Location, from which they can be fetched without a login; weights are in a storage at another
origin, and are answered 307. Names are matched without case. llama.cpp gets another manifest.
"""

from __future__ import annotations

import itertools
import secrets
import ssl
from collections.abc import Iterator
from typing import Final

from aiohttp import web
from msgspec import Struct

from ..content.body import FileBody
from ..errors import BlobMissing
from ..model import Digest
from .answers import Code, RefusedRequest, document, empty, plain
from .blobs import send
from .call import Call, Exchange
from .digests import digest_of
from .listener import Listener
from .manifests import Manifests
from .options import HuggingFace
from .repositories import Repositories
from .rules import Rules

# A user's or an organisation's name, and that of a repository: capitals are usual in both.
NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*"
_GGUF: Final = b"GGUF"
_LLAMA_CPP: Final = "llama-cpp"


class _Presigned(Struct, frozen=True):
    """The content of one URL of the storage."""

    repository: str
    digest: Digest
    expires: float


class HuggingFaceHub:
    """The handlers, and the storage in which the weights are."""

    def __init__(
        self,
        options: HuggingFace,
        repositories: Repositories,
        manifests: Manifests,
        rules: Rules,
        turns: Iterator[int],
        tls: ssl.SSLContext | None,
    ) -> None:
        self._options = options
        self._repositories = repositories
        self._manifests = manifests
        self._rules = rules
        self._presigned: dict[str, _Presigned] = {}
        self._numbers = itertools.count(1)
        self.listener = Listener(self._stored, turns, tls=tls)

    async def manifest(self, call: Call) -> web.StreamResponse:
        """GET and HEAD of a manifest; llama.cpp is told which file to fetch instead."""
        if call.request.headers.get("User-Agent", "").startswith(_LLAMA_CPP):
            return document({"ggufFile": {"rfilename": "model.gguf"}})
        response = await self._manifests.get(_folded(call))
        if not self._options.tells_digest:
            del response.headers["Docker-Content-Digest"]
            del response.headers["ETag"]
        return response

    async def blob(self, call: Call) -> web.StreamResponse:
        """GET and HEAD of a blob, or of the Location that an earlier answer named."""
        digest, repository = digest_of(call.parts["digest"], unknown=Code.BLOB_UNKNOWN), _folded(call).repository
        body = await self._body(repository, digest)
        try:
            if call.request.method == "GET" and await self._is_large(body):
                return empty(307, {"Location": self._presign(repository, digest)})
            location = f"/v2/{call.repository}/blobs/{digest}?__sign={secrets.token_urlsafe(16)}"
            return await send(call, digest, body, {"Location": location})
        finally:
            await body.close()

    async def read_only(self, call: Call) -> web.StreamResponse:
        """Refuse everything that would write."""
        self._rules.broken(call.exchange, "nothing is pushed to hf.co in this way")
        return plain("Method not allowed", status=405)

    async def _body(self, repository: str, digest: Digest) -> FileBody:
        try:
            return await self._repositories[repository].body(digest)
        except BlobMissing as error:
            raise RefusedRequest(Code.BLOB_UNKNOWN, str(digest)) from error

    async def _is_large(self, body: FileBody) -> bool:
        """Return whether the blob is in the storage, as all files of weights are."""
        begin = b"".join([piece async for piece in body.open(0, min(len(_GGUF), body.size))])
        return begin == _GGUF

    def _presign(self, repository: str, digest: Digest) -> str:
        began = self._options.clock()
        if next(self._numbers) <= self._options.expire_first:
            began -= self._options.lifetime + 1
        target = (
            f"/xet-bridge-us/{secrets.token_hex(12)}/{digest.hex}?X-Amz-Algorithm=AWS4-HMAC-SHA256"
            f"&X-Amz-Expires={self._options.lifetime}&X-Amz-SignedHeaders=host&x-id=GetObject"
            f"&X-Amz-Signature={secrets.token_hex(32)}&X-Xet-Cas-Uid=public"
        )
        self._presigned[target] = _Presigned(repository, digest, began + self._options.lifetime)
        return self.listener.origin + target

    async def _stored(self, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        hook = self._options.storage_hook
        if hook is not None and (answer := await hook(request)) is not None:
            return answer
        if exchange.authorization is not None:
            self._rules.broken(exchange, "Authorization was sent to the storage")
            return plain("InvalidArgument", status=400)
        presigned = self._presigned.get(request.raw_path)
        if request.method != "GET" or presigned is None:
            self._rules.broken(exchange, "the storage takes GET of a presigned URL only, byte for byte")
            return plain("SignatureDoesNotMatch", status=403)
        if presigned.expires <= self._options.clock():
            return plain("Request has expired", status=403)
        try:
            body = await self._body(presigned.repository, presigned.digest)
        except RefusedRequest:
            return plain("NoSuchKey", status=404)
        try:
            return await send(Call(request, {}, exchange), None, body, {})
        finally:
            await body.close()


def _folded(call: Call) -> Call:
    """Return the call with the repository's name as it is stored: names are matched without case."""
    return Call(call.request, {**call.parts, "name": call.repository.lower()}, call.exchange)
