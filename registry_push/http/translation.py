"""aiohttp's exceptions, translated into our errors."""

from __future__ import annotations

import socket

import aiohttp

from ..content.read_errors import shortage
from ..errors import ConnectionLost, ProtocolViolation, RegistryPushError, TimedOut, TLSFailed, redacted
from ..model import HTTPOrigin
from ..text.hint import Setting, step
from .address_judge import AddressRefused
from .bounded_handler import HeadTooLate, TooManyInformational
from .proxies import Proxy
from .proxy_errors import at_proxy
from .reasons import reason_of


def translated(error: Exception, url: str, proxy: Proxy | None = None) -> RegistryPushError:
    """Return our error for a foreign one, which happened on the way through `proxy`, if any."""
    where = HTTPOrigin.of(url)
    if proxy is not None and (failure := at_proxy(error, url, proxy)) is not None:
        return failure
    system = getattr(error, "os_error", error)
    if isinstance(system, AddressRefused):
        return system.rule.refusal(url, system.address)
    if isinstance(system, OSError) and (short := shortage(system, f"no connection to {where.netloc}")) is not None:
        return short
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            if "WRONG_VERSION_NUMBER" in str(error) or "RECORD_LAYER_FAILURE" in str(error):
                return TLSFailed(
                    f"{where.netloc} does not speak https",
                    hint=step("for http, write http:// before the host, or say ", Setting("plain_http")),
                    url=url,
                )
            return TLSFailed(f"no TLS connection to {where.netloc}: {reason_of(error)}", url=url)
        case aiohttp.ClientConnectorDNSError() as unknown:
            cause = unknown.os_error
            reason = f": {cause.strerror}" if cause.errno == socket.EAI_AGAIN else ""
            return ConnectionLost(
                f"cannot resolve {where.host}{reason}", hint="check the spelling, and your name server (DNS)", url=url
            )
        case TooManyInformational():
            return ProtocolViolation(f"{where.netloc} sends informational answers (1xx) without end", url=url)
        case HeadTooLate():
            return TimedOut(f"{where.netloc} began an answer and does not end its headers", url=url)
        case TimeoutError():
            return TimedOut(f"{where.netloc} took or gave no byte for too long", url=url)
        case aiohttp.ClientConnectorError():
            return ConnectionLost(
                f"no connection to {where.netloc}: {reason_of(error)}", hint="check the address and the port", url=url
            )
        case aiohttp.ServerDisconnectedError():
            return ConnectionLost(f"{where.netloc} closed the connection without an answer", url=url)
        case aiohttp.ClientPayloadError():
            return ConnectionLost(f"the connection to {where.netloc} broke before all of an answer was there", url=url)
        case aiohttp.ClientResponseError():
            return ConnectionLost(f"{where.netloc} gave no readable HTTP answer: {_complaint(error)}", url=url)
        case ValueError():
            return ProtocolViolation(f"the address {redacted(url)} can't be used: {error}", url=url)
        case _:
            return ConnectionLost(f"the connection to {where.netloc} broke: {reason_of(error)}", url=url)


def _complaint(error: aiohttp.ClientResponseError) -> str:
    """Return what the parser complains of in one line: `Bad status line, b'SSH-2.0-OpenSSH_9.6'`, without its arrow."""
    what, *rest = [line.strip() for line in error.message.splitlines() or [""]]
    said = next((line for line in rest if line.startswith("b")), "")
    return redacted(f"{what.rstrip(':')}, {said}" if said else what)
