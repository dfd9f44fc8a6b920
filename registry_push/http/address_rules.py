"""`AddressRules`: where a registry may send us by a redirect, a Location or the name of its token service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from aiohttp.client_middlewares import ClientMiddlewareType

from ..errors import InvalidName, ProtocolViolation, redacted
from ..model import HTTPOrigin
from ..protocol.addresses import AddressKind, AddressRule, kind_of, kind_of_host, parse_networks
from ..settings import Settings
from .address_judge import held_to
from .proxies import Proxies


class AddressRules:
    """A URL outside the registry's origin must be public, or at a kind of address that the registry has itself.

    `addresses_of` returns the addresses that a registry was reached at.
    """

    def __init__(
        self,
        settings: Settings,
        proxies: Proxies,
        addresses_of: Callable[[HTTPOrigin], Awaitable[Collection[str]]],
    ) -> None:
        self._networks = parse_networks(settings.allow_addresses)
        self._proxies = proxies
        self._addresses_of = addresses_of

    async def of(self, url: str, named_by: HTTPOrigin | None) -> tuple[ClientMiddlewareType, ...] | None:
        """Return the middlewares that confine a request for `url` to allowed addresses; None if there is no limit.

        Raises `ProtocolViolation`, of which `ForeignAddress` is one.
        """
        if named_by is None:
            return None
        try:
            origin = HTTPOrigin.of(url)
        except InvalidName as error:
            raise ProtocolViolation(
                f"{named_by} sends us to an odd address: {redacted(url)}", hint=f"ask who runs {named_by}"
            ) from error
        if origin == named_by:
            return None
        if (named_by.scheme, origin.scheme) == ("https", "http"):
            raise ProtocolViolation(f"{named_by} sends us from https to {origin}", url=url)
        rule = AddressRule(named_by, await self._kinds_of(named_by), self._networks)
        if self._proxies.to(origin) is None:
            return (held_to(rule),)
        # The proxy resolves names; only literal addresses can be judged here.
        if kind_of_host(origin.host) is not None and not rule.allows(origin.host):
            raise rule.refusal(url, origin.host)
        return None

    async def _kinds_of(self, registry: HTTPOrigin) -> frozenset[AddressKind]:
        """Return the kinds of the registry's addresses; none if a proxy resolves its name."""
        if (kind := kind_of_host(registry.host)) is not None:
            return frozenset([kind])
        if self._proxies.to(registry) is not None:
            return frozenset()
        return frozenset(map(kind_of, await self._addresses_of(registry)))
