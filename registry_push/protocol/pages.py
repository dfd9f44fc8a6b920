"""Lists that come in pages (RFC 8288, `Link: <…>; rel="next"`; spec, "Listing Tags"). Pure."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urljoin

from ..errors import ProtocolViolation
from ..model import HTTPOrigin

# Characters. Servers send some hundred.
_LONGEST: Final = 8192
_LINK: Final = re.compile(r"\s*<([^<>]*)>([^,<]*)")
_NEXT: Final = re.compile(r';\s*rel\s*=\s*"?(?:[^";]* )?next(?:[ ";]|\Z)', re.IGNORECASE)


def next_page(url: str, link: str | None) -> str | None:
    """The address of the page after the one at `url`, by the header `Link` of its answer; None if it is the last.

    Raises `ProtocolViolation` if that is at another origin: our login is for this one.
    """
    if not link or len(link) > _LONGEST:
        return None
    for found in _LINK.finditer(link):
        if _NEXT.search(found[2]):
            following: str = urljoin(url, found[1])
            if HTTPOrigin.of(following) != HTTPOrigin.of(url):
                raise ProtocolViolation("the next page of a list is at another registry", url=following)
            return following
    return None
