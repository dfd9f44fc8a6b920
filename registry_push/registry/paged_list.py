"""Lists that a registry gives in pages (RFC 8288; distribution-spec, "Listing Tags" and "Listing Referrers")."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from ..errors import ProtocolViolation
from ..http.response import Response
from ..protocol.pages import MOST_EMPTY, next_page
from .client import Client

if TYPE_CHECKING:
    from ..protocol.auth.challenge import Scopes

Entry = TypeVar("Entry")


async def every_entry(
    client: Client,
    url: str,
    scopes: Scopes,
    read: Callable[[Response], Iterable[Entry]],
    *,
    what: str,
    most: int,
    headers: Mapping[str, str] | None = None,
) -> tuple[Entry, ...]:
    """Ask for the page at `url` and for all that follow, and return each entry that `read` finds, once, in their order.

    `what` names the list in messages. Raises what `read` and requests raise, and `ProtocolViolation` if there are more
    than `most` entries, or pages without end.
    """
    following: str | None = url
    found, asked, empty = dict[Entry, None](), set[str](), 0
    while following is not None:
        asked.add(following)
        response = await client.request("GET", following, scopes, headers)
        before = len(found)
        found |= dict.fromkeys(read(response))
        empty += len(found) == before
        if empty > MOST_EMPTY:
            raise ProtocolViolation(f"{what} is on pages without end", url=following)
        if len(found) > most:
            raise ProtocolViolation(f"{what} has more than {most} entries", url=following)
        following = next_page(response.url, response.headers.get("Link"))
        if following in asked:
            raise ProtocolViolation(f"{what} is on pages that go in a circle", url=following)
    return tuple(found)
