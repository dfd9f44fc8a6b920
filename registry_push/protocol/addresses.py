"""Which addresses a registry may send us to. Pure.

A registry names URLs: Locations, direct and presigned URLs, redirects, realms. A hostile or hijacked one can name an
internal service, and would have us write to it (CVE-2026-50151, CVE-2026-85180). A name can resolve to any address, so
what is judged is the address that a socket is about to connect to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from enum import Enum
from functools import lru_cache
from typing import Final

from msgspec import Struct

from ..errors import ForeignAddress
from ..model import HTTPOrigin
from ..text.hint import Setting, step

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# RFC 6598: shared by a provider and its customers. Some clouds keep their metadata service there.
_SHARED: Final = ("100.64.0.0/10",)
_THIS_NETWORK: Final = ("0.0.0.0/8",)  # RFC 1122: Linux connects 0.0.0.0 to itself
# RFC 1918, RFC 4193, and the site-local addresses that RFC 3879 gave up.
_PRIVATE: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")
# Addresses that hold an IPv4 address in their last 32 bits: IPv4-compatible (RFC 4291), NAT64 (RFC 6052, RFC 8215).
_EMBEDDING: Final = ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96")


class AddressKind(Enum):
    """What can be reached at an address; the value is how messages call it."""

    PUBLIC = "a public address"
    LOOPBACK = "an address of this machine itself"
    LINK_LOCAL = "a link-local address"
    PRIVATE = "an address of a private network"
    SHARED = "an address of a provider's shared network"
    MULTICAST = "a multicast address"
    UNSPECIFIED = "an unspecified address"
    RESERVED = "a reserved address"


# Names that mean the same everywhere: of Debian's and Red Hat's /etc/hosts, and of the clouds' metadata services.
_WELL_KNOWN: Final = {
    "ip6-localhost": AddressKind.LOOPBACK,
    "ip6-loopback": AddressKind.LOOPBACK,
    "localhost.localdomain": AddressKind.LOOPBACK,
    "localhost4.localdomain4": AddressKind.LOOPBACK,
    "localhost6.localdomain6": AddressKind.LOOPBACK,
    "metadata": AddressKind.LINK_LOCAL,
    "metadata.google.internal": AddressKind.LINK_LOCAL,
    "instance-data": AddressKind.LINK_LOCAL,
    "instance-data.ec2.internal": AddressKind.LINK_LOCAL,
}


@lru_cache(1024)
def kind_of(address: str) -> AddressKind:
    """Classify an IP address. An IPv4 address inside an IPv6 one counts as itself. Raises `ValueError`."""
    parsed = _unwrapped(ipaddress.ip_address(address.partition("%")[0]))
    if parsed.is_unspecified or _lies_in(parsed, _THIS_NETWORK):
        return AddressKind.UNSPECIFIED
    if parsed.is_loopback:
        return AddressKind.LOOPBACK
    if parsed.is_link_local:
        return AddressKind.LINK_LOCAL
    if parsed.is_multicast:
        return AddressKind.MULTICAST
    if _lies_in(parsed, _SHARED):
        return AddressKind.SHARED
    if _lies_in(parsed, _PRIVATE):
        return AddressKind.PRIVATE
    return AddressKind.PUBLIC if parsed.is_global else AddressKind.RESERVED


def kind_of_host(host: str) -> AddressKind | None:
    """Classify a host that is an address or a name of this machine; None for a name that has to be resolved."""
    try:
        return kind_of(host)
    except ValueError:
        if HTTPOrigin("http", host, 80).is_loopback:
            return AddressKind.LOOPBACK
        return _WELL_KNOWN.get(host.removesuffix("."))


class AddressRule(Struct, frozen=True):
    """Where `registry` may send us: public addresses, those of the kinds it has itself, and `allowed` networks."""

    registry: HTTPOrigin
    own_kinds: frozenset[AddressKind]
    allowed: tuple[Network, ...] = ()

    def allows(self, host: str) -> bool:
        """Return whether to go to `host`: an address, or a name whose kind is known (`kind_of_host`)."""
        kind = kind_of_host(host)
        if kind is AddressKind.PUBLIC or kind in self.own_kinds:
            return True
        if not _is_address(host):
            return False
        address = ipaddress.ip_address(host.partition("%")[0])
        return any(each in network for each in (address, _unwrapped(address)) for network in self.allowed)

    def refusal(self, url: str, host: str) -> ForeignAddress:
        """Return the error for `url`, which leads to `host`."""
        kind = kind_of_host(host) or AddressKind.PUBLIC
        address = host.partition("%")[0] if _is_address(host) else "ADDRESS"
        return ForeignAddress(
            f"{self.registry} sends us to {HTTPOrigin.of(url)}, which is {kind.value} ({host}); "
            "the registry itself is not",
            hint=step(
                "nothing was sent there; if the registry's owner says that this is right: ",
                Setting("allow_address", str(address)),
            ),
            url=url,
        )


def parse_networks(texts: Collection[str]) -> tuple[Network, ...]:
    """Parse addresses and networks (`10.1.2.3`, `10.0.0.0/8`, `fd00::/8`). Raises `ValueError`."""
    return tuple(ipaddress.ip_network(text.strip().strip("[]"), strict=False) for text in texts)


def _lies_in(address: _Address, networks: tuple[str, ...]) -> bool:
    return any(address in network for network in _parsed(networks))


@lru_cache
def _parsed(networks: tuple[str, ...]) -> tuple[Network, ...]:
    return parse_networks(networks)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _unwrapped(address: _Address) -> _Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and int(address) > 1 and _lies_in(address, _EMBEDDING):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address
