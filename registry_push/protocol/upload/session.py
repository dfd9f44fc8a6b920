"""`UploadSession`: one blob on its way into a repository. Pure: it says what to ask next, and learns from the answer.

    session = UploadSession(blob, endpoints, plan, budget=Budget(5))
    while (request := session.next_request()) is not None:
        …send it after `request.after` seconds, then session.receive(answer) or session.connection_lost(error)…

What follows from an answer is data: `table.py` has the rows, and the theory behind them. After DONE, `placement` says
how the blob came to be there; after FAILED, `failure` is the error to raise.
"""

from __future__ import annotations

from ...errors import NotAllowed, NotARegistry, Refused, RegistryPushError, Unavailable
from ...model import Descriptor, HTTPOrigin
from ..cut_behaviour import CutBehaviour
from ..redirects import SENT_TWICE
from ..response import NO_ANSWER, Kind, RegistryResponse
from .chunks import MiB, Span
from .commit_steps import CommitSteps
from .parts import Parts
from .requests import UploadRecord, UploadRequest
from .states import IN_A_SESSION, WITH_BODY, Event, State
from .table import NotInTable, row_of


class UploadSession(CommitSteps):
    """The upload of one blob. Not thread-safe; nothing here blocks, waits or raises on what a server answers."""

    # ── what the driver asks ──────────────────────────────────────────────────────────────────────

    @property
    def blob(self) -> Descriptor:
        """What is uploaded."""
        return self._blob

    @property
    def repository(self) -> str:
        """Where it goes."""
        return self._endpoints.repository

    @property
    def is_done(self) -> bool:
        """Whether the blob is there."""
        return self.state is State.DONE

    @property
    def has_learned(self) -> bool:
        """Whether there may be something to remember for the host."""
        is_plain = self.kept is CutBehaviour.UNKNOWN and self.ollama is None and self.plan.limit is None
        return not is_plain or self.limit_failed or self.learned_whole is not None or self.plan.last_in_put

    def learned_limit(self, known: int | None) -> int | None:
        """Return the most bytes that the host takes in one chunk, if `known` is what was known of that before.

        A limit that nothing has got through under is none, nor one under which the registry refused a chunk for good.
        """
        if self.limit_failed or isinstance(self.failure, Refused) or (self.failure and self._trail.refusals):
            return None
        limits = [limit for limit in (known, self.plan.limit) if limit]
        return min(limits, default=None) if self.limit_holds else known

    @property
    def record(self) -> UploadRecord | None:
        """What to keep; None while the registry holds nothing that could be gone on with."""
        # A login that ran out denies no byte. But there is none for a session elsewhere, which gets none of ours.
        is_ours = HTTPOrigin.of(self._location or self._endpoints.uploads) == HTTPOrigin.of(self._endpoints.uploads)
        # A captive portal before the registry denies none either.
        passes = Unavailable | NotARegistry | NotAllowed if is_ours else Unavailable | NotARegistry
        is_worth_it = self.state is not State.FAILED or isinstance(self.failure, passes)
        if self.state in (State.DONE, State.MEASURING) or not is_worth_it:
            return None
        own = self._own_record()
        # Until something is in the fresh session, the old one may be the better of the two after all.
        return own if self._before is None or self._has_bytes(own) else self._before

    @property
    def got_nowhere(self) -> bool:
        """Whether the registry is well and nothing got through, not in a fresh session either."""
        return self._is_fresh and self.state is not State.DONE and not self._has_bytes(self._own_record())

    @property
    def cancel_request(self) -> UploadRequest | None:
        """What has the registry forget the session; None where there is none. Ollama's registry knows no DELETE."""
        if not self._location or self.placement is not None or self.ollama is not None:
            return None
        return UploadRequest("DELETE", self._location, {})

    @property
    def left_over(self) -> list[UploadRequest]:
        """What has the registry forget fresh sessions that were of no use; Ollama's registry knows no DELETE."""
        if self.ollama is not None:
            return []
        is_useless = self._before is not None and self.record is self._before and self._location
        return [UploadRequest("DELETE", url, {}) for url in (*self._left, *([self._location] if is_useless else ()))]

    def next_request(self) -> UploadRequest | Parts | None:
        """What to send now; None when DONE or FAILED.

        `Parts` are many requests at once: when they are over, they are given back to `parts_over`.
        """
        after, self._after = self._after, 0.0
        if self.state in WITH_BODY:
            self._has_paid = self._was_cut = self._is_torn = self._is_spared = False
        if self.state is State.OPEN:
            span = self._next_span()
            if not (self.plan.last_in_put and span.start and span.stop == self._blob.size):
                self._attempted = span.stop
                return self._body(UploadRequest.chunk(self._location, span, after=after))
            self._take(Event.LAST_CHUNK, RegistryResponse(NO_ANSWER, self._location))
        match self.state:
            case State.NEW | State.GONE | State.FRESH:
                mount = self._mounts[0] if self._mounts else None
                direct = self.ollama is not None and self.ollama.direct
                return UploadRequest.open(self._endpoints, self._blob, mount=mount, direct=direct, after=after)
            case State.PARTS:
                self._parts = self._next_parts()
                return self._parts
            case State.DIRECT:
                return self._direct
            case State.UNCERTAIN:
                return UploadRequest("GET", self._location, {}, after=after)
            case State.COMMITTING:
                span = Span(self.offset, self._blob.size)
                self._attempted = span.stop
                return self._body(UploadRequest.close(self._location, self._blob, span, etag=self._etag, after=after))
            case State.CONFIRMING | State.MEASURING:
                return UploadRequest("HEAD", self._endpoints.blob, {}, after=after)
            case _:
                return None

    def receive(self, answer: RegistryResponse, *, sent: int | None = None) -> None:
        """Take the answer to the last request, of whose body `sent` bytes were sent, or all."""
        self._redirect = None
        self._hops = self._hops if answer.keeps_body else 0
        is_question = self.state in (State.NEW, State.GONE, State.FRESH)
        self._redirects |= is_question and answer.url.partition("?")[0] != self._endpoints.uploads
        if answer.kind is Kind.BUSY:
            self._note_unanswered()
        # That a session is gone is no news after a cut, and explains nothing.
        is_consequence = self._was_cut and self.state is State.UNCERTAIN and answer.kind is not Kind.BUSY
        if answer.kind not in (Kind.CREATED, Kind.ACCEPTED) and not is_consequence:
            self.trouble = str(answer)
        self._has_sent(sent)
        self._step(answer)

    def share_line(self, bodies: int) -> None:
        """Take note that so many bodies go to the registry at once, this one among them."""
        self._bodies = bodies

    def stored_as(self, etag: str) -> None:
        """Take note of what the storage should call the parts: the closing request names it."""
        self._etag = etag

    def others_got_through(self) -> None:
        """The registry turns this one away, but takes others meanwhile: its turn will come, so no try is lost."""
        self._budget.restore()

    def parts_over(self, parts: Parts) -> None:
        """Take what came of the parts."""
        self._location, self.trouble = parts.location, parts.trouble
        if len(parts.done) > len(self._resume.done if self._resume else ()):  # the old session goes on after all
            self._leave_beside()
        answer = parts.lost or RegistryResponse(NO_ANSWER, parts.location)
        if isinstance(parts.failure, Unavailable):
            self._take(Event.PARTS_GIVEN_UP, answer)
        elif parts.failure is not None:
            self._take(Event.PARTS_REFUSED, answer)
        elif parts.lost is not None:
            self.trouble = str(parts.lost)
            self._take(Event.PARTS_LOST, answer)
        else:
            self._take(Event.PARTS_PLACED, answer)

    def connection_lost(self, reason: str, *, sent: int = 0) -> None:
        """The last request got no answer that can be relied on; `sent` bytes of its body had gone."""
        self.trouble = reason
        self._cut = sent if self.state is State.OPEN else self._cut
        if sent:
            self._where.broke_in_body()
        self._redirect = None
        self._was_cut = self._was_cut or self.state in WITH_BODY
        self._has_sent(sent)
        self._put_cuts += self.state is State.COMMITTING and self._is_torn
        self._note_unanswered()
        self._step(RegistryResponse(NO_ANSWER, self._location or self._endpoints.uploads))

    @property
    def is_left_by_another(self) -> bool:
        """Whether the session is one that an earlier process has begun."""
        return self._resume is not None

    def unreachable(self, error: Unavailable | NotAllowed) -> bool:
        """Note that the session can't be reached, and that no second try would help.

        Its host's certificate is wrong, or what an earlier process has left is closed to us. Return False if there is
        no other session to try.
        """
        if isinstance(error, Unavailable):
            self._where.saw(RegistryResponse(NO_ANSWER, self._location), error.message)
            if self._where.is_astray:
                self._fail(error)
                return True
        if self._is_fresh or self.state not in IN_A_SESSION:
            return False
        self.trouble = error.message
        if self._parts is not None:
            self._location = self._parts.location
        self._take(Event.UNREACHABLE, RegistryResponse(NO_ANSWER, self._location))
        return True

    def _has_sent(self, count: int | None) -> None:
        """Of the last request's body so many bytes have gone; None: all of it."""
        if self.state not in WITH_BODY:
            return
        whole = self._attempted - self.offset
        self._sent = whole if count is None else count
        self._is_torn = self._sent < whole
        if self._sent:
            self._budget.moved()

    def _step(self, answer: RegistryResponse) -> None:
        self._where.saw(answer, self.trouble)
        self._take(answer.kind, answer)

    def _take(self, what: Kind | Event, answer: RegistryResponse) -> None:
        """Do what the table says of `what` in this state, and check that it led where the table says."""
        before = self.state
        row = row_of(before, what)
        try:
            row.step(self, answer)
        except RegistryPushError as error:  # an answer that no version of the protocol allows
            self._fail(error)
        if self.state not in row.to:
            raise NotInTable(f"{what.name} in {before.name} led to {self.state.name}: {row.step.__name__}")

    def _body(self, request: UploadRequest) -> UploadRequest:
        """`request` to where it was sent on to. Where redirects are usual, a long body waits to be asked for."""
        if self._redirect is not None:
            request = request.led_on(self._redirect)
        is_long = request.span is not None and request.span.length > SENT_TWICE
        return request.asking() if self._redirects and is_long else request

    def _note_unanswered(self) -> None:
        """The chunk may have been taken whole, though nobody says so."""
        if self.state is State.OPEN:
            self._trail.unanswered = self._attempted

    def _next_span(self) -> Span:
        self._choose_chunk()
        is_costly = self.kept in (CutBehaviour.UNKNOWN, CutBehaviour.ACKNOWLEDGED)  # the others keep all, or nothing
        plan = self.plan.shared(self._bodies) if is_costly else self.plan
        return plan.span(self.offset)

    def _choose_chunk(self) -> None:
        if self.kept is CutBehaviour.EVERYTHING:
            self.plan = self.plan.paced(self._blob.size + MiB)
        elif (chunk := self._pace.chunk(self.plan.chunk)) is not None:
            self.plan = self.plan.paced(chunk)

    def _next_parts(self) -> Parts:
        """All parts, but for those that an earlier process has placed in this session."""
        before = self._resume
        if before is None or not before.part:
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
