"""Errors of the proxy on the way, told apart from those of the registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import aiohttp

from ..content.read_errors import shortage
from ..errors import ConnectionLost, ProxyRefused, RegistryPushError, TLSFailed
from ..model import HTTPOrigin
from ..protocol.diagnostics import diagnose
from ..text.patterns import LazyPattern
from .proxies import Proxy
from .reasons import reason_of

_WANTS_LOGIN: Final = 407
_FORBIDS: Final = 403
# Headers of a proxy's own refusals (Squid; RFC 9209), and headers that show a registry's.
_OF_A_PROXY: Final = ("X-Squid-Error", "Proxy-Authenticate")
_OF_A_REGISTRY: Final = ("Docker-Distribution-Api-Version", "Docker-Content-Digest", "WWW-Authenticate")
# Content types of programs: json from registries, xml from storages such as S3.
_OF_A_PROGRAM: Final = LazyPattern(r"\b(?:json|xml)\b")


def proxy_refusal(
    status: int, headers: Mapping[str, str], body: bytes, url: str, proxy: Proxy
) -> ConnectionLost | ProxyRefused | None:
    """Return the error for an answer over plain http that is the proxy's own; None if it is the registry's."""
    is_forbidden = status == _FORBIDS and not any(name in headers for name in _OF_A_REGISTRY)
    is_forbidden = is_forbidden and not _OF_A_PROGRAM.compiled.search(headers.get("Content-Type", ""))
    is_own = status >= 400 and (
        any(name in headers for name in _OF_A_PROXY) or "error=" in headers.get("Proxy-Status", "")
    )
    if status == _WANTS_LOGIN or is_forbidden or is_own:
        return _refused_by(proxy, status, diagnose(body).text, url)
    return None


def at_proxy(error: Exception, url: str, proxy: Proxy) -> RegistryPushError | None:
    """Return the error if the proxy is at fault; None if it is not."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _refused_by(proxy, error.status, error.message, url)
    if not isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientConnectorCertificateError):
        return None
    if not isinstance(error, aiohttp.ClientProxyConnectionError) and error.host != proxy.origin.host:
        return None
    system = getattr(error, "os_error", error)
    if isinstance(system, OSError) and shortage(system, "") is not None:
        return None
    is_of_tls = isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError)
    is_unknown = isinstance(error, aiohttp.ClientConnectorDNSError)
    reason = "cannot resolve its host" if is_unknown else reason_of(error)
    return (TLSFailed if is_of_tls else ConnectionLost)(
        f"the proxy on the way to {HTTPOrigin.of(url).netloc} failed: {proxy} ({proxy.variable}): {reason}",
        hint=f"check {proxy.variable}; or, if no proxy is needed for this registry, name it in NO_PROXY",
        url=url,
    )


def _refused_by(proxy: Proxy, status: int, said: str, url: str) -> ConnectionLost | ProxyRefused:
    netloc = HTTPOrigin.of(url).netloc
    if status == _WANTS_LOGIN:
        has = "takes no such login" if proxy.authorization else "wants a login"
        words = f"HTTP 407, it {has}"
        # Without http:// before it, which would have the login taken for one, and left out.
        what = "check the name and the password" if proxy.authorization else "put NAME:PASSWORD@ before its host"
        hint = f"{what} in {proxy.variable}; write what is special in them percent-encoded, such as %40 for @"
    else:
        words = f"HTTP {status}{f': {said}' if said else ''}"
        hint = f"ask who runs the proxy to allow {netloc}; or, if no proxy is needed for it, name it in NO_PROXY"
    # The same request gets the same answer again, unless the proxy itself is in trouble.
    return (ProxyRefused if status in (_WANTS_LOGIN, _FORBIDS) else ConnectionLost)(
        f"the proxy on the way to {netloc} failed: {proxy} ({proxy.variable}) answers {words}", hint=hint, url=url
    )
