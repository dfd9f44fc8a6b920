"""Which clients are served: Ollama's checks of Host and Origin, and the bearer token.

Host is checked against DNS rebinding (CVE-2024-28224; Ollama's server/routes.go, allowedHostsMiddleware). Origin is
checked against foreign pages in this user's browser (github.com/gin-contrib/cors with envconfig/config.go,
AllowedOrigins).
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self

from ..errors import InvalidSettings, quoted

_LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "0.0.0.0")  # noqa: S104  # an origin that is let in, no address
_LOCAL_SUFFIXES: Final = (".localhost", ".local", ".internal")
_APPLICATIONS: Final = ("app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*")
PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET,POST,HEAD,OPTIONS",
    "Access-Control-Allow-Headers": "Authorization,Content-Type,User-Agent,Accept,X-Requested-With",
    "Access-Control-Max-Age": "43200",
}


@dataclass(frozen=True, slots=True)
class Origins:
    """The origins of pages that are served. `patterns` have at most one `*`."""

    patterns: tuple[str, ...]

    @classmethod
    def parse(cls, ollama_origins: str) -> Self:
        """Return this machine's own origins and those in `$OLLAMA_ORIGINS`.

        Raises `InvalidSettings` for values with which Ollama does not start.
        """
        text = ollama_origins.strip().strip("\"'")
        own = tuple(
            f"{scheme}://{host}{port}" for host in _LOCAL_HOSTS for port in ("", ":*") for scheme in ("http", "https")
        )
        added = tuple(part.strip() for part in text.split(",")) if text else ()
        for each in added:
            if each.count("*") > 1 or not each:
                raise InvalidSettings(
                    f"OLLAMA_ORIGINS has {quoted(each, limit=80)}",
                    hint="write origins such as https://example.com, with one * at most, and commas between them",
                )
        return cls((*added, *own, *_APPLICATIONS))

    def allow(self, origin: str) -> bool:
        """Return whether a page of `origin` is served."""
        for pattern in self.patterns:
            before, star, after = pattern.partition("*")
            if origin == pattern or (star and origin.startswith(before) and origin.endswith(after)):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Access:
    """The three checks. `guards_host`: the service listens on this machine only, so any other Host is an attack."""

    guards_host: bool
    origins: Origins
    token: str | None = field(default=None, repr=False)
    is_own: Callable[[str], bool] = lambda host: is_own_host(host)

    def admits_host(self, host: str) -> bool:
        """Return whether a request with this Host header may pass."""
        return not self.guards_host or self.is_own(bare_host(host))

    def admits_origin(self, origin: str, host: str) -> bool:
        """Return whether a page of `origin` is served at `host`.

        A page from the same host passes only if that is a name of this machine, wherever the service listens: with DNS
        rebinding the two are equal too.
        """
        if not origin.isascii():  # no browser sends one, and no header of the answer could repeat it
            return False
        if self.origins.allow(origin):
            return True
        return origin.lower() in (f"http://{host}", f"https://{host}") and self.is_own(bare_host(host))

    def admits_token(self, authorization: str) -> bool:
        """Return whether the Authorization header carries the token, if there is one."""
        if self.token is None:
            return True
        scheme, _, given = authorization.strip().partition(" ")
        # Bytes of a header that are not UTF-8 arrive as lone surrogates.
        sent = given.strip().encode("utf-8", "surrogateescape")
        return scheme.lower() == "bearer" and hmac.compare_digest(sent, self.token.encode())


def bare_host(host: str) -> str:
    """Return the Host header without its port and brackets, in lower case."""
    host = host.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() and ":" not in name else host


def is_own_host(host: str) -> bool:
    """Return whether `host` is an address, or a name that can't be in the public DNS (routes.go, allowedHost)."""
    if not host.isascii():  # an IPv6 address may have any text as its zone, which no socket takes
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host in ("", "localhost", socket.gethostname().lower()) or host.endswith(_LOCAL_SUFFIXES)
    return address.is_loopback or address.is_private or address.is_unspecified or _is_mine(address)


def _is_mine(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return whether the address is one of this machine's: only then can a socket be bound to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
