"""`UploadSession`: one blob on its way into a repository. Pure: it says what to ask next, and learns from the answer.

    session = UploadSession(blob, endpoints, plan, budget=Budget(5))
    while (request := session.next_request()) is not None:
        …send it after `request.after` seconds, then session.receive(answer) or session.connection_lost(error)…

States and transitions are data (`transitions.py`). The acknowledged offset is ours; what a server says of it is
evidence, weighed in `offsets.py`. After DONE, `placement` says how the blob came to be there; after FAILED, `failure`
is the error to raise.
"""

from __future__ import annotations

from ..errors import NotAllowed, NotARegistry, RegistryPushError, Unavailable
from ..model import HTTPOrigin
from .answer import NO_ANSWER, Answer, Kind
from .chunks import MiB, Span
from .kept import Kept
from .parts import Parts
from .transitions import TRANSITIONS, State
from .upload_request import UploadRecord, UploadRequest
from .upload_steps import Steps


class UploadSession(Steps):
    """The upload of one blob. Not thread-safe; nothing here blocks, waits or raises on what a server answers."""

    # ── what the driver asks ──────────────────────────────────────────────────────────────────────

    @property
    def record(self) -> UploadRecord | None:
        """What to keep; None while the registry holds nothing that could be gone on with."""
        # A login that ran out denies no byte. But there is none for a session elsewhere, which gets none of ours.
        is_ours = HTTPOrigin.of(self._location or self._endpoints.uploads) == HTTPOrigin.of(self._endpoints.uploads)
        # A captive portal before the registry denies none either.
        passes = Unavailable | NotARegistry | NotAllowed if is_ours else Unavailable | NotARegistry
        is_worth_it = self.state is not State.FAILED or isinstance(self.failure, passes)
        if not self._location or self.state is State.DONE or not is_worth_it:
            return None
        if self._parts is not None:
            return self._parts.record
        if self.ollama is None:
            return UploadRecord(self._location, self.offset)
        # Ollama's registry tells no status: what went to its storage whole can be committed, less can't be asked for.
        return UploadRecord(self._location, self.offset, direct=True) if self.offset == self._blob.size else None

    @property
    def cancel_request(self) -> UploadRequest | None:
        """What has the registry forget the session; None where there is none. Ollama's registry knows no DELETE."""
        if not self._location or self.placement is not None or self.ollama is not None:
            return None
        return UploadRequest("DELETE", self._location, {})

    def next_request(self) -> UploadRequest | Parts | None:
        """What to send now; None when DONE or FAILED.

        `Parts` are many requests at once: when they are over, they are given back to `parts_over`.
        """
        after, self._after = self._after, 0.0
        match self.state:
            case State.NEW | State.GONE:
                mount = self._mounts[0] if self._mounts else None
                direct = self.ollama is not None and self.ollama.direct
                return UploadRequest.open(self._endpoints, self._blob, mount=mount, direct=direct, after=after)
            case State.PARTS:
                self._parts = self._next_parts()
                return self._parts
            case State.DIRECT:
                return self._direct
            case State.OPEN:
                self._choose_chunk()
                is_costly = self.kept in (Kept.UNKNOWN, Kept.ACKNOWLEDGED)  # the others keep all, or nothing
                plan = self.plan.shared(self.bodies) if is_costly else self.plan
                span = plan.span(self.offset)
                self._attempted = span.stop
                return UploadRequest.chunk(self._location, span, after=after)
            case State.UNCERTAIN:
                return UploadRequest("GET", self._location, {}, after=after)
            case State.COMMITTING:
                span = Span(self.offset, self._blob.size)
                self._attempted = span.stop
                return UploadRequest.close(self._location, self._blob, span, etag=self.etag, after=after)
            case State.CONFIRMING:
                return UploadRequest("HEAD", self._endpoints.blob, {}, after=after)
            case _:
                return None

    def receive(self, answer: Answer) -> None:
        """Takes the answer to the last request."""
        if answer.kind not in (Kind.CREATED, Kind.ACCEPTED):
            self.trouble = str(answer)
        self._step(answer)

    def others_got_through(self) -> None:
        """The registry turns this one away, but takes others meanwhile: its turn will come, so no try is lost."""
        self._budget.restore()

    def parts_over(self, parts: Parts) -> None:
        """Takes what came of the parts."""
        self._location, self.trouble = parts.location, parts.trouble
        if parts.failure is not None:
            self._fail(parts.failure)
        elif parts.lost is not None:
            self.trouble = str(parts.lost)
            self._gone(parts.lost)
        else:
            self.offset, self.state = self._blob.size, State.COMMITTING

    def connection_lost(self, reason: str, *, sent: int = 0) -> None:
        """The last request got no answer that can be relied on; `sent` bytes of its body had gone."""
        self.trouble = reason
        self._cut = sent if self.state is State.OPEN else self._cut
        self._step(Answer(NO_ANSWER, self._location or self._endpoints.uploads))

    def _step(self, answer: Answer) -> None:
        try:
            getattr(self, f"_{TRANSITIONS.get((self.state, answer.kind), 'refused')}")(answer)
        except RegistryPushError as error:  # an answer that no version of the protocol allows
            self._fail(error)

    def _choose_chunk(self) -> None:
        if self.kept is Kept.EVERYTHING:
            self.plan = self.plan.paced(self._blob.size + MiB)
        elif (chunk := self._pace.chunk(self.plan.chunk)) is not None:
            self.plan = self.plan.paced(chunk)

    def _next_parts(self) -> Parts:
        """All parts, but for those that an earlier process has placed in this session."""
        before = self._resume
        if before is None or not before.part or self.restarts:
            wanted = self.ollama.part if self.ollama else None
            return Parts(self._blob, self._location, wanted=wanted, budget=self._budget)
        return Parts(
            self._blob,
            self._location,
            wanted=before.part,
            budget=self._budget,
            done=before.done,
            first=before.first,
            is_resumed=True,
        )
