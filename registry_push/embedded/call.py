"""One request, as the handlers see it and as the log keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web
from msgspec import Struct

from .faults import Fault

# Headers that tests may want to see. Of Authorization only the scheme is kept: credentials don't belong in a log.
_KEPT_HEADERS: Final = (
    "Host",
    "Content-Type",
    "Content-Length",
    "Content-Range",
    "Range",
    "Accept",
    "Expect",
    "Transfer-Encoding",
    "X-Redirect-Uploads",
    "X-Content-Length",
)


class Exchange(Struct):
    """A request and its result, in the order in which requests arrive.

    `target` is path and query as they were sent; `received` counts the bytes of an upload's body that arrived, also
    of one that was answered before it was read; `status` is 0 until there is an answer, and stays 0 if the connection
    broke before. `authorization` is the scheme's word, `signature` for Ollama's, which has none, and None if there
    was no such header. `began` and `ended` are turns of one counter for all origins; `ended` is 0 while it is under
    way, and comes before the client can have the answer. `told` is the Range of the answer, `head` the first bytes of
    the body, `fault` what went wrong on purpose, `cut_at` the byte of the body at which that will be.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    authorization: str | None
    began: int
    received: int = 0
    status: int = 0
    ended: int = 0
    told: str | None = None
    head: bytes = b""
    fault: Fault | None = None
    cut_at: int | None = None

    @classmethod
    def of(cls, request: web.Request, began: int) -> Exchange:
        """Return what is known when the request begins."""
        headers = {name: request.headers[name] for name in _KEPT_HEADERS if name in request.headers}
        return cls(request.method, request.raw_path, headers, _scheme(request.headers.get("Authorization")), began)


class Call(Struct, frozen=True):
    """A request with the parts of its path."""

    request: web.Request
    parts: Mapping[str, str]
    exchange: Exchange

    @property
    def repository(self) -> str:
        """The repository's name."""
        return self.parts["name"]


def _scheme(authorization: str | None) -> str | None:
    if authorization is None:
        return None
    scheme, space, _ = authorization.partition(" ")
    return scheme if space else "signature"
