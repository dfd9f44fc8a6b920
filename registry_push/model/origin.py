"""`HTTPOrigin`: scheme, host and port; the border that no credential crosses."""

from __future__ import annotations

import ipaddress
import re
from functools import cached_property, lru_cache
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from ..errors import InvalidName, printable, redacted
from ..text.patterns import LazyPattern
from ..text.user_part import without_login

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_BYTES: Final = 4  # of an IPv4 address
# A part of an IPv4 address as inet_aton reads it: hexadecimal, octal or decimal.
_NUMBER: Final = LazyPattern(r"(?:0[xX][0-9a-fA-F]{1,8}|0[0-7]{0,11}|[1-9][0-9]{0,9})\Z")
# Scheme and authority, which end where a path, a query or a fragment begins (RFC 3986, section 3.2).
_BEGINNING: Final = re.compile(r"[^:/?#]*://[^/?#]*")


class HTTPOrigin(Struct, frozen=True, dict=True):
    """RFC 6454 origin. `host` is lower case, without brackets; `port` is always a number."""

    scheme: str
    host: str
    port: int

    @staticmethod
    @lru_cache(256)  # each request asks for the origin of its URL a dozen times
    def of(url: str) -> HTTPOrigin:
        """Return the origin of an absolute http or https URL. Raises `InvalidName` for anything else."""
        try:
            return _parsed(beginning(url) or url)
        except ValueError:
            # Python's message repeats what it found instead of a port, which may be a part of a password.
            shown = printable(without_login(redacted(url)), limit=120)
            raise InvalidName(f"not an http or https URL: {shown}") from None

    # Cached: each small blob asks for these two some fifteen times.
    @cached_property
    def netloc(self) -> str:
        """`host[:port]`, the port only where it is not the scheme's own; IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def as_typed(self) -> str:
        """As a user types it: with the scheme only if it is not the default (http on this machine, https elsewhere)."""
        return self.netloc if self.scheme == ("http" if self.is_loopback else "https") else str(self)

    @cached_property
    def _text(self) -> str:
        return f"{self.scheme}://{self.netloc}"

    @property
    def is_loopback(self) -> bool:
        """Whether nothing sent here leaves the machine: `localhost`, 127.0.0.0/8 or ::1."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return self._text


def spellings(host: str, scheme: str) -> tuple[str, ...]:
    """Return `host[:port]` as it is written, then with the scheme's own port added or left out.

    Logins and certificates are filed under whichever form somebody typed.
    """
    port = f":{_DEFAULT_PORTS[scheme]}"
    if host.endswith(port) and not host.endswith(f":{port}"):
        return host, host.removesuffix(port)
    has_port = ":" in host.rpartition("]")[2]
    return (host,) if has_port else (host, host + port)


def beginning(url: str) -> str:
    """Return `scheme://authority` as written in `url`, empty if there is none. Equal ones have one origin."""
    found = _BEGINNING.match(url)
    return found[0] if found else ""


@lru_cache(256)
def _parsed(url: str) -> HTTPOrigin:
    """Return the origin of `url`. Raises `ValueError`.

    Cached: the URLs of a push have one or two beginnings.
    """
    parts = urlsplit(url)
    host, port = parts.hostname, parts.port
    if parts.scheme not in _DEFAULT_PORTS or not host:
        raise ValueError("no http or https URL")
    if not host.isascii():
        raise ValueError("a host is written in ASCII (xn--…)")
    return HTTPOrigin(parts.scheme, _dotted(host) or host, port or _DEFAULT_PORTS[parts.scheme])


def _dotted(host: str) -> str | None:
    """Return `127.0.0.1` for `2130706433`, `127.1` and `0x7f.0.0.1`, as resolvers read them (inet_aton); else None.

    Without this, we would judge one host and the resolver connect to another (WHATWG URL, "IPv4 parser").
    """
    parts = host.removesuffix(".").split(".")
    is_number = parts[-1][:1].isdigit() and len(parts) <= _BYTES
    if not is_number or not all(_NUMBER.compiled.match(part) for part in parts):
        return None
    *first, last = [int(part, _base(part)) for part in parts]
    if any(number > 255 for number in first) or last >= 256 ** (_BYTES + 1 - len(parts)):
        return None
    whole = last + sum(number << 8 * (_BYTES - 1 - place) for place, number in enumerate(first))
    return str(ipaddress.IPv4Address(whole))


def _base(number: str) -> int:
    if number[:2].lower() == "0x":
        return 16
    return 8 if number.startswith("0") else 10


def is_loopback(host: str) -> bool:
    """Return whether `host` (no port) is this machine. Names other than `localhost` are not resolved."""
    if host == "localhost" or host.endswith((".localhost", "localhost.")):  # RFC 6761 section 6.3
        host = host.removesuffix(".")
        return host == "localhost" or host.endswith(".localhost")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
