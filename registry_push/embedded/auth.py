"""Access control: Basic, and Bearer tokens, issued at `/token` for Ollama's signature or a password.

The specification is distribution's docs/spec/auth/token.md; the signature is that of Ollama's server/auth.go.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from aiohttp import web
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from msgspec import Struct

from ..protocol.auth.signing import signed_text
from .answers import Code, RefusedRequest, document, plain
from .call import Exchange
from .options import Basic, Token

# Seconds that a signature's time may be off; after that, a recorded request can't be replayed.
_MAX_SKEW: Final = 300
# The prefix of tokens, by which leaked ones can be found.
TOKEN_MARK: Final = "embedded-token-"  # noqa: S105  # no secret, the sign of one
_ALL: Final = frozenset({"pull", "push", "delete", "*"})  # "*": the catalogue's


class Scope(Struct, frozen=True):
    """Actions on one resource: `repository:<name>:<actions>` or `registry:catalog:*`."""

    kind: str
    name: str
    actions: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> Scope | None:
        """Return the scope that `text` spells, or None."""
        kind, _, rest = text.partition(":")
        name, _, actions = rest.rpartition(":")
        return cls(kind, name, frozenset(actions.split(","))) if kind and name and actions else None

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}:{','.join(sorted(self.actions))}"


def repository(name: str, *actions: str) -> Scope:
    """Return the scope for `actions` on the repository `name`."""
    return Scope("repository", name, frozenset(actions))


class Guard(Protocol):
    """Accepts requests, or refuses them with a challenge."""

    def check(self, request: web.Request, exchange: Exchange, scopes: tuple[Scope, ...]) -> None:
        """Check that the request may do what `scopes` say. Raises `RefusedRequest`."""
        ...

    def token(self, request: web.Request, exchange: Exchange) -> web.Response:
        """Return the answer to `GET /token`. Raises `RefusedRequest`."""
        ...

    def revoke(self) -> None:
        """End every token."""
        ...


class Open:
    """A guard that allows everything."""

    def check(self, request: web.Request, exchange: Exchange, scopes: tuple[Scope, ...]) -> None:
        """Do nothing."""

    def token(self, request: web.Request, exchange: Exchange) -> web.Response:
        """Raise `RefusedRequest`: there are no tokens here."""
        return plain("404 page not found", status=404)

    def revoke(self) -> None:
        """Do nothing: there are no tokens."""


class BasicGuard(Open):
    """A guard that wants name and password with each request."""

    def __init__(self, auth: Basic) -> None:
        self._auth = auth

    def check(self, request: web.Request, exchange: Exchange, scopes: tuple[Scope, ...]) -> None:
        """Check name and password. Raises `RefusedRequest`."""
        if not _known(request.headers.get("Authorization"), self._auth.users):
            challenge = {"WWW-Authenticate": f'Basic realm="{self._auth.realm}"'}
            raise RefusedRequest(Code.UNAUTHORIZED, _detail(scopes), headers=challenge)


class _Issued(NamedTuple):
    """The rights of a token. `namespaces`: where it may push, None for everywhere."""

    ends: float
    grants: frozenset[tuple[str, str, str]]
    namespaces: frozenset[str] | None


_NOTHING: Final = _Issued(0.0, frozenset(), None)


class TokenGuard:
    """A guard with opaque tokens, which are bound to scopes and expire."""

    def __init__(self, auth: Token) -> None:
        self._auth = auth
        self._issued: dict[str, _Issued] = {}
        self._nonces: dict[str, float] = {}

    def check(self, request: web.Request, exchange: Exchange, scopes: tuple[Scope, ...]) -> None:
        """Check that the token is valid and covers `scopes`. Raises `RefusedRequest`."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        error = None
        if scheme.lower() == "bearer":
            issued = self._issued.get(token, _NOTHING)
            if issued.ends <= self._auth.clock():
                error = "invalid_token"
            elif issued.grants >= _grants(scopes):
                _check_namespaces(scopes, issued.namespaces)
                return
            else:
                error = "insufficient_scope"
        parameters = [f'realm="{origin(request)}/token"', f'service="{self._auth.service}"']
        if scopes:
            parameters.append(f'scope="{" ".join(map(str, scopes))}"')
        if error:
            parameters.append(f'error="{error}"')
        challenge = {"WWW-Authenticate": "Bearer " + ",".join(parameters)}
        raise RefusedRequest(Code.UNAUTHORIZED, _detail(scopes), headers=challenge)

    def token(self, request: web.Request, exchange: Exchange) -> web.Response:
        """Return a token for those of the requested scopes that the client may have."""
        if request.query.get("service") != self._auth.service:
            raise RefusedRequest(Code.UNAUTHORIZED, "this service is not served here")
        allowed, namespaces = self._allowed(request)
        asked = " ".join(request.query.getall("scope", [])).split()
        scopes = [scope for text in asked if (scope := Scope.parse(text)) is not None]
        granted = frozenset(grant for grant in _grants(scopes) if grant[2] in allowed)
        token = f"{TOKEN_MARK}{secrets.token_urlsafe(32)}"
        self._issued[token] = _Issued(self._auth.clock() + self._auth.lifetime, granted, namespaces)
        return document({"token": token, "access_token": token, "expires_in": self._auth.lifetime})

    def revoke(self) -> None:
        """End every token."""
        self._issued.clear()

    def _allowed(self, request: web.Request) -> tuple[frozenset[str], frozenset[str] | None]:
        """Return the actions that the client may do, and the namespaces to push to; None: all."""
        header = request.headers.get("Authorization")
        if header is None and self._auth.anonymous_pull:
            return frozenset({"pull"}), None
        if header is not None and not header.lower().startswith("basic "):
            wire, keys = self._verify(request, header), self._auth.keys
            return _ALL, keys[wire] if isinstance(keys, Mapping) else None
        if not _known(header, self._auth.users):
            raise RefusedRequest(Code.UNAUTHORIZED, "who are you?")
        return _ALL, None

    def _verify(self, request: web.Request, header: str) -> bytes:
        """Return the key that signed this very request, if it is known. Raises `RefusedRequest`."""
        wire, signature = _parse_signature(header)
        if wire not in self._auth.keys:
            raise RefusedRequest(Code.UNAUTHORIZED, "this key is not known here")
        try:
            # The signature is for the URL as the client wrote it: `raw_path` is neither decoded nor normalised.
            public_key(wire).verify(signature, signed_text(origin(request) + request.raw_path))
        except (ValueError, InvalidSignature):
            raise RefusedRequest(Code.UNAUTHORIZED, "the signature is not of this request") from None
        now, ts = self._auth.clock(), request.query.get("ts", "")
        if not ts.isdecimal() or abs(now - int(ts)) > _MAX_SKEW:
            raise RefusedRequest(Code.UNAUTHORIZED, f"the signature's time is over {_MAX_SKEW} s off")
        nonce = request.query.get("nonce", "")
        if not nonce or nonce in self._nonces:
            raise RefusedRequest(Code.UNAUTHORIZED, "the nonce is missing or was used before")
        # A nonce is remembered only for as long as its timestamp is accepted.
        self._nonces = {old: seen for old, seen in self._nonces.items() if abs(now - seen) <= _MAX_SKEW}
        self._nonces[nonce] = int(ts)
        return wire


def guard(auth: Basic | Token | None) -> Guard:
    """Return the guard of a registry with this `auth`."""
    match auth:
        case Basic():
            return BasicGuard(auth)
        case Token():
            return TokenGuard(auth)
        case None:
            return Open()


def public_key(wire: bytes) -> Ed25519PublicKey:
    """Return the ed25519 key in SSH's wire form (RFC 8709, section 4). Raises `ValueError` for anything else."""
    try:
        key = load_ssh_public_key(b"ssh-ed25519 " + base64.b64encode(wire))
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an ed25519 key")  # noqa: TRY004  # the value is wrong, not the caller's type
    return key


def origin(request: web.Request) -> str:
    """Return scheme, host and port as the client wrote them."""
    return f"{request.scheme}://{request.host}"


def other_origin(request: web.Request) -> str:
    """Return the same server under its other name: another origin to every client (RFC 6454)."""
    return f"{request.scheme}://localhost:{request.host.rpartition(':')[2]}"


def _parse_signature(header: str) -> tuple[bytes, bytes]:
    key, _, signature = header.partition(":")
    try:
        return base64.b64decode(key, validate=True), base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        raise RefusedRequest(Code.UNAUTHORIZED, "Authorization is neither Basic nor a signature") from None


def _known(header: str | None, users: Mapping[str, str]) -> bool:
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return False
    return name in users and hmac.compare_digest(users[name].encode(), password.encode())


def _check_namespaces(scopes: tuple[Scope, ...], owned: frozenset[str] | None) -> None:
    for scope in scopes:
        if owned is not None and "push" in scope.actions and scope.name.partition("/")[0] not in owned:
            raise RefusedRequest(Code.DENIED)


def _grants(scopes: Iterable[Scope]) -> frozenset[tuple[str, str, str]]:
    return frozenset((scope.kind, scope.name, action) for scope in scopes for action in scope.actions)


def _detail(scopes: tuple[Scope, ...]) -> list[dict[str, str]] | None:
    grants = sorted(_grants(scopes))
    return [{"Type": kind, "Class": "", "Name": name, "Action": action} for kind, name, action in grants] or None
