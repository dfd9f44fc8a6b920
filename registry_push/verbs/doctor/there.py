"""`There`: checks of a registry, and of how it knows us. They send GET and HEAD only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from ...auth.ambient import ambient_login
from ...auth.credentials import TYPED, Credential, CredentialStore
from ...auth.identity import Identity, default_key_path
from ...content.optional_files import is_there
from ...errors import (
    NoIdentity,
    ProtocolViolation,
    RegistryPushError,
    Unauthorized,
    Unavailable,
    printable,
    redacted,
)
from ...events import Event, Sink, Warned, ignore
from ...http.response import Response
from ...model import HTTPOrigin
from ...model.reference import DOCKER_HUB
from ...protocol.auth.challenge import Challenge, basic, bearer, parse_challenges
from ...protocol.auth.token import clock_skew
from ...protocol.location import resolve
from ...registry.profile import Profile
from ...registry.reading import ACCEPT
from ...text.hint import Login, step
from .finding import Finding, failed, kept_back, ok, skipped, warn
from .way import Way

# Headers in which registries say how many requests are left (Docker Hub; IETF draft on RateLimit headers).
_LEFT: Final = ("RateLimit-Remaining", "X-RateLimit-Remaining")
_LIMIT: Final = ("RateLimit-Limit", "X-RateLimit-Limit")
# Seconds to look for a login before a key counts as wanted.
_LOOK_UP: Final = 2.0
# What to do about a `/v2/` that is at another address.
_ELSEWHERE: Final = "name the registry at the address that it leads to, or ask who runs it"


class There(Way):
    """The checks of the registry that was reached."""

    login: Credential | None = None
    identity: Identity | None = None

    # ── the registry ──────────────────────────────────────────────────────────────────────────────

    async def clock(self) -> Finding:
        """Compare this machine's clock with the registry's."""
        response = await self._known_answer()
        if response is None:
            return kept_back("registry.v2")
        date = response.headers.get("Date")
        if date is None:
            return skipped("it does not say its time")
        skew = clock_skew(date, now=time.time())
        if skew is None:
            return ok("this machine's clock is right")
        words = f"this machine's clock is {skew} the registry's: tokens, signatures and certificates may seem expired"
        return warn(words, "set the clock: timedatectl set-ntp true", f"it says {date}")

    async def _known_answer(self) -> Response | None:
        """Return the answer to `GET /v2/`; None if there is none, which `v2` tells."""
        try:
            return await self.answer()
        except RegistryPushError:
            return None

    async def v2(self) -> Finding:
        """Check that a registry answers."""
        response = await self.answer()
        self.client.root.saw(response)
        await self.client.root.check()
        if 300 <= response.status < 400 and await self.client.root.answer() is None:
            words = f"/v2/ answers HTTP {response.status}, and nothing answers where that leads"
            return failed(ProtocolViolation(words, hint=_ELSEWHERE))
        if response.status >= 500:
            hint = "try again later, or tell who runs the registry"
            return failed(Unavailable(f"/v2/ answers HTTP {response.status}", hint=hint))
        return ok(f"/v2/ answers HTTP {response.status}")

    async def kind(self) -> Finding:
        """Say which registry it is, and what is known and was learned of it."""
        from ...registry.kinds import KINDS, known_profile, recognised

        response = await self.answer()
        found, known = recognised(self.origin.host, response.headers), known_profile(self.host)
        profile = known if (learned := self._learned()) is None else known.after(learned)
        server = response.headers.get("Server")
        told = (*profile.words, *([f"Server: {server}"] if server else []))
        if found is None:
            return ok("it is none that is known by name; what it can do is learned", "; ".join(told))
        name = f"{found.name} or one like it" if found is KINDS[-1] else found.name
        return ok(f"it is {name}: {found.fact}", "; ".join(told))

    def _learned(self) -> Profile | None:
        from ..resume import open_journal

        with suppress(RegistryPushError):  # another check is about the journal
            journal = open_journal(self.settings.state_dir, ignore) if self.settings.state_dir is not None else None
            if journal is not None:
                try:
                    return journal.profile(str(self.origin))
                finally:
                    journal.close()
        return None

    async def rate(self) -> Finding:
        """Tell what is left of a quota of requests."""
        response = await self.answer()
        told = quota(response.headers)
        if response.status == 429:
            after = response.headers.get("Retry-After")
            wait = f"wait {after} seconds, " if after and after.isdigit() else "wait, "
            hint = f"{wait}or log in: a registry allows more to those it knows"
            return failed(Unavailable(f"{self.host} takes no more requests now (HTTP 429)", hint=hint), told)
        if not told and self.reference.host.lower() in DOCKER_HUB:
            # Docker Hub tells it with manifests only; this one is there to be asked for, and a HEAD does not count.
            scopes = ("repository:ratelimitpreview/test:pull",)
            with suppress(RegistryPushError):
                url = self.client.url("/v2/ratelimitpreview/test/manifests/latest")
                told = quota((await self.client.request("HEAD", url, scopes, ACCEPT)).headers)
        if told.startswith("0 "):
            return warn("its quota of requests is spent", f"wait, or log in: registry-push login {self.host}", told)
        return ok(told or "it answers as many requests as we send")

    async def redirects(self) -> Finding:
        """Tell if another host answers for it."""
        response = await self._known_answer()
        if response is None:
            return kept_back("registry.v2")
        location = response.headers.get("Location")
        if 300 <= response.status < 400 and location:
            return warn(f"/v2/ leads elsewhere: {_shown(location)}", self._where(response.url, location))
        return ok("/v2/ leads nowhere else")

    def _where(self, url: str, location: str) -> str:
        """Return what to do about `location`, which the registry answers to `url`."""
        with suppress(RegistryPushError):
            origin = HTTPOrigin.of(resolve(url, location))
            if origin.host != self.origin.host:
                return f"see whether that is the registry: registry-push doctor {origin}; if it is, use its address"
        return _ELSEWHERE

    # ── who we are there ──────────────────────────────────────────────────────────────────────────

    async def challenge(self) -> Finding:
        """Find out how the registry wants us to sign in."""
        response = await self.answer()
        challenge = self._challenge(response)
        if challenge is None and response.status == 401:
            words = f"{self.host} refuses the request and does not say how to sign in"
            return failed(Unauthorized(words, hint="ask who runs the registry, or a proxy in front of it"))
        if challenge is None:
            return ok("it asks for no login at /v2/", "reading may need none; who may push, --write REPOSITORY shows")
        if challenge.scheme == "basic":
            return ok("it asks for a user name and a password", f"Basic realm={_shown(challenge.realm or '')}")
        return ok("it asks for a token", f"Bearer realm={_shown(challenge.realm or '')}")

    async def wants_key(self) -> bool:
        """Return whether the registry signs in with a key and no login takes its place."""
        if not self.signs_with_key:
            return False
        try:
            async with asyncio.timeout(_LOOK_UP):
                return await self._login(ignore) is None
        except (RegistryPushError, TimeoutError):  # another check tells it
            return True

    async def _login(self, told: Sink) -> Credential | None:
        settings = self.settings
        if settings.username is not None and settings.password is not None:
            return Credential(TYPED, settings.username, settings.password)
        store = CredentialStore(settings.authfile, settings.environ, settings.home, None)
        path = self.reference.repository if self.is_repository else ""
        kept = await store.lookup(self.reference.host, path, scheme=self.origin.scheme)
        return kept or await ambient_login(self.reference.host, settings.environ, told)

    async def source(self) -> Finding:
        """Find the login or the key that would be used."""
        settings, wanted = self.settings, self._challenge(await self.answer())
        told: list[Event] = []
        self.login = await self._login(told.append)
        if self.login is not None:
            return ok(f"the login of {self.login.username or 'a token'}", f"from {self.login.source}")
        path_of_key = settings.key or default_key_path(settings.home)
        may_sign = self.signs_with_key or (wanted is not None and wanted.scheme == "bearer")
        if may_sign and path_of_key is not None and (settings.key is not None or is_there(path_of_key)):
            self.identity = await Identity.read(path_of_key)
        if self.signs_with_key:
            if self.identity is None and (wanted is not None or self.reference.is_ollama):
                return failed(NoIdentity(f"{self.host} signs in with an ed25519 key, and there is none here"))
            if self.identity is not None:
                return ok(f"the key {self.identity.fingerprint}", f"from {path_of_key}")
        trouble = next((each for each in told if isinstance(each, Warned)), None)  # of a cloud's program
        if wanted is None and trouble is not None:
            return warn(trouble.message, trouble.hint)
        if wanted is None:
            return ok("no login is there, and none is asked for at /v2/")
        if wanted.scheme == "bearer" and self.identity is not None:
            return ok(f"no login; the key {self.identity.fingerprint} is tried", f"from {path_of_key}")
        words = f"{self.host} wants a login, and there is none here"
        if trouble is not None:
            return failed(Unauthorized(f"{words}: {trouble.message}", hint=trouble.hint))
        return failed(Unauthorized(words, hint=step("log in: ", Login(self.origin.as_typed))))

    async def token(self) -> Finding:
        """Sign in, for no repository."""
        if self._challenge(await self.answer()) is None:
            return skipped("it asks for no login at /v2/")
        if self.login is None:
            return skipped("there is no login")
        await self.client.check_login(self.login)
        return ok("it takes the login")

    async def scope(self) -> Finding:
        """Read in the repository that was named."""
        if not self.is_repository:
            return skipped("no repository was named")
        found = await self.repository.digest_of(self.reference.tag or "latest")
        tag = self.reference.tag or "latest"
        return ok(f"reading there is allowed; {tag} {'is' if found is not None else 'is not'} there")

    def _challenge(self, response: Response) -> Challenge | None:
        found = parse_challenges(response.headers.getall("WWW-Authenticate", []))
        return bearer(found) or basic(found)


def _shown(said: str) -> str:
    """Return a URL that the registry has said, without what in it is secret."""
    return printable(redacted(said), limit=200)


def quota(headers: Mapping[str, str]) -> str:
    """Return `98 of 100 requests are left, for 6 hours` of the headers that say so; empty if none does."""
    left, limit = (next((headers[name] for name in names if name in headers), "") for names in (_LEFT, _LIMIT))
    number, _, window = left.partition(";w=")
    if not number.strip().isdigit():
        return ""
    most = limit.partition(";")[0].strip()
    words = f"{number.strip()} of {most} requests are left" if most.isdigit() else f"{number.strip()} requests are left"
    return f"{words}, for {int(window) / 3600:g} hours" if window.isdigit() and len(window) < 9 else words
