"""Checks of the way to a registry, of the registry itself, and of how it knows us. They send GET and HEAD only."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from ...auth.ambient import ambient_login
from ...auth.credentials import Credential, CredentialStore
from ...auth.identity import Identity, default_key_path
from ...content.optional_files import is_there
from ...errors import (
    ConnectionLost,
    NoIdentity,
    NotAllowed,
    RegistryPushError,
    TLSFailed,
    Unauthorized,
    Unavailable,
)
from ...events import ignore
from ...http.proxies import Proxies, Proxy
from ...http.response import Response
from ...http.tls import context_for
from ...http.tls_look import look
from ...model import HTTPOrigin, Reference
from ...protocol.auth.challenge import Challenge, basic, bearer, parse_challenges
from ...protocol.auth.token import clock_skew
from ...registry.profile import Profile
from ...registry.registries import Registries
from ...settings import Settings
from ...text.hint import Login, Setting, step
from .finding import Finding, failed, ok, skipped, warn

# Seconds for a second handshake, which only shows more than the first one.
_LOOK: Final = 3.0
# Days. A certificate that ends sooner is worth a word.
_SOON: Final = 14
# OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH: all but the name is right.
_WRONG_NAME: Final = (62, 64)
# Headers in which registries say how many requests are left (Docker Hub; IETF draft on RateLimit headers).
_LEFT: Final = ("RateLimit-Remaining", "X-RateLimit-Remaining")
_LIMIT: Final = ("RateLimit-Limit", "X-RateLimit-Limit")


class There:
    """The checks of the registry that `reference` names; `is_repository`: the user has named a repository there."""

    def __init__(
        self, reference: Reference, settings: Settings, registries: Registries, *, is_repository: bool
    ) -> None:
        self.settings = settings.at(reference.host)
        self.reference = reference
        self.is_repository = is_repository
        self.origin: Final[HTTPOrigin] = registries.origin(reference)
        self.repository = registries.repository(reference)
        self.client = self.repository.client
        self._answering: asyncio.Task[Response] | None = None
        self.login: Credential | None = None
        self.identity: Identity | None = None

    @property
    def host(self) -> str:
        """The registry, as messages name it."""
        return self.origin.netloc

    async def answer(self) -> Response:
        """Return the answer to `GET /v2/` without a login, which is asked for once. Raises as `Transport.send`."""
        if self._answering is None:
            url = self.client.url("/v2/")
            self._answering = asyncio.create_task(self.client.transport.send("GET", url, {}, named_by=None))
        return await asyncio.shield(self._answering)

    async def end(self) -> None:
        """Stop what is still asked."""
        if self._answering is not None:
            self._answering.cancel()
            await asyncio.gather(self._answering, return_exceptions=True)

    @property
    def _proxy(self) -> Proxy | None:
        return Proxies.of(self.settings.environ).to(self.origin)

    # ── the way there ─────────────────────────────────────────────────────────────────────────────

    async def proxy_used(self) -> Finding:
        """Find the proxy on the way, and whether it lets us through."""
        proxy = self._proxy
        if proxy is None:
            return ok("no proxy is on the way")
        try:
            await self.answer()
        except Unavailable as error:
            if f"the proxy on the way to {self.host}" in error.message:
                return failed(error)
        except RegistryPushError:
            pass  # it is the registry's, which other checks are about
        return ok(f"{proxy} is on the way", f"named by {proxy.variable}")

    async def dns(self) -> Finding:
        """Look up the registry's address, or its proxy's, which looks up the registry's."""
        proxy = self._proxy
        where = proxy.origin if proxy is not None else self.origin
        try:
            found = await asyncio.get_running_loop().getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
        except OSError as error:
            hint = "check the spelling, and your name server (DNS): /etc/resolv.conf"
            return failed(ConnectionLost(f"cannot resolve {where.host}", hint=hint), error.strerror or "")
        addresses = dict.fromkeys(str(each[4][0]) for each in found)
        return ok(f"{where.host} is {', '.join(list(addresses)[:3])}")

    async def tcp(self) -> Finding:
        """Connect, without sending anything."""
        proxy = self._proxy
        where = proxy.origin if proxy is not None else self.origin
        begun = time.monotonic()
        try:
            _, writer = await asyncio.open_connection(where.host, where.port)
        except OSError as error:
            words = os.strerror(error.errno) if error.errno else str(error)
            hint = "check the address and the port; a firewall may be in between, or the registry may be down"
            return failed(ConnectionLost(f"no connection to {where.netloc}", hint=hint), words)
        writer.transport.abort()
        return ok(f"{where.netloc} takes connections", f"in {(time.monotonic() - begun) * 1000:.0f} ms")

    async def http_instead_of_https(self) -> Finding:
        """Check that both sides speak the same of the two."""
        if self.origin.scheme == "http":
            try:
                await self.answer()
            except TLSFailed as error:
                return failed(error)
            except RegistryPushError:
                pass
            if self.origin.is_loopback:
                return ok("http, which does not leave this machine")
            return warn("everything goes over http, unencrypted, a login too", "use https, if the registry has it")
        if self._proxy is None and await look(self.origin.host, self.origin.port, patience=_LOOK) is None:
            return failed(
                TLSFailed(
                    f"{self.host} does not speak https",
                    hint=step("for http, write http:// before the host, or say ", Setting("plain_http")),
                )
            )
        return ok("it speaks https")

    async def tls_version(self) -> Finding:
        """Find the version of TLS that both sides speak."""
        if (reason := self._no_tls_here) is not None:
            return skipped(reason)
        context = context_for(self.host, self.settings, is_registry=True)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            _, writer = await asyncio.open_connection(
                self.origin.host, self.origin.port, ssl=context, server_hostname=self.origin.host
            )
        except ssl.SSLError as error:
            words = f"{self.host} and this machine have no version of TLS in common, or it refuses us"
            return failed(TLSFailed(words), error.reason or "")
        except OSError as error:
            return failed(ConnectionLost(f"the connection to {self.host} broke in its handshake"), str(error))
        version = writer.get_extra_info("ssl_object").version()
        writer.transport.abort()
        return ok(f"{version}")

    async def tls_chain(self) -> Finding:
        """Check that an authority that is trusted here has signed the certificate, and when it ends."""
        if self.origin.scheme == "http":
            return skipped("it is reached by http")
        if not self.settings.tls_verify:
            fix = "leave out --tls-verify=false; if its CA is a private one, name that: --ca-file FILE"
            return warn("any certificate is accepted", fix)
        error = await self._tls_error()
        if error is not None and _verify_code(error) not in _WRONG_NAME:
            return failed(error)
        ends = await self._end_of_certificate()
        if ends is None:
            return ok("its certificate is trusted")
        days = (ends - datetime.now(UTC)).days
        words = f"valid until {ends:%Y-%m-%d}"
        if days < _SOON:
            return warn(f"its certificate ends in {days} days", f"ask who runs {self.host} to renew it", words)
        return ok("its certificate is trusted", words)

    async def tls_name(self) -> Finding:
        """Check that the certificate is this host's."""
        if self.origin.scheme == "http":
            return skipped("it is reached by http")
        error = await self._tls_error()
        return failed(error) if error is not None else ok(f"its certificate is {self.origin.host}'s")

    @property
    def _no_tls_here(self) -> str | None:
        if self.origin.scheme == "http":
            return "it is reached by http"
        return "a proxy is on the way" if self._proxy is not None else None

    async def _tls_error(self) -> TLSFailed | None:
        try:
            await self.answer()
        except TLSFailed as error:
            return error
        except RegistryPushError:
            pass
        return None

    async def _end_of_certificate(self) -> datetime | None:
        if self._proxy is not None:
            return None
        from cryptography import x509

        shown = await look(self.origin.host, self.origin.port, patience=_LOOK)
        if shown is None or not shown.certificates:
            return None
        try:
            return x509.load_der_x509_certificate(shown.certificates[0]).not_valid_after_utc
        except ValueError:
            return None

    # ── the registry ──────────────────────────────────────────────────────────────────────────────

    async def clock(self) -> Finding:
        """Compare this machine's clock with the registry's."""
        response = await self.answer()
        date = response.headers.get("Date")
        if date is None:
            return skipped("it does not say its time")
        skew = clock_skew(date, now=time.time())
        if skew is None:
            return ok("this machine's clock is right")
        words = f"this machine's clock is {skew} the registry's: tokens, signatures and certificates seem expired"
        return failed(NotAllowed(words, hint="set the clock: timedatectl set-ntp true"), f"it says {date}")

    async def v2(self) -> Finding:
        """Check that a registry answers."""
        response = await self.answer()
        self.client.root.saw(response)
        await self.client.root.check()
        if response.status >= 500:
            hint = "try again later, or tell who runs the registry"
            return failed(Unavailable(f"/v2/ answers HTTP {response.status}", hint=hint))
        return ok(f"/v2/ answers HTTP {response.status}")

    async def kind(self) -> Finding:
        """Say which registry it is, and what is known and was learned of it."""
        from ...registry.kinds import known_profile, recognised

        response = await self.answer()
        found, known = recognised(self.origin.host, response.headers), known_profile(self.host)
        profile = known if (learned := self._learned()) is None else known.after(learned)
        server = response.headers.get("Server")
        told = (*profile.words, *([f"Server: {server}"] if server else []))
        if found is None:
            return ok("it is none that is known by name; what it can do is learned", "; ".join(told))
        return ok(f"it is {found.name}: {found.fact}", "; ".join(told))

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
        left = next((response.headers[name] for name in _LEFT if name in response.headers), None)
        limit = next((response.headers[name] for name in _LIMIT if name in response.headers), None)
        told = f"{left} of {limit} requests are left" if left and limit else f"{left} requests are left" if left else ""
        if response.status == 429:
            after = response.headers.get("Retry-After")
            wait = f"wait {after} seconds, " if after and after.isdigit() else "wait, "
            hint = f"{wait}or log in: a registry allows more to those it knows"
            return failed(Unavailable(f"{self.host} takes no more requests now (HTTP 429)", hint=hint), told)
        if left is not None and left.partition(";")[0].strip() == "0":
            return warn("its quota of requests is spent", "wait, or log in: registry-push login HOST", told)
        return ok("it answers as many requests as we send", told) if not told else ok(told)

    async def redirects(self) -> Finding:
        """Tell if another host answers for it."""
        response = await self.answer()
        location = response.headers.get("Location")
        if 300 <= response.status < 400 and location:
            return warn(f"/v2/ leads elsewhere: {location}", "name the registry at that address")
        return ok("/v2/ leads nowhere else")

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
            return ok("it asks for a user name and a password", f"Basic realm={challenge.realm or ''}")
        return ok("it asks for a token", f"Bearer realm={challenge.realm or ''}")

    async def source(self) -> Finding:
        """Find the login or the key that would be used."""
        settings, wanted = self.settings, self._challenge(await self.answer())
        if settings.username is not None and settings.password is not None:
            self.login = Credential("--username", settings.username, settings.password)
        else:
            store = CredentialStore(settings.authfile, settings.environ, settings.home, None)
            path = self.reference.repository if self.is_repository else ""
            kept = await store.lookup(self.reference.host, path, scheme=self.origin.scheme)
            self.login = kept or await ambient_login(self.reference.host, settings.environ, ignore)
        if self.login is not None:
            return ok(f"the login of {self.login.username or 'a token'}", f"from {self.login.source}")
        path_of_key = settings.key or default_key_path(settings.home)
        if path_of_key is not None and (settings.key is not None or is_there(path_of_key)):
            self.identity = await Identity.read(path_of_key)
        if self.reference.is_ollama or settings.dialect == "ollama":
            if self.identity is None:
                return failed(NoIdentity(f"{self.host} signs in with an ed25519 key, and there is none here"))
            return ok(f"the key {self.identity.fingerprint}", f"from {path_of_key}")
        if wanted is None:
            return ok("no login is there, and none is asked for at /v2/")
        if wanted.scheme == "bearer" and self.identity is not None:
            return ok(f"no login; the key {self.identity.fingerprint} is tried", f"from {path_of_key}")
        hint = step("log in: ", Login(self.host))
        return failed(Unauthorized(f"{self.host} wants a login, and there is none here", hint=hint))

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


def _verify_code(error: TLSFailed) -> int:
    """Return OpenSSL's code for what is wrong with the certificate; 0 if it is something else."""
    reason = getattr(error.__cause__, "certificate_error", None)
    return reason.verify_code if isinstance(reason, ssl.SSLCertVerificationError) else 0
