"""`UploadSession`: one blob on its way into a repository. Pure: it says what to ask next, and learns from the answer.

    session = UploadSession(blob, endpoints, plan, budget=Budget(5))
    while (request := session.next_request()) is not None:
        …send it after `request.after` seconds, then session.receive(answer) or session.connection_lost(error)…

States and transitions are data (`_TRANSITIONS`). The acknowledged offset is ours; what a server says of it is
evidence, weighed in `offsets.py`. After DONE, `placement` says how the blob came to be there; after FAILED, `failure`
is the error to raise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final
from urllib.parse import quote

from ..errors import Denied, Refused, RegistryPushError, RemoteMismatch, Unauthorized, Unavailable
from ..events import Placement
from ..model import Descriptor
from .answer import NO_ANSWER, Answer, Kind
from .chunks import ChunkPlan, Span
from .location import closing, resolve
from .offsets import acknowledged, reconciled
from .retry import Budget

# A registry may lose a session each time the line breaks (distribution 2); without progress that outlives a
# session, more tries only send the same bytes again.
MAX_RESTARTS: Final = 5


class State(Enum):
    """Where an upload stands; each state has one request that leads on."""

    NEW = auto()  # POST: open a session, or mount
    OPEN = auto()  # PATCH: the next chunk
    UNCERTAIN = auto()  # GET: how far did it come?
    COMMITTING = auto()  # PUT: close with the digest
    CONFIRMING = auto()  # HEAD: the answer to the PUT was lost; is the blob there?
    GONE = auto()  # the session is lost: POST again, bounded
    DONE = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The two URLs an upload begins with; every other comes from the registry."""

    blob: str
    uploads: str


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """What to send. `span` is the part of the blob that is the body; `closes` marks the PUT that commits; `is_offer` a
    POST that asks for a mount, which may be refused without harm."""

    method: str
    url: str
    headers: Mapping[str, str]
    span: Span | None = None
    closes: bool = False
    is_offer: bool = False
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """What must be kept to go on in another process: the session's URL (a capability) and the acknowledged offset."""

    location: str
    offset: int


class UploadSession:
    """The upload of one blob. Not thread-safe; nothing here blocks, waits or raises on what a server answers."""

    def __init__(
        self,
        blob: Descriptor,
        endpoints: Endpoints,
        plan: ChunkPlan,
        *,
        budget: Budget,
        mount_from: Collection[str] = (),
        resume: UploadRecord | None = None,
    ) -> None:
        self.state = State.UNCERTAIN if resume else State.NEW
        self.offset = resume.offset if resume else 0
        self.plan = plan
        self.placement: Placement | None = None
        self.failure: RegistryPushError | None = None
        self.trouble = ""  # why the last request did not do, for people
        self.restarts = 0
        self._blob = blob
        self._endpoints = endpoints
        self._budget = budget
        self._mounts = list(mount_from)
        self._location = resume.location if resume else ""  # empty: no session is open
        self._attempted = self.offset  # how far bytes were sent, acknowledged or not
        self._suspect_size = False  # a chunk was refused by its offset; if that is right, its size is the cause
        self._furthest = self.offset  # the most that was ever acknowledged, whatever was lost since
        self._after = 0.0

    # ── what the driver asks ──────────────────────────────────────────────────────────────────────

    @property
    def record(self) -> UploadRecord | None:
        """What to keep; None while the registry holds nothing that could be gone on with."""
        return UploadRecord(self._location, self.offset) if self._location and not self._over else None

    @property
    def cancel_request(self) -> UploadRequest | None:
        """What tells the registry to forget the session; None where there is none."""
        return UploadRequest("DELETE", self._location, {}) if self._location and self.placement is None else None

    def next_request(self) -> UploadRequest | None:
        """What to send now; None when DONE or FAILED."""
        after, self._after = self._after, 0.0
        match self.state:
            case State.NEW | State.GONE:
                return UploadRequest(
                    "POST", self._start_url(), {"Content-Length": "0"}, is_offer=bool(self._mounts), after=after
                )
            case State.OPEN:
                span = self.plan.span(self.offset)
                self._attempted = span.stop
                return UploadRequest("PATCH", self._location, _chunk_headers(span), span, after=after)
            case State.UNCERTAIN:
                return UploadRequest("GET", self._location, {}, after=after)
            case State.COMMITTING:
                span = Span(self.offset, self._blob.size)
                self._attempted = span.stop
                return UploadRequest(
                    "PUT",
                    closing(self._location, self._blob.digest),
                    {"Content-Type": "application/octet-stream", "Content-Length": str(span.length)},
                    span if span.length else None,
                    closes=True,
                    after=after,
                )
            case State.CONFIRMING:
                return UploadRequest("HEAD", self._endpoints.blob, {}, after=after)
            case _:
                return None

    def receive(self, answer: Answer) -> None:
        """Takes the answer to the last request."""
        if answer.kind not in (Kind.CREATED, Kind.ACCEPTED):
            self.trouble = str(answer)
        self._step(answer)

    def connection_lost(self, reason: str) -> None:
        """The last request got no answer that can be relied on."""
        self.trouble = reason
        self._step(Answer(NO_ANSWER, self._location or self._endpoints.uploads))

    # ── how the machine moves ─────────────────────────────────────────────────────────────────────

    def _step(self, answer: Answer) -> None:
        try:
            _TRANSITIONS.get((self.state, answer.kind), UploadSession._refused)(self, answer)
        except RegistryPushError as error:  # an answer that no version of the protocol allows
            self._fail(error)

    def _opened(self, answer: Answer) -> None:
        self._location = resolve(answer.url, answer.location or "")
        self._mounts.clear()
        self._attempted = 0
        self.plan = self.plan.bounded(answer.minimum_chunk, answer.maximum_chunk)
        self.state = State.COMMITTING if self.plan.single else State.OPEN

    def _mounted(self, answer: Answer) -> None:
        self._done(answer, Placement.MOUNTED if self._mounts else Placement.PRESENT)

    def _without_mount(self, answer: Answer) -> None:
        if not self._mounts:
            return self._refused(answer)
        self._mounts.pop(0)
        return None

    def _acknowledged(self, answer: Answer) -> None:
        self._move_session(answer)
        offset = acknowledged(self.offset, self._attempted, answer.range_end)
        if offset is None:
            self.trouble = f"the registry's upload has {(answer.range_end or 0) + 1} bytes, we sent {self._attempted}"
            return self._ask_later(answer)
        self._move_offset(offset)
        if offset == self._blob.size:
            self.state = State.COMMITTING
        return None

    def _reconciled(self, answer: Answer) -> None:
        self._move_session(answer)
        offset = reconciled(self.offset, self._attempted, answer.range_end)
        if offset is None or offset > self._blob.size:
            self.trouble = f"the registry's upload has {(answer.range_end or 0) + 1} bytes, we sent {self._attempted}"
            return self._gone(answer)
        if offset == self.offset and self._suspect_size and not self._shrink():
            return self._refused(answer)
        if offset < self.offset and not self._pause(answer):
            return None
        self._move_offset(offset)
        self.state = State.COMMITTING if self.plan.single or offset == self._blob.size else State.OPEN
        return None

    def _ask(self, _: Answer) -> None:
        self._suspect_size = True
        self.state = State.UNCERTAIN

    def _ask_later(self, answer: Answer) -> None:
        if self._pause(answer):
            self.state = State.UNCERTAIN

    def _too_large(self, answer: Answer) -> None:
        if not self._shrink():
            return self._refused(answer)
        self.state = State.UNCERTAIN
        return None

    def _again(self, answer: Answer) -> None:
        self._pause(answer)

    def _committed(self, answer: Answer) -> None:
        self._done(answer, Placement.UPLOADED)

    def _confirm(self, _: Answer) -> None:
        self.state = State.CONFIRMING

    def _confirm_later(self, answer: Answer) -> None:
        if self._pause(answer):
            self.state = State.CONFIRMING

    def _confirmed(self, answer: Answer) -> None:
        if answer.length is not None and answer.length != self._blob.size:
            return self._fail(
                RemoteMismatch(
                    f"the registry holds {self._blob.digest} with {answer.length} bytes instead of {self._blob.size}",
                    url=self._endpoints.blob,
                )
            )
        return self._done(answer, Placement.UPLOADED)

    def _digest_refused(self, answer: Answer) -> None:
        # What we hold was hashed before the PUT, so the registry put the chunks together wrongly (a cut, a gap
        # that distribution 2 appends): from zero, in a new session.
        if {"DIGEST_INVALID", "SIZE_INVALID", "BLOB_UPLOAD_INVALID"} & {*answer.diagnosis.codes}:
            return self._gone(answer)
        return self._refused(answer)

    def _gone(self, answer: Answer) -> None:
        if self.restarts == MAX_RESTARTS:
            return self._fail(
                Unavailable(
                    f"the registry lost the upload of {self._blob.digest} {self.restarts + 1} times ({self.trouble})",
                    url=self._endpoints.uploads,
                )
            )
        if self._pause(answer):
            self._after = 0.0  # the registry has answered well and at once: there is nothing to wait for
            self.restarts += 1
            self._location, self.offset = "", 0
            self.state = State.GONE
        return None

    def _refused(self, answer: Answer) -> None:
        cls = {401: Unauthorized, 403: Denied}.get(answer.status, Refused)
        self._fail(cls(f"{self._blob.digest} was refused: {self.trouble}", url=answer.url))

    # ── the small steps ───────────────────────────────────────────────────────────────────────────

    @property
    def _over(self) -> bool:
        return self.state in (State.DONE, State.FAILED)

    def _start_url(self) -> str:
        if not self._mounts:
            return self._endpoints.uploads
        source = quote(self._mounts[0], safe="/")
        return f"{self._endpoints.uploads}?mount=sha256%3A{self._blob.digest.hex}&from={source}"

    def _move_offset(self, offset: int) -> None:
        self.offset, self._suspect_size = offset, False
        if offset > self._furthest:  # a registry that swings to and fro makes no progress
            self._furthest = offset
            self._budget.restore()

    def _move_session(self, answer: Answer) -> None:
        if answer.location:  # Quay's status has none: the session stays where it was
            self._location = resolve(answer.url, answer.location)

    def _shrink(self) -> bool:
        smaller = self.plan.shrunk()
        if smaller is not None:
            self.plan = smaller
        return smaller is not None

    def _pause(self, answer: Answer) -> bool:
        pause = self._budget.spend(answer.retry_after)
        if pause is None:
            cls = Unauthorized if answer.kind is Kind.EXPIRED else Unavailable
            self._fail(cls(f"gave up on {self._blob.digest}: {self.trouble}", url=self._endpoints.uploads))
            return False
        # A token that ran out has been renewed by now; nobody needs to rest.
        self._after = 0.0 if answer.kind is Kind.EXPIRED else pause
        return True

    def _done(self, answer: Answer, placement: Placement) -> None:
        if answer.digest is not None and answer.digest != self._blob.digest:
            return self._fail(
                RemoteMismatch(
                    f"the registry says it has {answer.digest} where {self._blob.digest} was sent", url=answer.url
                )
            )
        self.offset, self.placement, self.state = self._blob.size, placement, State.DONE
        return None

    def _fail(self, error: RegistryPushError) -> None:
        self.failure, self.state = error, State.FAILED


def _chunk_headers(span: Span) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "Content-Range": span.content_range,
        "Content-Length": str(span.length),
    }


# Every pair that is not here is a refusal.
_TRANSITIONS: Final[Mapping[tuple[State, Kind], Callable[[UploadSession, Answer], None]]] = {
    (State.NEW, Kind.CREATED): UploadSession._mounted,
    (State.NEW, Kind.ACCEPTED): UploadSession._opened,
    (State.NEW, Kind.MISSING): UploadSession._without_mount,
    (State.NEW, Kind.EXPIRED): UploadSession._without_mount,  # Harbor: 401 for a mount from an absent project
    (State.NEW, Kind.INVALID): UploadSession._without_mount,
    (State.NEW, Kind.REFUSED): UploadSession._without_mount,
    (State.NEW, Kind.BUSY): UploadSession._again,
    (State.NEW, Kind.LOST): UploadSession._again,
    #
    (State.GONE, Kind.CREATED): UploadSession._mounted,
    (State.GONE, Kind.ACCEPTED): UploadSession._opened,
    (State.GONE, Kind.BUSY): UploadSession._again,
    (State.GONE, Kind.LOST): UploadSession._again,
    #
    (State.OPEN, Kind.ACCEPTED): UploadSession._acknowledged,
    (State.OPEN, Kind.CREATED): UploadSession._acknowledged,  # ECR answers a PATCH with 201
    (State.OPEN, Kind.MISSING): UploadSession._gone,
    (State.OPEN, Kind.WRONG_OFFSET): UploadSession._ask,
    (State.OPEN, Kind.TOO_LARGE): UploadSession._too_large,
    (State.OPEN, Kind.INVALID): UploadSession._ask_later,  # distribution 3: a stale PATCH can be 400
    (State.OPEN, Kind.EXPIRED): UploadSession._ask_later,
    (State.OPEN, Kind.BUSY): UploadSession._ask_later,
    (State.OPEN, Kind.LOST): UploadSession._ask_later,
    #
    (State.UNCERTAIN, Kind.ACCEPTED): UploadSession._reconciled,
    (State.UNCERTAIN, Kind.CREATED): UploadSession._reconciled,
    (State.UNCERTAIN, Kind.MISSING): UploadSession._gone,
    (State.UNCERTAIN, Kind.WRONG_OFFSET): UploadSession._gone,
    (State.UNCERTAIN, Kind.INVALID): UploadSession._gone,
    (State.UNCERTAIN, Kind.REFUSED): UploadSession._gone,  # 405: a registry without status (GAR)
    (State.UNCERTAIN, Kind.EXPIRED): UploadSession._again,
    (State.UNCERTAIN, Kind.BUSY): UploadSession._again,
    (State.UNCERTAIN, Kind.LOST): UploadSession._again,
    #
    (State.COMMITTING, Kind.CREATED): UploadSession._committed,
    (State.COMMITTING, Kind.ACCEPTED): UploadSession._confirm,  # old Artifactory; only 201 is a promise
    (State.COMMITTING, Kind.MISSING): UploadSession._confirm_later,
    (State.COMMITTING, Kind.WRONG_OFFSET): UploadSession._ask,
    (State.COMMITTING, Kind.TOO_LARGE): UploadSession._too_large,
    (State.COMMITTING, Kind.INVALID): UploadSession._digest_refused,
    (State.COMMITTING, Kind.EXPIRED): UploadSession._again,
    (State.COMMITTING, Kind.BUSY): UploadSession._confirm_later,
    (State.COMMITTING, Kind.LOST): UploadSession._confirm_later,
    #
    (State.CONFIRMING, Kind.ACCEPTED): UploadSession._confirmed,
    (State.CONFIRMING, Kind.CREATED): UploadSession._confirmed,
    (State.CONFIRMING, Kind.MISSING): UploadSession._ask_later,
    (State.CONFIRMING, Kind.EXPIRED): UploadSession._again,
    (State.CONFIRMING, Kind.BUSY): UploadSession._again,
    (State.CONFIRMING, Kind.LOST): UploadSession._again,
}
