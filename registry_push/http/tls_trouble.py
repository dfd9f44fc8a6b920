"""TLS errors behind a broken connection or a first 400: which side is at fault, and how to fix it."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from msgspec import Struct

from ..content.threads import in_thread
from ..errors import ConnectionLost, RegistryPushError, TLSFailed
from ..model import HTTPOrigin
from ..settings import Settings
from ..text.hint import Setting, joined, step
from .proxies import Proxy
from .tls import client_certificates, words_of
from .tls_look import Shown, look
from .translation import translated


class Circumstances(Struct, frozen=True):
    """A request that failed.

    `is_first`: the host has not answered in this run. `is_registry`: it is shown the certificate of `--cert`.
    `may_look`: the user has named it and no proxy is in between, so that a second handshake is allowed.
    """

    url: str
    origin: HTTPOrigin
    settings: Settings
    is_first: bool
    is_registry: bool
    may_look: bool

    async def look(self) -> Shown | None:
        """Return the server's handshake; None if a second one is not allowed, or the server speaks no TLS."""
        patience = self.settings.timeout
        return await look(self.origin.host, self.origin.port, patience=patience) if self.may_look else None

    async def own_certificate(self) -> Path | None:
        """Return our certificate, which the server sees if it asks for one."""
        own = await in_thread(client_certificates, self.origin.netloc, self.settings, is_registry=self.is_registry)
        return own[-1][0] if own else None


async def explained(error: Exception, case: Circumstances, proxy: Proxy | None = None) -> RegistryPushError:
    """Return our error for `error`, which happened on the way through `proxy`, if any. Cancelling is safe."""
    ours = translated(error, case.url, proxy)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return await _untrusted(error, case)
    if not isinstance(ours, ConnectionLost | TLSFailed):
        return ours
    if case.origin.scheme == "https" and (alert := _alert_about_us(error)) is not None:
        return await _about_our_certificate(case, words_of(alert))
    # A host that can't be connected to is not tried again.
    if not case.is_first or (isinstance(error, aiohttp.ClientConnectorError) and not _broke_in_handshake(error)):
        return ours
    return await _second_look(case, "hung up") or ours


async def check_refusal(case: Circumstances) -> None:
    """Raise `TLSFailed` if TLS is why the first answer of a host is 400.

    nginx and Go answer so to plain http at an https port, and nginx to a client without a certificate. Only the body
    says so, which HEAD does not have, and which may come from a server further on.
    """
    better = await _second_look(case, "answers HTTP 400") if case.is_first else None
    if better is not None:
        raise better


async def _second_look(case: Circumstances, did: str) -> TLSFailed | None:
    shown, netloc = await case.look(), case.origin.netloc
    if shown is None:
        return None
    if case.origin.scheme == "http":
        return TLSFailed(
            f"{netloc} speaks https: write https:// before it (https://{netloc})",
            hint=step(
                *(("leave out ", Setting("plain_http"), "; ") if case.settings.at(netloc).plain_http else ()),
                "if its CA is a private one, name that: ",
                Setting("ca_file", "FILE"),
            ),
            url=case.url,
        )
    return await _about_our_certificate(case, f"it {did}") if shown.wants_certificate else None


async def _about_our_certificate(case: Circumstances, words: str) -> TLSFailed:
    own, netloc = await case.own_certificate(), case.origin.netloc
    if own is not None:
        return TLSFailed(
            f"{netloc} does not take the client certificate {own} ({words})",
            hint=step(
                f"check that it has not expired, and is signed by a CA that {netloc} trusts: ",
                Setting("cert"),
                ", ",
                Setting("key_file"),
            ),
            url=case.url,
        )
    return TLSFailed(
        f"{netloc} wants a client certificate, and none was given ({words})",
        hint=step("give yours: ", Setting("cert", "FILE"), " ", Setting("key_file", "FILE")),
        url=case.url,
    )


async def _untrusted(error: aiohttp.ClientConnectorCertificateError, case: Circumstances) -> TLSFailed:
    # Imported where it is used: cryptography takes longer to import than the rest of a short command.
    from .untrusted import reasons

    reason, netloc, host = error.certificate_error, case.origin.netloc, case.origin.host
    if error.host == host:
        shown = await case.look()
    else:  # a proxy that is itself reached by TLS
        shown, netloc, host = None, f"the proxy {error.host}", str(error.host)
    assert isinstance(reason, ssl.SSLCertVerificationError)
    found = await in_thread(
        reasons,
        reason.verify_code,
        reason.verify_message,
        shown.certificates if shown else (),
        netloc=netloc,
        host=host,
        now=datetime.now(UTC),  # as OpenSSL does
        ca_file=case.settings.at(netloc).ca_file,
    )
    return TLSFailed(
        f"no trusted TLS connection to {netloc}: {'; '.join(each.words for each in found)}",
        hint=joined("; ", [each.hint for each in found]),
        url=case.url,
    )


def _alert_about_us(error: BaseException) -> OSError | None:
    """Return the alert in `error` if it is about a certificate: the other side judges no certificate but ours."""
    for each in (error, getattr(error, "os_error", None), error.__cause__):
        reason = getattr(each, "reason", None) or ""
        if isinstance(each, ssl.SSLError) and "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
            return each
    return None


def _broke_in_handshake(error: aiohttp.ClientConnectorError) -> bool:
    return isinstance(error.os_error, ConnectionResetError | ConnectionAbortedError | BrokenPipeError | ssl.SSLError)
