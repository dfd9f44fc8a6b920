"""`TokenService`: gets a registry's tokens from the service that its challenge names."""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final
from urllib.parse import urlencode

from ..errors import ProtocolViolation, Unauthorized, printable
from ..http.response import Response
from ..http.transport import Transport
from ..model import HTTPOrigin
from ..protocol.auth.challenge import Scopes
from ..protocol.auth.realms import Secret, judged
from ..protocol.auth.signing import authorization, signed_text, token_query
from ..protocol.auth.token import MAX_TOKEN_BYTES, Token, clock_skew, refresh_token
from ..protocol.diagnostics import diagnose
from .credentials import Credential
from .identity import Identity
from .refresh_tokens import RefreshTokens

# 16 random bytes, base64url without padding (ollama:auth/auth.go, NewNonce).
_NONCE_BYTES: Final = 16
_REFUSALS: Final = (400, 401, 403, 404)
# Token services without POST answer one of these; then we ask by GET (docker's oauth2 document).
_NO_POST: Final = (400, 403, 404, 405)


class TokenRefused(Exception):
    """The service issued no token; the next provider is tried."""


class TokenService:
    """Asks the realms that the registry at `origin` names. `stop` ends every pause between two tries.

    Every method raises `TokenRefused`, and `ForeignRealm` before anything is sent to a realm that must not have it.
    """

    def __init__(
        self,
        origin: HTTPOrigin,
        transport: Transport,
        identity: Callable[[], Awaitable[Identity | None]],
        *,
        allowed_realms: tuple[str, ...],
        refreshed: RefreshTokens,
        stop: asyncio.Event | None,
    ) -> None:
        self._origin = origin
        self._transport = transport
        self._identity = identity
        self._allowed_realms = allowed_realms
        self._refreshed = refreshed
        self._stop = stop

    async def anonymous_token(self, realm: str, service: str | None, scopes: Scopes) -> Token:
        """Return the token that the service issues to anyone."""
        self._judge(realm, Secret.NOTHING)
        return await self._get(realm, service, scopes, {})

    async def signed_token(self, realm: str, service: str | None, scopes: Scopes) -> Token:
        """Return a token for the user's ed25519 key, as Ollama's registry issues them."""
        self._judge(realm, Secret.SIGNATURE)
        identity = await self._identity()
        if identity is None:
            raise TokenRefused("there is no key")
        nonce = secrets.token_urlsafe(_NONCE_BYTES)
        url = token_query(realm, service or "", scopes, nonce, int(self._transport.now()))
        signature = identity.sign(signed_text(url))
        response = await self._transport.request(
            "GET",
            url,
            {"Authorization": authorization(identity.public_wire, signature)},
            named_by=self._named_by(url),
            most=MAX_TOKEN_BYTES,
            service=realm,
            stop=self._stop,
        )
        skew = clock_skew(response.headers.get("Date"), now=self._transport.now())
        if response.status in _REFUSALS and skew is not None:
            raise Unauthorized(
                f"{self._origin.netloc} refuses the signature: this machine's clock is {skew} the registry's",
                hint="set the clock: timedatectl set-ntp true",
                url=response.url,
            )
        return self._token(response)

    async def token_for(self, login: Credential, realm: str, service: str | None, scopes: Scopes) -> Token:
        """Return a token for `login`: its own if it is one, else what the service issues for it."""
        if login.registry_token is not None:
            return Token(login.registry_token, float("inf"))
        self._judge(realm, Secret.PASSWORD)
        if login.identity_token is None:
            return await self._get(realm, service, scopes, {"Authorization": basic_authorization(login)})
        # One exchange at a time: a service that issues a new refresh token at each use voids the old one.
        async with self._refreshed.held(HTTPOrigin.of(realm), login.identity_token) as refresh:
            form = {
                "grant_type": "refresh_token",
                "service": service or "",
                "client_id": "registry-push",
                "scope": " ".join(scopes),
                "refresh_token": refresh.token,
            }
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            response = await self._transport.request(
                "POST",
                realm,
                headers,
                urlencode(form).encode(),
                named_by=self._named_by(realm),
                most=MAX_TOKEN_BYTES,
                service=realm,
                stop=self._stop,
            )
            if response.status not in _NO_POST:
                token = self._token(response)
                refresh.token = refresh_token(response.body) or refresh.token
                return token
            login = replace(login, identity_token=refresh.token)
            return await self._get(realm, service, scopes, {"Authorization": basic_authorization(login)})

    async def _get(self, realm: str, service: str | None, scopes: Scopes, headers: dict[str, str]) -> Token:
        url = _query(realm, service, scopes)
        return self._token(
            await self._transport.request(
                "GET",
                url,
                headers,
                named_by=self._named_by(url),
                most=MAX_TOKEN_BYTES,
                service=realm,
                stop=self._stop,
            )
        )

    def _named_by(self, url: str) -> HTTPOrigin | None:
        """Return the registry if it named the token service; None if the user did (`--allow-realm`)."""
        return None if HTTPOrigin.of(url).host in self._allowed_realms else self._origin

    def _token(self, response: Response) -> Token:
        if response.status in _REFUSALS:
            raise TokenRefused(words_of(response))
        if response.status != 200:
            raise ProtocolViolation(
                f"the token service answers HTTP {response.status}", hint="ask who runs the registry", url=response.url
            )
        return Token.read(response.body, now=self._transport.now())

    def _judge(self, realm: str, secret: Secret) -> None:
        judged(self._origin, realm, secret, allowed=self._allowed_realms)


def _query(realm: str, service: str | None, scopes: Scopes) -> str:
    fields = [*([("service", service)] if service else []), *(("scope", scope) for scope in scopes)]
    realm = realm.partition("#")[0]
    return f"{realm}{'&' if '?' in realm else '?'}{urlencode(fields)}"


def basic_authorization(login: Credential) -> str:
    """Return the `Authorization` header of `login` for HTTP Basic."""
    # What Basic carries of an identity token is docker's habit: the user `<token>`, the token as password.
    user, word = login.username or "<token>", login.password or login.identity_token or ""
    return f"Basic {b64encode(f'{user}:{word}'.encode()).decode()}"


def words_of(response: Response) -> str:
    """Return what a refusal says, for a message."""
    said = diagnose(response.body).text
    return printable(f"HTTP {response.status}{f': {said}' if said else ''}", limit=200)
