"""What an upload asks the driver to send and to store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from ...model import Descriptor
from ..location import closing
from .chunks import Span

_OCTETS: Final = "application/octet-stream"
# The largest size that a manifest can name.
_LARGEST: Final = 2**63 - 1
# Parts of one blob that a record may list. S3 takes 10,000; a longer list is not worth its memory.
_MOST_PARTS: Final = 100_000


class Endpoints(Struct, frozen=True):
    """The two URLs that an upload to `repository` begins with; all others come from the registry."""

    blob: str
    uploads: str
    repository: str = ""


class OllamaWay(Struct, frozen=True):
    """How Ollama's registry takes a blob. `direct`: whole, straight to its storage (models of tensors); else in parts.

    `part` is the most bytes that a part should have, None for Ollama's own plan.
    """

    direct: bool = False
    part: int | None = None


class UploadRequest(Struct, frozen=True):
    """What to send, `after` seconds from now.

    `span` is the part of the blob that is the body; `closes` marks the PUT that commits; `is_offer` a POST that asks
    for a mount, which may be refused without harm; `is_anonymous` a request to a storage, whose URL is its credential:
    it carries none of ours.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    span: Span | None = None
    closes: bool = False
    is_offer: bool = False
    is_anonymous: bool = False
    after: float = 0.0

    @classmethod
    def open(cls, endpoints: Endpoints, blob: Descriptor, *, mount: str | None, direct: bool, after: float) -> Self:
        """POST for a session, for a mount from the repository `mount`, or for the storage's URL (`direct`)."""
        url, headers = endpoints.uploads, {"Content-Length": "0"}
        if mount is not None:
            url += f"?mount=sha256%3A{blob.digest.hex}&from={quote(mount, safe='/')}"
        elif direct:
            url += f"?digest=sha256%3A{blob.digest.hex}"
            headers |= {"X-Redirect-Uploads": "2", "X-Content-Length": str(blob.size)}
        return cls("POST", url, headers, is_offer=mount is not None, after=after)

    @classmethod
    def chunk(cls, location: str, span: Span, *, after: float) -> Self:
        """PATCH with the bytes of `span`."""
        headers = {"Content-Type": _OCTETS, "Content-Range": span.content_range, "Content-Length": str(span.length)}
        return cls("PATCH", location, headers, span, after=after)

    @classmethod
    def close(cls, location: str, blob: Descriptor, span: Span, *, etag: str | None, after: float) -> Self:
        """PUT with the digest, and the bytes of `span` if it has any."""
        headers = {"Content-Type": _OCTETS, "Content-Length": str(span.length)}
        body = span if span.length else None
        if body is not None and span.start:  # a last chunk (spec): a wrong offset is refused, not appended
            headers["Content-Range"] = span.content_range
        return cls("PUT", closing(location, blob.digest, etag=etag), headers, body, closes=True, after=after)

    def led_on(self, url: str) -> Self:
        """Return the same request to the URL of a redirect."""
        return replace(self, url=url)

    def asking(self) -> Self:
        """Return the same request with `Expect: 100-continue` (RFC 9110, 10.1.1)."""
        return replace(self, headers={**self.headers, "Expect": "100-continue"})

    @classmethod
    def direct(cls, url: str, blob: Descriptor, signed: tuple[tuple[str, str], ...]) -> Self:
        """PUT of the whole blob to the storage, with the headers that its URL was signed with.

        Raises `ProtocolViolation` if one of them is no storage's.
        """
        # Imported only if a registry offers it.
        from ..signed_headers import to_repeat

        repeated = to_repeat(signed, url=url, size=blob.size)
        own = {} if any(name.lower() == "content-type" for name in repeated) else {"Content-Type": _OCTETS}
        headers = {**own, **repeated, "Content-Length": str(blob.size)}
        return cls("PUT", url, headers, Span(0, blob.size), is_anonymous=True)


class UploadRecord(Struct, frozen=True):
    """What another process needs to continue: the session's URL (a capability) and the acknowledged offset.

    For parts at an Ollama registry the offset is 0, `part` the length of a part, `done` the numbers of the stored
    parts, and `first` the next one to ask for at `location`; it may have been asked for there, the others not.
    `direct`: all of the blob is at such a registry's storage, and only the commit is left.

    `chunk` is the length of the session's first chunk, 0 if there is none, or it is not known; `is_equal`: all have it.
    `file` has the inode and the time (nanoseconds) of the file that was sent, None for other sources.
    """

    location: str
    offset: int
    part: int = 0
    done: tuple[int, ...] = ()
    first: int = 0
    direct: bool = False
    chunk: int = 0
    is_equal: bool = False
    file: tuple[int, int] | None = None

    @property
    def is_ollamas(self) -> bool:
        """Whether this is of a session of Ollama's registry."""
        return bool(self.part) or self.direct

    def fits(self, size: int) -> bool:
        """Return whether the numbers are possible for a blob of `size` bytes: the record may be damaged."""
        if not 0 <= self.offset <= size <= _LARGEST or not 0 <= self.chunk <= size:
            return False
        if (self.is_equal and not self.chunk) or (self.chunk and (self.part or self.direct)):
            return False
        if not self.part:
            return not self.done and not self.first and (not self.direct or self.offset == size)
        if self.direct or self.offset or not 0 < self.part <= size:
            return False
        count = -(-size // self.part)
        numbers = (self.first, *self.done)
        return (
            count <= _MOST_PARTS and len(set(self.done)) == len(self.done) and 0 <= min(numbers) <= max(numbers) < count
        )

    def acknowledged(self, size: int) -> int:
        """Return the number of bytes at the registry, of a blob of `size` bytes."""
        if not self.part:
            return self.offset
        return sum(min(self.part, size - number * self.part) for number in self.done)
