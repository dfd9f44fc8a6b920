"""The parts of a blob at Ollama's registry, which redirects each of them to a storage elsewhere. Pure.

A part is asked for by a PATCH to the session's latest URL; the answer is a 307 with a presigned URL for the part and
the session's next URL. Asking is one at a time, since each answer carries the URL for the next question; the PUTs run
side by side.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Collection, Sequence
from typing import Final

from msgspec import Struct

from ...errors import Denied, Refused, RegistryPushError, Unauthorized, Unavailable
from ...model import Descriptor, HTTPOrigin
from ..location import resolve
from ..response import Kind, RegistryResponse
from ..retry import Budget
from ..throughput import Throughput
from .chunks import SINGLE_PUT, MiB, Span
from .requests import UploadRecord, UploadRequest

# ollama:server/upload.go: numUploadParts, minUploadPartSize, maxUploadPartSize (decimal megabytes).
MOST_AT_ONCE: Final = 16
_SMALLEST: Final = 100_000_000
_LARGEST: Final = 1_000_000_000
# On a slow line parts are shorter than Ollama's, but no shorter than this: S3 takes 5 MiB and 10,000 parts at most.
_SLOW_PART: Final = 16 * MiB
_MOST: Final = 5_000


def part_spans(size: int, *, wanted: int | None = None) -> tuple[Span, ...]:
    """Return the length of the parts of a blob: a sixteenth within Ollama's bounds, or `wanted` if that is less."""
    length = max(_SMALLEST, min(_LARGEST, size // MOST_AT_ONCE))
    length = min(length, wanted) if wanted else length
    return tuple(Span(start, min(start + length, size)) for start in range(0, size, length))


def part_on(pace: Throughput, size: int) -> int | None:
    """Return how long parts may be on a line where a cut one should not cost much; None if nothing is known of it."""
    chunk = pace.chunk(_LARGEST)
    return max(chunk, _SLOW_PART, size // _MOST) if chunk is not None else None


def composite_etag(md5s: Sequence[bytes]) -> str:
    """Return the commit's `etag`: the md5 of the parts' concatenated raw md5s, and the number of parts."""
    whole = hashlib.md5(b"".join(md5s), usedforsecurity=False).hexdigest()
    return f"{whole}-{len(md5s)}"


class PartRequest(Struct, frozen=True):
    """A request for part `number`."""

    number: int
    request: UploadRequest


class Parts:
    """Which parts to ask for, and their outcome. It ends when `over`; then look at `lost` and `failure`."""

    def __init__(
        self,
        blob: Descriptor,
        location: str,
        *,
        wanted: int | None,
        budget: Budget,
        done: Collection[int] = (),
        first: int = 0,
        is_resumed: bool = False,
    ) -> None:
        self.spans = part_spans(blob.size, wanted=wanted)
        self.done = {number for number in done if number < len(self.spans)}
        self.location = location
        self.lost: RegistryResponse | None = None  # the answer that the session is gone
        self.failure: RegistryPushError | None = None
        self.trouble = ""
        self._is_resumed = is_resumed
        self._blob = blob
        self._budget = budget
        waiting = (number for number in range(len(self.spans)) if number not in self.done)
        self._waiting = deque(sorted(waiting, key=lambda number: number != first))
        self._asking: int | None = None
        self._after = 0.0

    @property
    def record(self) -> UploadRecord:
        """The record to store, so that another process can continue."""
        # A request under way has used the location, whatever its answer.
        first = self._asking if self._asking is not None else self._waiting[0] if self._waiting else 0
        return UploadRecord(self.location, 0, self.spans[0].length, tuple(sorted(self.done)), first)

    @property
    def over(self) -> bool:
        """Whether there is nothing more to ask: all is done, or it failed."""
        return self.lost is not None or self.failure is not None or not self._waiting

    def take(self) -> PartRequest | None:
        """Return the next question; None if there is none.

        The answer must be given to `asked` before the next `take`.
        """
        if self.over:
            return None
        number, after, self._after = self._waiting.popleft(), self._after, 0.0
        self._asking = number
        span = self.spans[number]
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": span.content_range,
            "Content-Length": str(span.length),
            "X-Redirect-Uploads": "1",
            # The body must not be on its way if the answer redirects it (RFC 9110, 10.1.1).
            "Expect": "100-continue",
        }
        return PartRequest(number, UploadRequest("PATCH", self.location, headers, span, after=after))

    def asked(self, number: int, answer: RegistryResponse) -> PartRequest | None:
        """Take the answer to a PATCH and return the PUT that sends the part to its storage.

        Return None if the part is stored already, is to be asked for again, or has failed.
        """
        self._asking = None
        if answer.status == 307:
            self._move(answer)
            span = self.spans[number]
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(span.length)}
            url = resolve(answer.url, answer.location or "")
            return PartRequest(number, UploadRequest("PUT", url, headers, span, is_anonymous=True))
        match answer.kind:
            case Kind.CREATED | Kind.ACCEPTED:  # the registry has kept the body itself
                self._move(answer)
                self._placed(number)
            case Kind.MISSING:
                self.lost = answer
            case Kind.EXPIRED | Kind.BUSY | Kind.LOST:
                self._again(number, answer)
            case _ if self._is_resumed:  # the other process left no session that can be continued
                self.lost = answer
            case _:
                self._refused(answer)
        return None

    def put_back(self, number: int) -> None:
        """Take that the part was not sent after all."""
        self._waiting.appendleft(number)

    def placed(self, number: int, answer: RegistryResponse) -> None:
        """Take the storage's answer to a PUT."""
        match answer.kind:
            case Kind.CREATED | Kind.ACCEPTED | Kind.NO_REGISTRY:  # it is none; Google's calls its empty answers HTML
                self._placed(number)
            # An expired presigned URL gets 403 at S3, 400 or 404 elsewhere: ask for another.
            case _ if answer.status in (400, 403, 404) or answer.kind in (Kind.EXPIRED, Kind.BUSY, Kind.LOST):
                self._again(number, answer)
            case _:
                self._refused(answer)

    def got_no_answer(self, reason: str) -> None:
        """Note why the line broke, before `asked` or `placed` learns that there is no answer."""
        self.trouble = reason

    def _placed(self, number: int) -> None:
        self.done.add(number)
        self._budget.restore()

    def _move(self, answer: RegistryResponse) -> None:
        # With a 307, `Location` is the part's; it is the session's only if the registry has stored the body.
        location = answer.upload_location or (answer.location if answer.status != 307 else None)
        if location:
            self.location = resolve(answer.url, location)

    def _again(self, number: int, answer: RegistryResponse) -> None:
        self._waiting.appendleft(number)  # when all is given up too: another process must ask for this one first
        pause = self._budget.spend(answer.retry_after)
        if pause is None and answer.kind is Kind.EXPIRED and self._is_resumed:
            self.lost = answer
            return
        if pause is None:
            cls = Unauthorized if answer.kind is Kind.EXPIRED else Unavailable
            self.failure = cls(f"gave up on {self._blob.digest}: {self.trouble or answer}", url=answer.url)
            return
        self.trouble = self.trouble if answer.kind is Kind.LOST else str(answer)
        self._after = 0.0 if answer.kind is Kind.EXPIRED else pause

    def _refused(self, answer: RegistryResponse) -> None:
        if answer.kind is Kind.NO_REGISTRY:
            self.failure = answer.no_registry(HTTPOrigin.of(answer.url))
            return
        cls = {401: Unauthorized, 403: Denied}.get(answer.status, Refused)
        self.failure = cls(f"{self._blob.digest} was refused: {answer}", url=answer.url)


def begins_a_body(request: UploadRequest | Parts) -> bool:
    """Return whether to stop here: not before a small commit that makes all that was sent count."""
    if isinstance(request, Parts):
        return True
    if not request.closes or request.span is None:
        return request.method in ("POST", "PATCH")
    is_all = request.span.start == 0 < request.span.length
    return is_all or request.span.length > SINGLE_PUT
