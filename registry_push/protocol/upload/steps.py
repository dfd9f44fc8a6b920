"""`UploadSteps`: what each kind of answer does to an upload; the names are those of `transitions.py`. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from ...errors import Denied, ProtocolViolation, Refused, RegistryPushError, RemoteMismatch, Unauthorized, Unavailable
from ...events import Placement
from ...model import Descriptor, HTTPOrigin
from ..astray import Whereabouts
from ..cut_behaviour import CutBehaviour, after_cut
from ..location import absolute, resolve
from ..redirects import not_followed
from ..refusals import hint_for
from ..response import Kind, RegistryResponse
from ..retry import Budget
from ..throughput import Throughput
from .chunks import ChunkPlan
from .commit import LateCommit
from .doubt_steps import DoubtSteps
from .parts import Parts
from .requests import Endpoints, OllamaWay, UploadRecord, UploadRequest
from .trail import Trail
from .transitions import State

# A registry that loses its sessions although the line holds, such as several without a common storage, goes on doing
# so: more tries only send the same bytes again. Sessions that a cut has cost are bounded by the retries.
MAX_RESTARTS: Final = 5
# States whose requests go to the session's own URL.
IN_A_SESSION: Final = (State.PARTS, State.DIRECT, State.OPEN, State.UNCERTAIN, State.COMMITTING)
# A registry that keeps less than one byte in so many of what it takes is getting nowhere.
_LITTLE: Final = 64
# Said if a session is gone and the registry has not yet shown its kind, as after a crash of ours.
MAYBE_NOTHING_KEPT: Final = "distribution 2, Harbor and zot lose an upload that is cut inside a chunk"


class UploadSteps(DoubtSteps):
    """The state of one upload, and the steps that change it."""

    def __init__(
        self,
        blob: Descriptor,
        endpoints: Endpoints,
        plan: ChunkPlan,
        *,
        budget: Budget,
        mount_from: Collection[str] = (),
        ollama: OllamaWay | None = None,
        negotiates: bool = True,
        resume: UploadRecord | None = None,
        pace: Throughput | None = None,
        kept: CutBehaviour = CutBehaviour.UNKNOWN,
    ) -> None:
        self.state = _begin(resume)
        self.kept = kept  # what the registry keeps of a cut chunk, as far as it has shown
        self.offset = resume.offset if resume else 0
        self.plan = plan.equal(resume.chunk) if resume is not None and resume.is_equal else plan
        self.placement: Placement | None = None
        self.failure: RegistryPushError | None = None
        self.trouble = ""  # why the last request did not do, for people
        self.restarts = 0
        self.bodies = 1  # that go at once, this one among them; the driver knows
        self.etag: str | None = None  # of the parts, for the commit; the driver hashes, so the driver sets it
        if ollama is None and resume is not None and (resume.part or resume.direct):
            ollama = OllamaWay(direct=resume.direct)
        self.ollama: OllamaWay | None = (
            ollama  # also set when the registry shows itself as one of Ollama's kind, if that is `negotiates`
        )
        self._negotiates = negotiates
        self._blob = blob
        self._endpoints = endpoints
        self._budget = budget
        self._mounts = list(mount_from)
        self._location = resume.location if resume else ""  # empty: no session is open
        # How far bytes were sent, acknowledged or not; of an earlier process nobody knows.
        self._attempted = blob.size if resume else 0
        self._suspect_size = False  # a chunk was refused by its offset; if that is right, its size is the cause
        self._refused_at: int | None = None  # the last byte that such a refusal named
        self._insisted = False  # such a chunk was sent once more at this offset
        self._trail = Trail(resume, reach=self._attempted)
        self._furthest = self.offset  # the most that was ever acknowledged, whatever was lost since
        self._direct: UploadRequest | None = None
        self._parts: Parts | None = None
        self._resume = resume
        self._in_doubt = False  # a commit was sent, and nobody could say what came of it
        self._beside: RegistryResponse | None = None  # to the POST of a fresh session that is open beside this one
        self._looked = False  # the old session was asked once more, now that there is another
        self._is_fresh = False  # the session is such a one: there is no other after it
        self._left: list[str] = []  # such sessions that are of no use after all
        self._before: UploadRecord | None = None  # of the session that it took over from
        self._knows_no_session = False
        self._pace = pace or Throughput()
        self._is_short = False  # the last chunk was taken, but not all of it
        self._late = LateCommit.of(resume, blob.size)
        self._cut = 0  # bytes of a chunk that went out before the line broke
        self._sent = 0  # bytes of the last body that went out before it was answered
        self._after = 0.0
        self._where = Whereabouts(endpoints.uploads)

    def _opened(self, answer: RegistryResponse) -> None:
        if answer.status not in (201, 202) and not (answer.location or answer.upload_location):
            return self._no_registry(answer)
        self._location = self._where.led_to(resolve(answer.url, answer.upload_location or answer.location or ""))
        self._mounts.clear()
        self._attempted = 0
        if answer.upload_location and self._negotiates and self.ollama is None:
            self.ollama = OllamaWay(part=self.plan.chunk if self.plan.limit else None)
        if self.ollama is not None:
            return self._opened_at_ollama(answer)
        self.plan = self.plan.bounded(answer.minimum_chunk, answer.maximum_chunk)
        self.state = State.COMMITTING if self.plan.single else State.OPEN
        return None

    def _opened_beside(self, answer: RegistryResponse) -> None:
        """The registry is well. It may have been ill just now: what the old session holds is worth one more look."""
        try:
            resolve(answer.url, answer.upload_location or answer.location or "")
        except ProtocolViolation:  # no session to go on in; why the old one failed says more
            return self._unavailable(answer)
        self._beside = answer
        self._budget.restore()  # once more, for this look and the fresh session together
        if self._in_doubt:
            self.state = State.CONFIRMING
        elif not self._location or (self.ollama is not None and self._parts is None):
            self._change_session()
        elif self._parts is not None:
            self._resume, self.state = self._parts.record, State.PARTS
        else:
            self.state = State.UNCERTAIN
        return None

    def _change_session(self) -> None:
        """Begins again in the session that is open beside the old one."""
        answer, self._beside = self._beside, None
        assert answer is not None, "there is one to change to"
        old = self._own_record()
        self._before = old if old is not None and old.acknowledged(self._blob.size) else None
        self._forget_session()
        self._furthest, self._is_fresh = 0, True
        self.restarts += 1
        self._opened(answer)

    def _opened_at_ollama(self, answer: RegistryResponse) -> None:
        self._knows_no_session = False
        if self._blob.size == 0:
            self.state = State.COMMITTING
        elif answer.direct_url is None:
            self.state = State.PARTS
        else:
            url = absolute(answer.url, answer.direct_url)
            self._direct = UploadRequest.direct(url, self._blob, answer.signed_headers)
            self.state = State.DIRECT

    def _placed_directly(self, _: RegistryResponse) -> None:
        self.offset, self.state = self._blob.size, State.COMMITTING

    def _mounted(self, answer: RegistryResponse) -> None:
        if not self._mounts and not (self.ollama is not None and self.ollama.direct):
            self.state = State.CONFIRMING  # nobody has asked whether it is there
            return
        is_elsewhere = bool(self._mounts) and self._mounts[0] != self._endpoints.repository
        self._done(answer, Placement.MOUNTED if is_elsewhere else Placement.PRESENT)

    def _without_mount(self, answer: RegistryResponse) -> None:
        if not self._mounts:
            return self._refused(answer)
        self._mounts.pop(0)
        return None

    def _ask_later(self, answer: RegistryResponse) -> None:
        if self._pause(answer):
            self.state = State.UNCERTAIN

    def _committed(self, answer: RegistryResponse) -> None:
        self._done(answer, Placement.UPLOADED)

    def _not_coming(self, answer: RegistryResponse) -> None:
        if not self._location:  # a POST was answered by 201
            self._no_registry(answer)
        elif self._beside is not None and (self._looked or self.ollama is not None):
            self._change_session()
        elif self._beside is not None:
            self._looked, self.state = True, State.UNCERTAIN
        elif self.ollama is None:
            self._ask_later(answer)
        elif self._knows_no_session:
            self._gone(answer)
        elif self._pause(answer):  # Ollama's registry tells no status; its parts are where they are: commit again
            self.state = State.COMMITTING

    def _confirmed(self, answer: RegistryResponse) -> None:
        if answer.status != 200:
            return self._no_registry(answer)
        if answer.length and answer.length != self._blob.size:  # a proxy that drops bodies may say 0
            return self._fail(
                RemoteMismatch(
                    f"the registry holds {self._blob.digest} with {answer.length} bytes instead of {self._blob.size}",
                    url=self._endpoints.blob,
                )
            )
        return self._done(answer, Placement.UPLOADED if self._location else Placement.PRESENT)

    def _digest_refused(self, answer: RegistryResponse) -> None:
        # What we hold was hashed before the PUT, so the registry put the chunks together wrongly (a cut, a gap
        # that distribution 2 appends): from zero, in a new session.
        if {"DIGEST_INVALID", "SIZE_INVALID", "BLOB_UPLOAD_INVALID"} & {*answer.diagnosis.codes}:
            return self._gone(answer)
        return self._refused(answer)

    def _gone(self, answer: RegistryResponse) -> None:
        if self._is_committed():
            return None
        was_cut, self._was_cut = self._was_cut, False
        if answer.kind is Kind.MISSING and self.ollama is None:
            self._learn(None)
            self.trouble += f"; {self.kept.in_words or MAYBE_NOTHING_KEPT}"
        self._forget_session()
        if self._beside is not None:
            return self._change_session()
        self._unexplained += not was_cut
        if self._unexplained > MAX_RESTARTS or (self._where.is_astray and self.restarts):
            times = f"{self.restarts + 1} times ({self.trouble})"
            message = f"the registry lost the upload of {self._blob.digest} {times}"
            return self._fail(Unavailable(message, url=self._endpoints.uploads))
        if self._has_paid or self._pause(answer):
            self._after = 0.0  # the registry has answered well and at once: there is nothing to wait for
            self.restarts += 1
            self.state = State.GONE
        return None

    def _refused(self, answer: RegistryResponse) -> None:
        if self._resume is not None and not self._is_fresh and self.state in IN_A_SESSION:
            # What another process has left may be no session to go on with.
            if self._beside is not None:
                return self._change_session()
            self._in_doubt, self.state = False, State.FRESH
            return None
        if answer.kind is Kind.NO_REGISTRY:
            return self._no_registry(answer)
        if answer.is_redirect:
            return self._fail(not_followed(answer, f"{self._blob.digest} was refused"))
        cls = {401: Unauthorized, 403: Denied}.get(answer.status, Refused)
        return self._fail(
            cls(f"{self._blob.digest} was refused: {self.trouble}", hint=hint_for(answer), url=answer.url)
        )

    def _no_registry(self, answer: RegistryResponse) -> None:
        self._fail(answer.no_registry(HTTPOrigin.of(self._endpoints.uploads)))

    def _unavailable(self, _: RegistryResponse) -> None:
        why = self._why_in_full(self.kept.in_words)
        self._fail(Unavailable(f"gave up on {self._blob.digest}: {why}", url=self._endpoints.uploads))

    # ── the small steps ───────────────────────────────────────────────────────────────────────────

    def _forget_session(self) -> None:
        self._location, self.offset, self.etag, self._parts, self._insisted = "", 0, None, None, False
        self._resume = self._direct = self._refused_at = self._late = None
        self._suspect_size, self._in_doubt, self._cut = False, False, 0
        self._trail = Trail()

    def _leave_beside(self) -> None:
        if self._beside is not None:
            answer, self._beside = self._beside, None
            self._left.append(resolve(answer.url, answer.upload_location or answer.location or ""))

    def _own_record(self) -> UploadRecord | None:
        """What to keep of this session; None if the registry holds nothing that could be gone on with."""
        if not self._location:
            return None
        if self._parts is not None:
            return self._parts.record
        if self.ollama is None:
            first = min(self._trail.first, self._blob.size)
            return UploadRecord(self._location, self.offset, chunk=first, is_equal=self.plan.is_equal and first > 0)
        # Ollama's registry tells no status: what went to its storage whole can be committed, less can't be asked for.
        return UploadRecord(self._location, self.offset, direct=True) if self.offset == self._blob.size else None

    def _learn(self, offset: int | None) -> None:
        """What a cut has shown of the registry, which now has `offset`, None for no session any more."""
        cut, self._cut = self._cut, 0
        self.kept = after_cut(cut, before=self.offset, offset=offset) or self.kept
        if cut and offset == self.offset:  # nothing of the chunk got through: a shorter one may
            self._pace.broke()
            self.plan = self.plan.paced(self.plan.chunk // 2)

    def _move_offset(self, offset: int) -> None:
        # Nor does one that takes a whole chunk and keeps next to nothing of it, again and again.
        is_little = self._is_short and (offset - self.offset) * _LITTLE < self._attempted - self.offset
        self.offset, self._suspect_size, self._refused_at, self._is_short = offset, False, None, False
        if offset > self._furthest:  # a registry that swings to and fro makes no progress
            self._furthest, self._insisted = offset, False
            if not is_little:
                self._budget.restore()
                self._began = ""
                self._leave_beside()

    def _move_session(self, answer: RegistryResponse) -> None:
        if answer.location:  # Quay's status has none: the session stays where it was
            self._location = resolve(answer.url, answer.location)

    def _pause(self, answer: RegistryResponse) -> bool:
        self._began = self._began or self.trouble
        pause = self._budget.spend(answer.retry_after)
        if pause is None or (self._beside is not None and not self._is_worth_a_try(answer)):
            self._spent(answer)
            return False
        self._has_paid = True
        # A token that ran out has been renewed by now; nobody needs to rest.
        self._after = 0.0 if answer.kind is Kind.EXPIRED else pause
        return True

    def _spent(self, answer: RegistryResponse) -> None:
        """All tries of a session were for nothing. If the registry is well, a fresh one has as many, once."""
        in_doubt = self._may_be_there(answer)
        if self._beside is not None and not in_doubt:
            self._change_session()
        elif self._beside is not None and self.state is State.COMMITTING:
            self.state = State.CONFIRMING
        elif answer.kind is Kind.EXPIRED and (self._resume is None or self._is_fresh):
            self._fail(Unauthorized(f"gave up on {self._blob.digest}: {self.trouble}", url=self._endpoints.uploads))
        elif self._beside or self._is_fresh or self._where.is_astray or not self._may_be_broken:
            self._unavailable(answer)
        else:
            self._in_doubt, self.state = in_doubt, State.FRESH

    def _done(self, answer: RegistryResponse, placement: Placement) -> None:
        if answer.digest is not None and answer.digest != self._blob.digest:
            return self._fail(
                RemoteMismatch(
                    f"the registry says it has {answer.digest} where {self._blob.digest} was sent", url=answer.url
                )
            )
        self._leave_beside()
        self.offset, self.placement, self.state = self._blob.size, placement, State.DONE
        return None

    def _fail(self, error: RegistryPushError) -> None:
        self._leave_beside()
        self.failure, self.state = self._where.judged(error), State.FAILED


def _begin(resume: UploadRecord | None) -> State:
    if resume is None:
        return State.NEW
    if resume.part:
        return State.PARTS
    return State.COMMITTING if resume.direct else State.UNCERTAIN
