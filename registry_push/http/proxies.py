"""`Proxies`: the proxies that the environment names, read once. Their text never contains logins."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Self
from urllib.parse import unquote_to_bytes, urlsplit

from msgspec import Struct
from yarl import URL

from ..errors import InvalidName, InvalidSettings
from ..model import HTTPOrigin
from ..text.patterns import LazyPattern
from .no_proxy import NoProxy

_SCHEMES: Final = ("http", "https")
_HOST_AND_PORT: Final = LazyPattern(r"((?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?)(?=[/?#]|\Z)")
_HOST: Final = LazyPattern(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")


class Proxy(Struct, frozen=True):
    """A proxy that speaks http or https, named by `variable`.

    `authorization` is the value of `Proxy-Authorization`, if it needs one.
    """

    origin: HTTPOrigin
    variable: str
    authorization: str | None = None

    def __str__(self) -> str:
        return str(self.origin)

    def __repr__(self) -> str:
        return f"<Proxy {self.origin} of {self.variable}>"


class Proxies(Struct, frozen=True):
    """Which proxy leads to which origin; `bypass` is `$NO_PROXY`."""

    by_scheme: Mapping[str, Proxy] = MappingProxyType({})
    bypass: NoProxy = NoProxy()

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """Return the proxies that `environ` names.

        Raises `InvalidSettings` with the name of the variable, and no more of its value than host and port.
        """
        found = {scheme: _proxy(environ, f"{scheme}_proxy") for scheme in _SCHEMES}
        every = None if all(found.values()) else _proxy(environ, "all_proxy")
        by_scheme = {scheme: proxy for scheme in _SCHEMES if (proxy := found[scheme] or every) is not None}
        return cls(by_scheme, NoProxy.parse(_value(environ, "no_proxy")[1]))

    def to(self, origin: HTTPOrigin) -> Proxy | None:
        """Return the proxy on the way to `origin`; None for the direct way."""
        proxy = self.by_scheme.get(origin.scheme)
        # As in curl and Go, this machine is never reached through a proxy.
        if proxy is None or origin.is_loopback:
            return None
        return None if self.bypass.covers(origin) else proxy


def without_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` without the variables that name a proxy."""
    names = {f"{scheme}_proxy" for scheme in (*_SCHEMES, "all")}
    return {name: value for name, value in environ.items() if name.lower() not in names}


def _value(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """Return the variable that is set, and its value."""
    # Lower case wins. A CGI script must not read HTTP_PROXY, which a header can set (httpoxy), but this is none.
    for variable in (name, name.upper()):
        if environ.get(variable):
            return variable, environ[variable]
    return name, ""


def _proxy(environ: Mapping[str, str], name: str) -> Proxy | None:
    variable, value = _value(environ, name)
    if not value:
        return None
    url = value if "://" in value else f"http://{value}"
    try:
        return _parsed(url, variable)
    except (InvalidName, ValueError):
        where = _shown(value)
        raise InvalidSettings(
            f"the proxy {where} in {variable} can't be used" if where else f"the proxy in {variable} can't be used",
            hint="write http://HOST:PORT, with what is special in a login percent-encoded (/ as %2F, @ as %40);"
            " SOCKS proxies are not supported",
        ) from None  # the cause quotes the value


def _parsed(url: str, variable: str) -> Proxy:
    """Raise `InvalidName`, `ValueError`."""
    url = _with_hash_encoded(url)
    origin = HTTPOrigin.of(url)
    parts = urlsplit(url)
    if "@" in parts.path + parts.query + parts.fragment:
        raise ValueError("a password with a slash, whose beginning looks like a host")
    if not origin.host.isprintable() or " " in origin.host:
        raise ValueError("no host's name")
    URL(str(origin))  # raises if aiohttp could not use it
    if parts.username is None or not (parts.username or parts.password):
        return Proxy(origin, variable)
    name, password = _decoded(parts.username), _decoded(parts.password or "")
    if b":" in name:  # RFC 7617: Basic can't express it
        raise ValueError("a name with a colon")
    return Proxy(origin, variable, f"Basic {b64encode(name + b':' + password).decode()}")


def _with_hash_encoded(url: str) -> str:
    """Return `url` with each `#` in its login as `%23`: a proxy's URL has no fragment, but a password may have one."""
    scheme, separator, rest = url.partition("://")
    login, at, host = rest.rpartition("@")
    if "/" in login or "?" in login:  # the part before may be the host
        return url
    return f"{scheme}{separator}{login.replace('#', '%23')}{at}{host}"


def _decoded(text: str) -> bytes:
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape"))


def _shown(value: str) -> str:
    """Return host and port from a value that could not be parsed, unless they may be part of a login."""
    login, _, rest = value.rpartition("@")
    if found := _HOST_AND_PORT.compiled.match(rest.rpartition("://")[2]):
        return found[1]
    found = _HOST.compiled.match(rest) if login else None
    return found[0] if found else ""
