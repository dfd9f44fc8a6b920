"""`RegistryResponse`: what an upload needs to know of an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, auto
from functools import cached_property
from typing import Final, Self

from msgspec import Struct

from ..errors import InvalidDigest, NotARegistry
from ..model import Digest, HTTPOrigin
from .diagnostics import Diagnosis, diagnose
from .retry import RETRY_AFTER_CAP_SECONDS, parse_retry_after

# `0-<end>`; some write a unit before it or the total after it (RFC 9110's form), unlike the spec.
_RANGE: Final = re.compile(r"(?:bytes[= ])?0-([0-9]{1,19})(?:/[0-9*]{1,19})?\Z")


class Kind(Enum):
    """What an answer means, whatever was asked."""

    CREATED = auto()
    ACCEPTED = auto()
    MISSING = auto()
    WRONG_OFFSET = auto()
    TOO_LARGE = auto()
    EXPIRED = auto()
    BUSY = auto()
    INVALID = auto()
    REFUSED = auto()
    NO_REGISTRY = auto()  # success, but with a web page: a captive portal, a sign-in page, a plain web server
    LOST = auto()


_SIGNED: Final = "x-signed-header-"
_PAGES: Final = ("text/html", "application/xhtml+xml")
_REGISTRY_HEADERS: Final = ("Docker-Content-Digest", "Docker-Upload-UUID", "Docker-Upload-Location")

_LOST_SESSION: Final = {"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"}
_REDIRECTS: Final = (301, 302, 303, 307, 308)
# Those that leave the method and the body as they are (RFC 9110, 15.4).
_KEEPING: Final = (307, 308)

# No status of HTTP's: the connection broke before there was one.
NO_ANSWER: Final = 0

_KINDS: Final[Mapping[int, Kind]] = {
    NO_ANSWER: Kind.LOST,
    201: Kind.CREATED,
    400: Kind.INVALID,
    401: Kind.EXPIRED,
    404: Kind.MISSING,
    408: Kind.BUSY,
    413: Kind.TOO_LARGE,
    416: Kind.WRONG_OFFSET,
    425: Kind.BUSY,
    429: Kind.BUSY,
    # 501 and 505 are final: the server does not know the method or the protocol.
    501: Kind.REFUSED,
    505: Kind.REFUSED,
}


class RegistryResponse(Struct, frozen=True, dict=True):
    """Status and the headers that steer an upload; `url` is where it was asked, for relative Locations."""

    status: int
    url: str
    location: str | None = None
    upload_location: str | None = None
    direct_url: str | None = None
    signed_headers: tuple[tuple[str, str], ...] = ()
    range_end: int | None = None
    length: int | None = None
    digest: Digest | None = None
    minimum_chunk: int | None = None
    maximum_chunk: int | None = None
    retry_after: float | None = None
    is_page: bool = False
    diagnosis: Diagnosis = Diagnosis((), "")

    @classmethod
    def read(cls, status: int, url: str, headers: Mapping[str, str], body: bytes = b"", *, now: float) -> Self:
        """Parse `headers` (any mapping that ignores case). Unreadable headers count as absent."""
        found = _RANGE.match(headers.get("Range", "").strip())
        return cls(
            status,
            url,
            location=headers.get("Location") or None,
            upload_location=headers.get("Docker-Upload-Location") or None,
            direct_url=headers.get("X-Direct-Upload-URL") or None,
            signed_headers=_signed(headers) if "X-Direct-Upload-URL" in headers else (),
            range_end=int(found[1]) if found else None,
            length=_number(headers.get("Content-Length")),
            digest=_digest(headers.get("Docker-Content-Digest")),
            minimum_chunk=_number(headers.get("OCI-Chunk-Min-Length")),
            maximum_chunk=_number(headers.get("OCI-Chunk-Max-Length")),
            retry_after=_pause(status, headers, now),
            is_page=_is_page(headers) if status == 200 else False,
            diagnosis=diagnose(body) if status >= 400 else Diagnosis((), ""),
        )

    @cached_property  # asked six times of each answer
    def kind(self) -> Kind:
        """What the status means."""
        if (known := _KINDS.get(self.status)) is not None:
            return known
        if 200 <= self.status < 300:
            return Kind.NO_REGISTRY if self.is_page else Kind.ACCEPTED
        return Kind.BUSY if self.status >= 500 else Kind.REFUSED

    @property
    def is_redirect(self) -> bool:
        """Whether this leads elsewhere, with whatever method."""
        return self.status in _REDIRECTS and self.location is not None

    @property
    def keeps_body(self) -> bool:
        """Whether this leads elsewhere with the same method and body."""
        return self.status in _KEEPING and self.location is not None

    @property
    def says_session_lost(self) -> bool:
        """Whether an error code says that there is no such upload: distribution 2 sends either of two."""
        return bool(_LOST_SESSION & {*self.diagnosis.codes})

    def no_registry(self, registry: HTTPOrigin) -> NotARegistry:
        """Return the error for an answer that can't be from a registry, to a request to `registry`."""
        what = f"HTTP {self.status}{' with a web page' if self.is_page else ''}"
        there = HTTPOrigin.of(self.url)
        leads = "" if there == registry else f" and leads to {there}"
        return NotARegistry(
            f"{registry.netloc} is no registry: it answers {what}{leads}",
            hint="a sign-in page, captive portal or proxy may answer for it; check the address: "
            f"curl -i {registry}/v2/",
            url=self.url,
        )

    def __str__(self) -> str:
        return f"HTTP {self.status}{f': {self.diagnosis}' if self.diagnosis.text else ''}"


def _is_page(headers: Mapping[str, str]) -> bool:
    """Return whether this is a web page.

    Google's servers call empty answers HTML too, but name the content's digest.
    """
    media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return media_type in _PAGES and not any(name in headers for name in _REGISTRY_HEADERS)


def _pause(status: int, headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that the registry asks to wait, or after which it says that it allows more requests."""
    asked = parse_retry_after(headers.get("Retry-After"), now=now)
    if status != 429 or asked is not None:
        return asked
    from .rate_limit import RateLimit  # what only trouble needs

    limit = RateLimit.read(headers, now=now)
    return min(limit.reset, RETRY_AFTER_CAP_SECONDS) if limit is not None and limit.reset is not None else None


def _signed(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the header that each `X-Signed-Header-<name>: <value>` stands for, unchecked."""
    return tuple(
        (name[len(_SIGNED) :], value) for name, value in headers.items() if name[: len(_SIGNED)].lower() == _SIGNED
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 19 else None


def _digest(text: str | None) -> Digest | None:
    try:
        return Digest.parse(text) if text is not None else None
    except InvalidDigest:  # another algorithm, or nonsense: it proves nothing either way
        return None
