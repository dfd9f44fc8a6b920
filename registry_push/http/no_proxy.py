"""`NoProxy`: the hosts in `NO_PROXY`, as Go (x/net/http/httpproxy) and curl read it."""

from __future__ import annotations

import ipaddress
from typing import Final, Self

from msgspec import Struct

from ..model import HTTPOrigin
from ..text.patterns import LazyPattern

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Go splits at commas; curl at blanks as well.
_SEPARATORS: Final = LazyPattern(r"[,\s]+")
# Characters of an entry: a name has 253, and a port and brackets may be around it.
_LONGEST: Final = 300
_PORT: Final = LazyPattern(r":([0-9]{1,5})\Z")


class _Rule(Struct, frozen=True):
    """One entry: a network or a domain; `port` is None if every port is meant."""

    network: _Network | None = None
    domain: str = ""
    subdomains_only: bool = False
    port: int | None = None

    def matches(self, origin: HTTPOrigin, host: str, address: _Address | None) -> bool:
        if self.port not in (None, origin.port):
            return False
        if self.network is not None:
            return address is not None and address in self.network
        if address is not None:
            return False
        return host.endswith(f".{self.domain}") or (host == self.domain and not self.subdomains_only)


class NoProxy(Struct, frozen=True):
    """The entries of `NO_PROXY`; `everything` if it is `*` alone (in a list, curl and Python read it as a name)."""

    rules: tuple[_Rule, ...] = ()
    everything: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the variable. Meaningless entries are skipped, as in Go and curl."""
        if not text:
            return cls()
        entries = [entry for entry in _SEPARATORS.compiled.split(text.lower()) if 0 < len(entry) <= _LONGEST]
        rules = (_rule(entry) for entry in entries)
        return cls(tuple(rule for rule in rules if rule is not None), entries == ["*"])

    def covers(self, origin: HTTPOrigin) -> bool:
        """Return whether `origin` is reached without a proxy."""
        if self.everything:
            return True
        host, address = origin.host.removesuffix("."), _address(origin.host)
        return any(rule.matches(origin, host, address) for rule in self.rules)


def _rule(entry: str) -> _Rule | None:
    network = _network(entry.strip("[]"))  # the last group of `2001:db8::5` is no port
    if network is not None:
        return _Rule(network)
    host, port = entry, None
    if found := _PORT.compiled.search(entry):
        host, port = entry[: found.start()], int(found[1])
        if (network := _network(host.strip("[]"))) is not None:
            return _Rule(network, port=port)
    # Go takes `*.corp.test` for subdomains only; curl and Python take `.corp.test` for the domain itself too.
    subdomains_only = host.startswith("*.")
    domain = _ascii(host.removeprefix("*").strip("."))
    return _Rule(domain=domain, subdomains_only=subdomains_only, port=port) if domain else None


def _network(text: str) -> _Network | None:
    """Parse a network, or an address as a network of one; host bits are ignored."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped and network.prefixlen >= 96:
        return ipaddress.ip_network((network.network_address.ipv4_mapped, network.prefixlen - 96), strict=False)
    return network


def _address(host: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address


def _ascii(host: str) -> str:
    """Return the host in ASCII (`xn--…`), as our origins have it."""
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return ""
