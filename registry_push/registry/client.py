"""`Client`: requests to one registry. Adds sign-in and redirects, followed hop by hop, to the transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from ..errors import (
    Denied,
    NotAllowed,
    ProtocolViolation,
    Refused,
    RegistryPushError,
    Unauthorized,
    Unavailable,
)
from ..http.response import Response
from ..http.transport import Transport
from ..model import HTTPOrigin
from ..protocol.redirects import MOST_HOPS, check_upgrade, not_followed
from ..protocol.refusals import hint_for
from ..protocol.response import Kind, RegistryResponse
from ..text.hint import Login, step
from .hops import REDIRECTS, leads_on, next_hop
from .questions import Questions
from .rates import Rates
from .refusal_words import RefusalWords
from .root import Root

if TYPE_CHECKING:
    from ..auth.credentials import Credential
    from ..auth.tokens import Authenticator
    from ..http.body.payload import SpanPayload
    from ..protocol.auth.challenge import Scopes

# How a registry may refuse anonymous requests besides 401: private content is forbidden, or not found.
_VEILED: Final = (403, 404)
_REFUSED: Final = (401, 403)
# Methods that change nothing at a registry.
_ASKING: Final = ("GET", "HEAD")


class Client:
    """Requests to one registry origin, signed in as needed: `sign_in` is called when the registry first asks for it.

    `stop` ends every pause between two tries, and `rates` holds back what the registry does not want yet. `has_root`:
    there is a `/v2/`, unlike at Ollama's registry. While `may_log_in` returns false, there is no login to look for.
    Cancelling any call is safe.
    """

    def __init__(
        self,
        origin: HTTPOrigin,
        transport: Transport,
        sign_in: Callable[[], Authenticator],
        stop: asyncio.Event | None = None,
        *,
        has_root: bool = True,
        may_log_in: Callable[[], bool] = lambda: True,
        rates: Rates | None = None,
    ) -> None:
        self.origin = origin
        self.transport = transport
        self.rates = rates or Rates(origin, transport, stop)
        self._stop = stop
        transport.know_registry(origin)
        self.root = Root(origin, self._get_root, has_none=not has_root)
        self._words = RefusalWords(origin, transport, self.root)
        self._meeting = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._has_asked: set[Scopes] = set()  # for these, how to sign in by what /v2/ says
        self._has_met = False
        self._is_warm = False
        self.questions = Questions()
        self._sign_in = sign_in
        self._may_log_in = may_log_in
        self._authenticator: Authenticator | None = None

    def url(self, path: str) -> str:
        """Return the absolute URL of `path` at the registry."""
        return f"{self.origin}{path}"

    async def request(
        self, method: str, url: str, scopes: Scopes, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        """Send a request that may be sent twice: tried again in trouble, redirects of GET and HEAD followed.

        Return any answer except 401, 429 and 5xx; those raise `NotAllowed` and `Unavailable`.
        """
        # The first request is sent alone: it finds out whether the registry answers and how to sign in, which saves all
        # others the same 401, or the same timeout.
        async with self._meeting:
            if not self._has_met:
                response = await self._request_hop_by_hop(method, url, scopes, headers, body)
                self._has_met = True
                return response
        return await self._request_hop_by_hop(method, url, scopes, headers, body)

    async def _request_hop_by_hop(
        self, method: str, url: str, scopes: Scopes, headers: Mapping[str, str] | None, body: bytes | None
    ) -> Response:
        with self.transport.secrets:
            via: Response | None = None
            for _ in range(MOST_HOPS):
                response = await self._request_signed_in(method, url, scopes, headers, body)
                self._check_upgrade(response)
                if not leads_on(response, method):
                    return response if via is None else replace(response, via=via)
                url, via = next_hop(response), response
            raise ProtocolViolation(f"more than {MOST_HOPS} redirects", url=url)

    async def attempt(
        self,
        method: str,
        url: str,
        scopes: Scopes,
        headers: Mapping[str, str],
        body: SpanPayload | None = None,
        *,
        patience: float = 0.0,
    ) -> Response:
        """Send one request of an upload and return its answer, whatever it is; never retried here.

        Without a body, a 401 is handled here, and redirects are followed. With one, both are returned, a 401 after
        signing in again: only the session knows how to find out how much of the body counts. Raises `NotAllowed` if
        there is no way to sign in.
        """
        with self.transport.secrets:
            hops = 0
            while True:
                used = await self._authorization(url, scopes)
                response = await self.transport.send(
                    method, url, _with(headers, used), body, patience=patience, named_by=self.origin
                )
                self.rates.uploads_answered(response)
                try:
                    is_anew = await self._signed_in_anew(response, scopes, used)
                except NotAllowed:
                    self._signing_in().forgive(scopes)  # the refusal may be about this session only
                    raise
                if is_anew and body is None:
                    continue
                self._check_upgrade(response)
                if body is not None or not leads_on(response, method):
                    return response
                if hops == MOST_HOPS:
                    return response
                url, hops = next_hop(response), hops + 1

    @asynccontextmanager
    async def stream(
        self, url: str, scopes: Scopes, headers: Mapping[str, str]
    ) -> AsyncIterator[tuple[Response, AsyncIterator[bytes]]]:
        """GET `url`, following redirects, and yield the answer and its body in pieces. Signs in as `request` does."""
        with self.transport.secrets:
            for _ in range(MOST_HOPS):
                used = await self._authorization(url, scopes)
                async with self.rates.stream(url, _with(headers, used)) as (response, pieces):
                    if await self._signed_in_anew(response, scopes, used):
                        continue
                    if response.status not in REDIRECTS:
                        yield response, pieces
                        return
                    self._check_upgrade(response)
                    url = next_hop(response)
            raise ProtocolViolation(f"more than {MOST_HOPS} redirects", url=url)

    async def _authorization(self, url: str, scopes: Scopes) -> str | None:
        # Credentials never leave their origin, whatever a Location or a redirect says (CVE-2026-50151,
        # GHSA-qvqc-4c52-x6qp, GHSA-vh4v-2xq2-g5cg). Without scopes, a request takes none of our credentials, such as a
        # PUT to a presigned URL.
        if self._authenticator is None or not scopes or HTTPOrigin.of(url) != self.origin:
            return None
        return await self._authenticator.authorization(scopes)

    async def _request_signed_in(
        self, method: str, url: str, scopes: Scopes, headers: Mapping[str, str] | None, body: bytes | None
    ) -> Response:
        while True:
            used = await self._authorization(url, scopes)
            told = _with(headers, used)
            only_asks = self.questions.asking(self.origin.netloc) if method in _ASKING else nullcontext()
            try:
                with only_asks:
                    response = await self.rates.request(method, url, told, body)
            except Unavailable as error:
                if method == "HEAD" and type(error) is Unavailable:  # it has answered
                    await self._words.add_to(error, url, told)
                raise
            try:
                if not await self._signed_in_anew(response, scopes, used):
                    return response
            except Unauthorized as error:
                if method == "HEAD" and used is not None and type(error) is Unauthorized:
                    await self._words.add_to(error, url, told)
                raise

    async def _signed_in_anew(self, response: Response, scopes: Scopes, used: str | None) -> bool:
        """Return whether the request was refused for lack of credentials, and there are new ones to try.

        Raises `NotAllowed` if there are none. No credential is tried twice, so loops over this end.
        """
        if not scopes or HTTPOrigin.of(response.url) != self.origin:
            return False
        self.root.saw(response)
        challenge: Response | None = response
        if response.status != 401:
            if used is not None or response.status not in _VEILED:
                if self._authenticator is not None:
                    self._authenticator.accepted(used)
                return False
            challenge = await self._challenge_at_root(scopes)
        elif "WWW-Authenticate" not in response.headers:
            challenge = await self._challenge_at_root(scopes) or response
        if challenge is None:
            return False
        await self._signing_in().renew(challenge, scopes, used)
        return True

    async def _challenge_at_root(self, scopes: Scopes) -> Response | None:
        """Ask `/v2/` how to sign in, once for `scopes`, if there is a login that might help; None if it does not say.

        Some registries refuse anonymous requests by 403, 404 or a 401 that names no way to sign in, but send a
        challenge at `/v2/` (spec, "Determining Support").
        """
        async with self._asking:
            if scopes in self._has_asked or not self._may_log_in() or not await self._signing_in().has_login(scopes):
                return None
            response = await self.root.answer()
            self._has_asked.add(scopes)
        if response is None or HTTPOrigin.of(response.url) != self.origin:  # the target of a redirect gets no login
            return None
        return response if response.status == 401 and "WWW-Authenticate" in response.headers else None

    async def _get_root(self, url: str) -> Response:
        for _ in range(MOST_HOPS):
            response = await self.transport.send("GET", url, {}, named_by=self.origin)
            if not leads_on(response, "GET"):
                return response
            url = next_hop(response)
        raise ProtocolViolation(f"more than {MOST_HOPS} redirects", url=url)

    async def check_login(self, login: Credential) -> bool:
        """Sign in with `login` at `/v2/`, for no repository; return False if the registry wants no login there.

        Raises `NotAllowed` if it is refused, `NotARegistry`, `Unavailable`.
        """
        with self.transport.secrets:
            url = self.url("/v2/")
            response = await self.transport.request("GET", url, {}, named_by=self.origin, stop=self._stop)
            self.root.saw(response)
            if response.status != 401:
                await self.root.check()
                return False
            header = {"Authorization": await self._signing_in().header_for(login, response)}
            response = await self.transport.request("GET", url, header, named_by=self.origin, stop=self._stop)
            if response.status in _REFUSED:
                raise self._signing_in().login_refused(login, f"HTTP {response.status}")
            if not 200 <= response.status < 300:
                raise self.refusal(response, "to say whether the login is right", reading=True)
            return True

    async def with_words(
        self, response: Response, scopes: Scopes, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Return `response`, the answer to a HEAD that failed, with the body that it could not have."""
        told = _with(headers, await self._authorization(response.url, scopes))
        said = await self._words.said(response.url, told, lambda status: status == response.status)
        return replace(response, body=said)

    async def warm(self, connections: int) -> None:
        """Open so many connections for coming requests: once, after the first answer, if the registry keeps them open.

        A server with one worker per connection would listen to idle ones. Raises nothing: the requests will get the
        error.
        """
        if not self._is_warm:
            self._is_warm = True
            if await self.transport.answered.keeps_connections(self.origin):
                await self.transport.open_connections(self.url("/v2/"), connections)

    @property
    def who(self) -> str | None:
        """How we signed in, as `Authenticator.who`."""
        return self._authenticator.who if self._authenticator is not None else None

    def _signing_in(self) -> Authenticator:
        self._authenticator = self._authenticator or self._sign_in()
        return self._authenticator

    def explained(self, error: RegistryPushError, *, reading: bool = False) -> RegistryPushError:
        """Return `error`; if it is about permissions, with how we were signed in."""
        if not isinstance(error, Unauthorized | Denied):
            return error
        if self.who is not None:
            return type(error)(f"{error.message} (signed in with {self.who})", hint=error.next_step, url=error.url)
        can = "read" if reading else "write"
        hint = step("log in: ", Login(self.origin.as_typed), f"; or check that everyone may {can} there")
        return type(error)(f"{error.message} (no login was used)", hint=hint, url=error.url)

    def _check_upgrade(self, response: Response) -> None:
        if response.status in REDIRECTS:
            check_upgrade(
                self.origin, RegistryResponse(response.status, response.url, response.headers.get("Location"))
            )

    def read(self, response: Response) -> RegistryResponse:
        """Return what an upload needs to know of an answer."""
        now = self.transport.now()
        return RegistryResponse.read(response.status, response.url, response.headers, response.body, now=now)

    def refusal(self, response: Response, what: str, *, reading: bool = False) -> RegistryPushError:
        """Return the error for an unexpected answer when reading or writing `what`."""
        answer = self.read(response)
        message = f"{self.origin.netloc} refused {what}: {answer}"
        match answer.kind:
            case Kind.EXPIRED:
                return self.explained(Unauthorized(message, url=response.url), reading=reading)
            case Kind.BUSY:
                return Unavailable(message, url=response.url, retry_after=answer.retry_after)
            case Kind.NO_REGISTRY:
                return answer.no_registry(self.origin)
            case _ if answer.is_redirect:
                return not_followed(answer, f"{self.origin.netloc} refused {what}")
            case _ if response.status == 403:
                return self.explained(
                    Denied(message, hint=_MAY_READ if reading else None, url=response.url), reading=reading
                )
            case _:
                return Refused(message, hint=None if reading else hint_for(answer), url=response.url)


# The next step if this account may not read.
_MAY_READ: Final = "check that this account may read there, and that the repository is spelt right"


def _with(headers: Mapping[str, str] | None, authorization: str | None) -> dict[str, str]:
    return {**(headers or {}), **({"Authorization": authorization} if authorization else {})}
