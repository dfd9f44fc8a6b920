"""Redirects that are not followed: where they lead, and what the user can do. Pure."""

from __future__ import annotations

from typing import Final
from urllib.parse import urljoin, urlsplit

from ..errors import InvalidName, ProtocolViolation, Refused
from ..model import HTTPOrigin
from ..text.hint import Hint, Setting, step
from .response import RegistryResponse

# Bytes. A body up to this size is sent again after a redirect even if all of it was sent: less than a second of a slow
# line.
SENT_TWICE: Final = 1024 * 1024
# As many as for a request without a body.
MOST_HOPS: Final = 5


def not_followed(answer: RegistryResponse, what: str) -> Refused:
    """Return the error for a redirect that is not followed. `what` says what was refused, and by whom."""
    said, there = f"HTTP {answer.status}", _target(answer)
    if there is None:
        return Refused(f"{what}: {said}, which leads to an odd address", url=answer.url)
    here, origin = HTTPOrigin.of(answer.url), HTTPOrigin.of(there)
    where = f"{origin}{urlsplit(there).path}"
    hint: str | Hint
    if origin != here:
        hint = f"if that is the registry's address, write it: {origin}/…"
    elif answer.keeps_body:
        hint = step(
            "send pieces that may go twice: ",
            Setting("chunk_size", "1MiB"),
            "; or ask who runs it to answer without a redirect",
        )
    else:
        hint = f"ask who runs {here.netloc}, or the proxy in front of it: only 307 and 308 can send an upload on"
    return Refused(f"{what}: {said}, which leads to {where}", hint=hint, url=answer.url)


def check_upgrade(registry: HTTPOrigin, answer: RegistryResponse) -> None:
    """Raise `ProtocolViolation` if `registry` is reached by http and redirects the request to itself by https."""
    if registry.scheme != "http" or not answer.is_redirect or (there := _target(answer)) is None:
        return
    origin, asked = HTTPOrigin.of(there), urlsplit(answer.url)
    is_same = (origin.host, urlsplit(there).path.rstrip("/")) == (registry.host, asked.path.rstrip("/"))
    if origin.scheme == "https" and is_same:
        raise ProtocolViolation(
            f"{registry.netloc} speaks https: it sends http on to {origin}",
            hint=step(f"write {origin}/…, and leave ", Setting("plain_http"), " out"),
            url=answer.url,
        )


def _target(answer: RegistryResponse) -> str | None:
    try:
        url = urljoin(answer.url, answer.location or "")
        HTTPOrigin.of(url)
    except (ValueError, InvalidName):
        return None
    return url
