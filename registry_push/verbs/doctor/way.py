"""`Way`: checks of the way to a registry: proxy, name, connection, TLS. They send one GET of `/v2/`."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from datetime import UTC, datetime
from typing import Final

from ...errors import (
    ConnectionLost,
    InvalidName,
    NotARegistry,
    ProxyRefused,
    RegistryPushError,
    TimedOut,
    TLSFailed,
    Unavailable,
)
from ...http.proxies import Proxies, Proxy
from ...http.response import Response
from ...http.tls import context_for
from ...http.tls_look import Speech, look, spoken
from ...model import HTTPOrigin, Reference
from ...registry.registries import Registries
from ...settings import Settings
from ...text.hint import Setting, step
from .finding import Finding, failed, ok, skipped, warn

# Seconds for a second handshake, which only shows more than the first one.
_LOOK: Final = 3.0
# Days. A certificate that ends sooner is worth a word.
_SOON: Final = 14
# OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH: all but the name is right.
_WRONG_NAME: Final = (62, 64)


class Way:
    """The way to the registry that `reference` names; `is_repository`: the user has named a repository there.

    `beside` examines another repository of the same registry, which is asked for `/v2/` once.
    """

    def __init__(
        self,
        reference: Reference,
        settings: Settings,
        registries: Registries,
        *,
        is_repository: bool,
        unusable_proxy: RegistryPushError | None = None,
        beside: Way | None = None,
    ) -> None:
        self.settings = settings.at(reference.host)
        self.reference = reference
        self.is_repository = is_repository
        self.origin: Final[HTTPOrigin] = registries.origin(reference)
        self.repository = registries.repository(reference)
        self.client = self.repository.client
        self._unusable_proxy = unusable_proxy
        self._beside = beside
        self._answering: asyncio.Task[Response] | None = None

    @property
    def signs_with_key(self) -> bool:
        """Whether the registry is known to sign in with a key."""
        return self.reference.is_ollama or self.settings.dialect == "ollama"

    @property
    def host(self) -> str:
        """The registry, as messages name it."""
        return self.origin.netloc

    async def answer(self) -> Response:
        """Return the answer to `GET /v2/` without a login, which is asked for once. Raises as `Transport.send`."""
        if self._beside is not None:
            return await self._beside.answer()
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
        if self._unusable_proxy is not None:
            return failed(self._unusable_proxy)
        proxy = self._proxy
        if proxy is None:
            return ok("no proxy is on the way")
        try:
            await self.answer()
        except (ProxyRefused, Unavailable) as error:
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
        except UnicodeError as error:
            return failed(InvalidName(f"{where.host} is not a host's name", hint="check the spelling"), str(error))
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
                async with asyncio.timeout(_LOOK):
                    await self.answer()
            except TLSFailed as error:
                return failed(error)
            except (RegistryPushError, TimeoutError):
                pass  # the registry's, which other checks are about
            if self.origin.is_loopback:
                return ok("http, which does not leave this machine")
            return warn("everything goes over http, unencrypted, a login too", "use https, if the registry has it")
        if self._proxy is not None:
            return ok("a proxy passes on what https sends")
        return _no_https(self.host, await spoken(self.origin.host, self.origin.port, patience=_LOOK))

    async def tls_version(self) -> Finding:
        """Find the version of TLS that both sides speak."""
        if (reason := self._no_tls_here) is not None:
            return skipped(reason)
        try:
            context = context_for(self.host, self.settings, is_registry=True)
        except RegistryPushError:  # `tls_chain` tells what is wrong with the files
            context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            _, writer = await asyncio.open_connection(
                self.origin.host, self.origin.port, ssl=context, server_hostname=self.origin.host
            )
        except ssl.SSLError as error:
            words = f"{self.host} and this machine have no version of TLS in common, or it refuses us"
            hint = f"see what it says: openssl s_client -connect {self.origin.host}:{self.origin.port}"
            return failed(TLSFailed(words, hint=hint), error.reason or "")
        except OSError as error:
            return failed(ConnectionLost(f"the connection to {self.host} broke in its handshake"), str(error))
        version = writer.get_extra_info("ssl_object").version()
        writer.transport.abort()
        return ok(f"{version}")

    async def tls_chain(self) -> Finding:
        """Check that an authority that is trusted here has signed the certificate, and when it ends."""
        if self.origin.scheme == "http":
            return skipped("it is reached by http")
        context_for(self.host, self.settings, is_registry=True)
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
        if days < 0:
            return warn(f"its certificate ended on {ends:%Y-%m-%d}", f"ask who runs {self.host} to renew it")
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


def _no_https(host: str, speech: Speech) -> Finding:
    """Return what the first answer to a handshake of TLS means."""
    match speech:
        case Speech.TLS:
            return ok("it speaks https")
        case Speech.HTTP:
            hint = step("for http, write http:// before the host, or say ", Setting("plain_http"))
            return failed(TLSFailed(f"{host} does not speak https: it speaks http", hint=hint))
        case Speech.OTHER:
            hint = step("check the port: another service answers there")
            return failed(NotARegistry(f"{host} speaks neither https nor http", hint=hint))
        case Speech.NONE:
            hint = step("check the port; if it is reached by http, write http:// before the host")
            return failed(ConnectionLost(f"{host} closes the connection when it is spoken to in TLS", hint=hint))
        case Speech.SILENT:
            hint = step("check the port, or ask who runs it: something holds the connection open and says nothing")
            return failed(TimedOut(f"{host} takes connections, and does not answer", hint=hint))


def _verify_code(error: TLSFailed) -> int:
    """Return OpenSSL's code for what is wrong with the certificate; 0 if it is something else."""
    reason = getattr(error.__cause__, "certificate_error", None)
    return reason.verify_code if isinstance(reason, ssl.SSLCertVerificationError) else 0
