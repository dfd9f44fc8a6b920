"""`UploadState`: what is known of one upload, and how that changes in small. No step, no request. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from ...errors import RegistryPushError
from ...events import Placement
from ...model import Descriptor
from ..astray import Whereabouts
from ..cut_behaviour import CutBehaviour, after_cut
from ..location import resolve
from ..response import Kind, RegistryResponse
from ..retry import Budget
from ..throughput import Throughput
from .chunks import ChunkPlan, WholePut
from .commit import LateCommit
from .parts import Parts
from .requests import Endpoints, OllamaWay, UploadRecord, UploadRequest
from .states import State
from .trail import Trail

# A registry that keeps less than one byte in so many of what it takes is making no progress.
_LITTLE: Final = 64


class UploadState:
    """The facts of one upload. The acknowledged offset is ours; what a server says of it is evidence."""

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
        trouble: str = "",
    ) -> None:
        """Begin at the POST, or where `resume` says that an earlier process stopped.

        `negotiates`: become an upload in Ollama's way if the registry shows itself as one of that kind. `trouble` says
        why an upload before this one failed.
        """
        self.state = _begin(resume)
        self.kept = kept  # what the registry keeps of a cut chunk, as far as it has shown
        self.offset = resume.offset if resume else 0
        self.plan = plan.equal(resume.chunk) if resume is not None and resume.is_equal else plan
        self.placement: Placement | None = None
        self.failure: RegistryPushError | None = None
        self.trouble = trouble  # why the last request failed, for people
        self.restarts = 0
        self._bodies = 1  # under way at once, this one among them
        self._etag: str | None = None  # of the parts, for the commit
        if ollama is None and resume is not None and (resume.part or resume.direct):
            ollama = OllamaWay(direct=resume.direct)
        self.ollama: OllamaWay | None = ollama
        # What the upload has learned of the host. It is remembered if the upload ends well.
        self.learned_whole: WholePut | None = None  # what goes in one PUT here
        self.limit_failed = False  # whether what was known as the most that the host takes was wrong
        self.limit_holds = True  # whether something got through since the last time that a limit was found
        self._negotiates = negotiates
        self._blob = blob
        self._endpoints = endpoints
        self._budget = budget
        self.mount_from = tuple(mount_from)
        self._mounts = list(mount_from)  # those that are still to be tried
        self._location = resume.location if resume else ""  # empty: no session is open
        # How far bytes were sent, acknowledged or not. What an earlier process sent is not known: perhaps all.
        self._attempted = blob.size if resume else 0
        self._suspect_size = False  # a chunk was refused by its offset; if that is right, its size is the cause
        self._refused_at: int | None = None  # the last byte that such a refusal named
        self._insisted = False  # such a chunk was sent once more at this offset
        self._trail = Trail(resume, reach=self._attempted)
        self._furthest = self.offset  # the most that was ever acknowledged, whatever was lost since
        self._direct: UploadRequest | None = None
        self._parts: Parts | None = None
        self._resume = resume
        self._in_doubt = False  # a commit was sent, and it is not known what came of it
        self._beside: RegistryResponse | None = None  # the answer that opened a fresh session beside this one
        self._looked = False  # the old session was asked once more, now that there is another
        self._is_fresh = False  # the session is such a one: there is no other after it
        self._left: list[str] = []  # fresh sessions that turned out to be useless
        self._before: UploadRecord | None = None  # of the session that it took over from
        self._knows_no_session = False
        self._pace = pace or Throughput()
        self._is_short = False  # the last chunk was taken, but not all of it
        self._late = LateCommit.of(resume, blob.size)  # a commit that may be under way; None: there is none
        self._cut = 0  # bytes of a chunk that were sent before the line broke
        self._sent = 0  # bytes of the last body that were sent before it was answered
        self._after = 0.0
        self._where = Whereabouts(endpoints.uploads)
        self._is_torn = False  # the body of the last PUT
        self._was_cut = False  # the last body, or the commit
        self._is_spared = False  # a question that was lost with the same cut
        self._has_paid = False  # for the trouble that led here: what it costs is one try
        self._began = ""  # why the first request since the last progress failed
        self._unexplained = 0  # sessions that were lost without a cut
        self._redirect: str | None = None  # where the registry has sent the last request on to
        self._hops = 0
        self._redirects = False  # there was a redirect: long bodies wait to be asked for
        self._put_cuts = 0  # how often the line broke in the PUT of all
        self._put_refused = ""  # how the registry refused that
        self._patch_refused = ""  # how it refused a PATCH of whatever length
        self._patches_missing = 0  # how often a first chunk was answered 404
        self._status_is_high = False  # Quay, Gitea: one byte too many

    def _own_record(self) -> UploadRecord | None:
        """Return what to keep of this session; None if the registry holds nothing that could be resumed."""
        if not self._location:
            return None
        if self._parts is not None:
            return self._parts.record
        if self.ollama is None:
            first = min(self._trail.first, self._blob.size)
            return UploadRecord(self._location, self.offset, chunk=first, is_equal=self.plan.is_equal and first > 0)
        # Ollama's registry tells no status. Only a blob that is all in its storage can be resumed: by the commit.
        return UploadRecord(self._location, self.offset, direct=True) if self.offset == self._blob.size else None

    def _has_bytes(self, record: UploadRecord | None) -> bool:
        return record is not None and record.acknowledged(self._blob.size) > 0

    def _forget_session(self) -> None:
        self._location, self.offset, self._etag, self._parts, self._insisted = "", 0, None, None, False
        self._resume = self._direct = self._refused_at = self._late = None
        self._suspect_size, self._in_doubt, self._cut = False, False, 0
        self._trail = Trail()

    def _leave_beside(self) -> None:
        """Stay in the session that is in use; the fresh one beside it is left over."""
        if self._beside is not None:
            answer, self._beside = self._beside, None
            self._left.append(resolve(answer.url, answer.upload_location or answer.location or ""))

    def _learn(self, offset: int | None) -> None:
        """Learn from a cut: the registry now has `offset`, or None if the session is gone."""
        cut, self._cut = self._cut, 0
        self.kept = after_cut(cut, before=self.offset, offset=offset) or self.kept
        if cut and offset == self.offset:  # nothing of the chunk got through: a shorter one may
            self._pace.broke()
            self.plan = self.plan.paced(self.plan.chunk // 2)

    def _move_offset(self, offset: int) -> None:
        # A registry that takes whole chunks and keeps next to nothing of them makes no progress either.
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

    # ── questions about it ────────────────────────────────────────────────────────────────────────

    @property
    def _may_be_broken(self) -> bool:
        """Whether it may be the session that does not work, which a fresh one would show."""
        return self.state not in (State.NEW, State.GONE) and self._budget.has_tried

    def _may_be_there(self, answer: RegistryResponse) -> bool:
        """Whether this trouble leaves open what came of a commit."""
        refused = answer.kind is Kind.EXPIRED
        return self.state is State.CONFIRMING or (self.state is State.COMMITTING and not refused)

    def _is_worth_a_try(self, answer: RegistryResponse) -> bool:
        """Whether the old session is tried again although a fresh one is open: not if it fails.

        One whose status is a little behind works, and still holds most of what was sent.
        """
        return answer.kind in (Kind.ACCEPTED, Kind.CREATED) or self._may_be_there(answer)

    def _why_in_full(self, kept: str) -> str:
        """Return why the upload is given up: the last trouble, the first one, and what is `kept` after a cut."""
        began = [f"it began with: {self._began}"] if self._began not in self.trouble else []
        return "; ".join([self.trouble, *began, *([kept] if self._was_cut and kept else [])])


def _begin(resume: UploadRecord | None) -> State:
    if resume is None:
        return State.NEW
    if resume.part:
        return State.PARTS
    return State.COMMITTING if resume.direct else State.UNCERTAIN
