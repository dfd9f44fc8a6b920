"""`Authenticator`: signs in at one registry. Decides which provider is asked for a token, and when for a new one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum

from msgspec import Struct

from ..errors import InvalidName, LoginWithheld, NoIdentity, NotAllowed, Unauthorized
from ..http.response import Response
from ..http.transport import Transport
from ..model import HTTPOrigin
from ..protocol.auth.challenge import Challenge, Scopes, basic, bearer, parse_challenges, widened
from ..protocol.auth.token import Token
from ..text.hint import Command, Login, Setting, step
from .credentials import Credential
from .identity import Identity
from .refresh_tokens import RefreshTokens
from .token_service import TokenRefused, TokenService, basic_authorization, words_of


class Provider(Enum):
    """Where a token comes from."""

    LOGIN = "the login"
    ANONYMOUS = "no login"
    SIGNATURE = "the ed25519 key"


class _Held(Struct, frozen=True):
    token: Token
    provider: Provider

    @property
    def header(self) -> str:
        return f"Bearer {self.token.value}"


class Authenticator:
    """The `Authorization` of every request to `origin`. One sign-in at a time; cancelling one is safe."""

    def __init__(
        self,
        origin: HTTPOrigin,
        transport: Transport,
        *,
        login: Callable[[str], Awaitable[Credential | None]],
        identity: Callable[[], Awaitable[Identity | None]],
        prefers_signature: bool,
        allowed_realms: tuple[str, ...] = (),
        withheld: bool = False,
        refreshed: RefreshTokens | None = None,
        stop: asyncio.Event | None = None,
    ) -> None:
        self._origin = origin
        self._transport = transport
        self._login = login
        self._identity = identity
        self._key: Identity | None = None  # what `identity` returned last
        self._prefers_signature = prefers_signature
        self._withheld = withheld  # there may be a login or a key, which this origin is not shown
        self._service = TokenService(
            origin,
            transport,
            self._find_key,
            allowed_realms=allowed_realms,
            refreshed=refreshed or RefreshTokens(),
            stop=stop,
        )
        self._challenge: Challenge | None = None  # the last one: its realm and service are the registry's
        self._asked: dict[Scopes, Scopes] = {}  # the scopes that the challenge to a request for these named
        self._logins: dict[str, Credential | None] = {}
        self._basic: dict[Scopes, str] = {}
        self._held: dict[Scopes, _Held] = {}
        self._proven: set[str] = set()
        self._taken: set[Credential] = set()  # logins for which the token service has issued a token
        self._refusals: dict[Scopes, dict[Provider, str]] = {}
        self._lock = asyncio.Lock()

    async def authorization(self, scopes: Scopes) -> str | None:
        """Return the header to send with a request for `scopes`; None until the registry has asked for one.

        Once its challenge is known, a token that is missing or about to end is fetched before the request.
        """
        if scopes in self._basic or self._challenge is None:
            return self._basic.get(scopes)
        async with self._lock:
            return (self._fresh(scopes) or await self._sign_in(scopes, self._challenge, None)).header

    async def has_login(self, scopes: Scopes) -> bool:
        """Return whether there is a login for this registry. Raises what reading logins raises."""
        return await self._login_for(scopes) is not None

    @property
    def who(self) -> str | None:
        """How we signed in at this registry: a login and its source, or a key; None if we did not."""
        providers = {held.provider for held in self._held.values()}
        login = next((login for login in self._logins.values() if login is not None), None)
        if login is not None and (self._basic or Provider.LOGIN in providers):
            return f"the login of {login.username or 'a token'} from {login.source}"
        key = self._key if Provider.SIGNATURE in providers else None
        return f"the key {key.fingerprint}" if key is not None else None

    def forgive(self, scopes: Scopes) -> None:
        """Try refused credentials again for `scopes`: the refusal was for one URL only."""
        self._refusals.pop(scopes, None)
        if not self._held:  # other requests were answered without a login
            self._challenge = None

    def accepted(self, header: str | None) -> None:
        """Note that the registry accepted this header: if it refuses it later, the token has expired."""
        if header is not None:
            self._proven.add(header)

    async def renew(self, response: Response, scopes: Scopes, used: str | None) -> None:
        """Sign in as the 401 in `response` asks, after `used` was refused. Raises `NotAllowed` if it can't."""
        async with self._lock:
            held = self._held.pop(scopes, None)
            if held is not None and held.header != used and held.token.expires > self._transport.now():
                self._held[scopes] = held  # another request has signed in meanwhile
                return
            challenges = parse_challenges(response.headers.getall("WWW-Authenticate", []))
            challenge = bearer(challenges)
            if challenge is None and self._challenge is not None and await self._login_for(scopes) is None:
                # Harbor challenges with Basic once any credentials were sent, an anonymous token among them.
                challenge = self._challenge
            if challenge is not None:
                if held is not None and held.header == used and used not in self._proven:
                    self._refuse(scopes, held.provider, f"its token was refused: {words_of(response)}")
                self._proven.discard(used or "")
                self._challenge, self._asked[scopes] = challenge, challenge.scopes
                await self._sign_in(scopes, challenge, used)
            elif basic(challenges) is not None:
                await self._use_basic(scopes, used, response)
            else:
                raise Unauthorized(
                    f"{self._origin.netloc} refuses the request and does not say how to sign in", url=response.url
                )

    async def header_for(self, login: Credential, response: Response) -> str:
        """Return the header that `login` earns by the challenge in the 401 `response`, for no repository.

        Raises `NotAllowed`.
        """
        challenges = parse_challenges(response.headers.getall("WWW-Authenticate", []))
        challenge = bearer(challenges)
        if challenge is not None:
            try:
                token = await self._service.token_for(login, challenge.realm or "", challenge.service, ())
            except TokenRefused as refusal:
                raise self.login_refused(login, str(refusal)) from refusal
            return f"Bearer {token.value}"
        if basic(challenges) is None:
            raise Unauthorized(f"{self._origin.netloc} does not say how to log in", url=response.url)
        return basic_authorization(login)

    # ── Basic ─────────────────────────────────────────────────────────────────────────────────────

    async def _use_basic(self, scopes: Scopes, used: str | None, response: Response) -> None:
        login = await self._login_for(scopes)
        if login is None or login.registry_token is not None:
            raise self._no_login(response)
        header = basic_authorization(login)
        if used == header:
            fresh = await self._login_anew(scopes, login) if used in self._proven else None
            if fresh is None:
                raise self.login_refused(login, words_of(response))
            self._proven.discard(used)
            header = basic_authorization(fresh)
        self._basic[scopes] = header

    async def _login_for(self, scopes: Scopes) -> Credential | None:
        # `repository:<name>:<actions>`; of several, the last one is the repository being worked on.
        repository = scopes[-1].split(":")[1]
        if repository not in self._logins:
            self._logins[repository] = await self._login(repository)
        return self._logins[repository]

    async def _login_anew(self, scopes: Scopes, old: Credential) -> Credential | None:
        """Look the login up again, after the registry took `old` and does no more: a cloud's password lives for some
        hours, and whoever keeps it may have another by now. Return None if it is the same."""
        fresh = await self._login(scopes[-1].split(":")[1])
        if fresh is None or fresh == old or fresh.registry_token is not None:
            return None
        self._logins = {name: fresh if login == old else login for name, login in self._logins.items()}
        return fresh

    # ── Bearer ────────────────────────────────────────────────────────────────────────────────────

    def _fresh(self, scopes: Scopes) -> _Held | None:
        held = self._held.get(scopes)
        return held if held is not None and held.token.expires > self._transport.now() else None

    async def _sign_in(self, scopes: Scopes, challenge: Challenge, used: str | None) -> _Held:
        """Return a token for `scopes` from the first provider that issues one other than the token in `used`."""
        login = await self._login_for(scopes)
        refused = self._refusals.setdefault(scopes, {})
        for provider in await self._providers(login, challenge.realm or ""):
            if provider in refused:
                continue
            wanted = widened(self._asked.get(scopes, ()), scopes)
            try:
                held = _Held(await self._fetch(provider, wanted, challenge, login), provider)
            except TokenRefused as refusal:
                if login is not None and login in self._taken:
                    self._taken.discard(login)
                    if await self._login_anew(scopes, login) is not None:
                        return await self._sign_in(scopes, challenge, used)
                self._refuse(scopes, provider, str(refusal))
                continue
            if held.header == used:
                self._refuse(scopes, provider, "its token was refused, and it gives no other")
                continue
            self._held[scopes] = held
            if login is not None:
                self._taken.add(login)
            return held
        raise await self._hopeless(login, refused)

    async def _providers(self, login: Credential | None, realm: str) -> tuple[Provider, ...]:
        if login is not None:
            return (Provider.LOGIN,)  # with a wrong password, do not fall back to none
        if self._prefers_signature:
            return (Provider.SIGNATURE,)
        # A private registry that signs in as Ollama's does refuses anonymous tokens. Its tokens come from its own
        # origin; another origin must not get a signature.
        may_sign = self._is_own(realm) and await self._find_key() is not None
        return (Provider.ANONYMOUS, Provider.SIGNATURE) if may_sign else (Provider.ANONYMOUS,)

    async def _find_key(self) -> Identity | None:
        self._key = await self._identity()
        return self._key

    def _is_own(self, realm: str) -> bool:
        try:
            return HTTPOrigin.of(realm) == self._origin
        except InvalidName:
            return False

    async def _fetch(self, provider: Provider, scopes: Scopes, challenge: Challenge, login: Credential | None) -> Token:
        realm, service = challenge.realm or "", challenge.service
        match provider:
            case Provider.ANONYMOUS:
                return await self._service.anonymous_token(realm, service, scopes)
            case Provider.SIGNATURE:
                return await self._service.signed_token(realm, service, scopes)
            case Provider.LOGIN:
                assert login is not None
                return await self._service.token_for(login, realm, service, scopes)

    # ── when it does not work ─────────────────────────────────────────────────────────────────────

    def _refuse(self, scopes: Scopes, provider: Provider, words: str) -> None:
        self._refusals.setdefault(scopes, {})[provider] = words

    async def _hopeless(self, login: Credential | None, refused: dict[Provider, str]) -> NotAllowed:
        if login is not None:
            return self.login_refused(login, refused.get(Provider.LOGIN, ""))
        identity, words = await self._find_key(), refused.get(Provider.SIGNATURE, "")
        if identity is None and self._prefers_signature and not self._withheld:
            return NoIdentity(f"{self._origin.netloc} signs in with an ed25519 key, and there is none here")
        if identity is None or not words:
            return self._no_login(None)
        where = "at https://ollama.com/settings/keys" if self._prefers_signature else "at the registry"
        return Unauthorized(
            f"{self._origin.netloc} does not let in the key {identity.fingerprint} ({words})",
            hint=f"add this public key {where}, and check that the name is yours: {identity.public_line}",
        )

    def _no_login(self, response: Response | None) -> NotAllowed:
        host, url = self._origin.netloc, response.url if response else None
        if self._withheld:
            return LoginWithheld(f"{host} wants a login, and stored logins and the key are not sent over http", url=url)
        return Unauthorized(
            f"{host} wants a login and there is none",
            hint=step(
                "log in with: ",
                Login(self._origin.as_typed),
                "; or give ",
                Setting("username", "NAME"),
                " ",
                Setting("password_stdin"),
                "; or, if the registry takes keys, create one: ",
                Command("key create"),
            ),
            url=url,
        )

    def login_refused(self, login: Credential, words: str) -> NotAllowed:
        """Return the error for a login that the registry does not take, for which it has these `words`."""
        host = self._origin.netloc
        return Unauthorized(
            f"{host} refuses the login of {login.username or 'a token'} from {login.source} ({words})",
            hint=login.next_step(self._origin.as_typed),
        )
