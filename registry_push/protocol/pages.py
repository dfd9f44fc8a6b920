"""Paged lists (RFC 8288, `Link: <…>; rel="next"`; spec, "Listing Tags"). Pure."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urljoin

from ..errors import InvalidName, ProtocolViolation, redacted
from ..model import HTTPOrigin
from .location import is_line

# Characters. Servers send a few hundred.
_LONGEST: Final = 8192
# Pages of one list that have nothing on them. A registry may leave out what the reader may not see.
MOST_EMPTY: Final = 100
_LINK: Final = re.compile(r"\s*<([^<>]*)>([^,<]*)")
_NEXT: Final = re.compile(r';\s*rel\s*=\s*"?(?:[^";]* )?next(?:[ ";]|\Z)', re.IGNORECASE)


def next_page(url: str, link: str | None) -> str | None:
    """Return the URL of the page after the one at `url`, from its answer's `Link` header; None after the last.

    Raises `ProtocolViolation` if that is at another origin, for our login is for this one, and if it is no address.
    """
    if not link or len(link) > _LONGEST:
        return None
    for found in _LINK.finditer(link):
        if _NEXT.search(found[2]):
            odd = ProtocolViolation(f"the next page of a list is at an odd address: {redacted(found[1])}", url=url)
            try:
                following: str = urljoin(url, found[1])
                there = HTTPOrigin.of(following)
            except (ValueError, InvalidName) as error:
                raise odd from error
            if not is_line(following):
                raise odd
            if there != HTTPOrigin.of(url):
                raise ProtocolViolation("the next page of a list is at another registry", url=following)
            return following
    return None
