"""Which answers redirect a request, and where to."""

from __future__ import annotations

from typing import Final
from urllib.parse import urljoin

from ..errors import InvalidName, ProtocolViolation, redacted
from ..http.response import Response
from ..model import HTTPOrigin
from ..protocol.location import is_line

REDIRECTS: Final = (301, 302, 303, 307, 308)
# The redirects that leave the method and the body as they are (RFC 9110, 15.4); the others turn a POST into a GET.
_KEEPING: Final = (307, 308)


def leads_on(response: Response, method: str) -> bool:
    """Return whether a request of `method` is to follow the answer.

    Ollama's registry also answers 307 to say where the body of a part goes: that is no redirect of the question.
    """
    if method in ("GET", "HEAD"):
        return response.status in REDIRECTS
    has_target = "Location" in response.headers and "Docker-Upload-Location" not in response.headers
    return response.status in _KEEPING and has_target


def next_hop(response: Response) -> str:
    """Return the absolute URL that a redirect leads to. Raises `ProtocolViolation` for one that may not be followed."""
    location = response.headers.get("Location")
    if not location:
        raise ProtocolViolation(f"a redirect ({response.status}) to nowhere", url=response.url)
    if not is_line(location):
        raise ProtocolViolation(f"a redirect to an odd address: {redacted(location)}", url=response.url)
    try:
        url = urljoin(response.url, location)
        there = HTTPOrigin.of(url)
    except (ValueError, InvalidName) as error:
        raise ProtocolViolation(f"a redirect to an odd address: {redacted(location)}", url=response.url) from error
    if there.scheme == "http" and HTTPOrigin.of(response.url).scheme == "https":
        raise ProtocolViolation("a redirect from https to http", url=response.url)
    return url
