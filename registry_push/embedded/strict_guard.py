"""Checks that a client signs in exactly as Ollama's own does (Ollama's server/auth.go)."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final
from urllib.parse import parse_qsl, urlencode

from aiohttp import web

from .answers import Code, RefusedRequest
from .auth import Guard, Scope
from .call import Exchange
from .rules import Rules

_NONCE_BYTES: Final = 16
_SCHEME: Final = re.compile(r"(?:basic|bearer) ", re.IGNORECASE)


class StrictGuard:
    """Wraps another guard, and records what Ollama's client would not have sent."""

    def __init__(self, guard: Guard, rules: Rules) -> None:
        self._guard = guard
        self._rules = rules
        self._signed_in = False

    def check(self, request: web.Request, exchange: Exchange, scopes: tuple[Scope, ...]) -> None:
        """Check that the request may do what `scopes` say. Raises `RefusedRequest`."""
        header = request.headers.get("Authorization")
        if header is not None and _SCHEME.match(header) is None:
            self._rules.broken(exchange, "a signature, which is for the token service only")
        try:
            self._guard.check(request, exchange, scopes)
        except RefusedRequest:
            if header is None and _uploads(request):
                # A POST may be the first request, and learn that a token is needed; a request with a body may not.
                if self._signed_in:
                    self._rules.broken(exchange, "no token, though one was issued")
                elif "_state" in request.query:
                    self._rules.broken(exchange, "no token, after the session was opened with one")
            raise

    def token(self, request: web.Request, exchange: Exchange) -> web.Response:
        """Return the answer to `GET /token`. Raises `RefusedRequest`."""
        header = request.headers.get("Authorization")
        # A client that does not sign is not Ollama's, or is finding out whether this is another kind of registry.
        if header is not None and _SCHEME.match(header) is None and (flaw := _flaw(request)) is not None:
            raise self._rules.refusal(exchange, Code.UNAUTHORIZED, flaw)
        response = self._guard.token(request, exchange)
        self._signed_in = True
        return response

    def revoke(self) -> None:
        """End every token."""
        self._guard.revoke()


def _uploads(request: web.Request) -> bool:
    return request.method in ("POST", "PATCH", "PUT")


def _flaw(request: web.Request) -> str | None:
    """Return what is wrong with the query of a signed request, or None."""
    query = request.raw_path.partition("?")[2]
    pairs = parse_qsl(query, keep_blank_values=True)
    names = [name for name, _ in pairs]
    if sorted(set(names)) != ["nonce", "scope", "service", "ts"]:
        return f"the query has {', '.join(sorted(set(names)))}, not nonce, scope, service and ts"
    if any(names.count(name) > 1 for name in ("nonce", "service", "ts")):
        return "nonce, service and ts are there once"
    values = dict(pairs)
    if any(" " in value for name, value in pairs if name == "scope"):
        return "each scope is a parameter of its own"
    if not _is_nonce(values["nonce"]):
        return "the nonce is not 16 bytes in base64url without padding"
    if not (values["ts"].isascii() and values["ts"].isdecimal()):
        return "ts is not in unix seconds"
    # Go's url.Values.Encode: sorted by name, each value in its order; quoted as Python's quote_plus does.
    if query != urlencode(sorted(pairs, key=lambda pair: pair[0])):
        return "the query is not in the order, or not quoted, as Go's url.Values.Encode does it"
    return None


def _is_nonce(text: str) -> bool:
    try:
        decoded = base64.urlsafe_b64decode(text + "==")
    except (binascii.Error, ValueError):
        return False
    # Decoding forgives a lot; encoding does not.
    return len(decoded) == _NONCE_BYTES and base64.urlsafe_b64encode(decoded).rstrip(b"=") == text.encode()
