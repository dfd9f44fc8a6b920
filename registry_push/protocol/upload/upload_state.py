"""`UploadState`: what is known of one upload, whichever machine speaks for it. Pure.

Facts of one dialect alone are with its machine: of chunks in `chunk_steps.py`, of parts in `ollama_steps.py`.
"""

from __future__ import annotations

from collections.abc import Collection

from ...errors import RegistryPushError
from ...events import Placement
from ...model import Descriptor
from ..astray import Whereabouts
from ..cut_behaviour import CutBehaviour
from ..location import resolve
from ..response import Kind, RegistryResponse
from ..retry import Budget
from ..throughput import Throughput
from .chunks import ChunkPlan, WholePut
from .commit import LateCommit
from .requests import Endpoints, OllamaWay, UploadRecord
from .states import State


class UploadState:
    """The facts of one upload. The acknowledged offset is our own count; what a server reports is only evidence."""

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

        `negotiates`: switch to Ollama's way if the registry turns out to be of that kind. `trouble` says why an earlier
        upload failed.
        """
        self.state = _begin(resume, mount_from)
        self.kept = kept  # what the registry keeps of a cut chunk, as far as it has shown
        self.offset = resume.offset if resume else 0
        self.plan = plan.equal(resume.chunk) if resume is not None and resume.is_equal else plan
        self.placement: Placement | None = None
        self.failure: RegistryPushError | None = None
        self.trouble = trouble  # why the last request failed, for people
        self.restarts = 0
        self.bodies = 1  # under way at once, this one among them
        self.etag: str | None = None  # of the parts, for the commit
        if ollama is None and resume is not None and resume.is_ollamas:
            ollama = OllamaWay(direct=resume.direct)
        self.ollama: OllamaWay | None = ollama  # None: as far as is known, the registry is none of Ollama's
        # What the upload has learned of the host. It is remembered if the upload ends well.
        self.learned_whole: WholePut | None = None  # what goes in one PUT here
        self.limit_failed = False  # whether what was known as the most that the host takes was wrong
        self.limit_holds = True  # whether something got through since the last time that a limit was found
        self.negotiates = negotiates
        self.blob = blob
        self.endpoints = endpoints
        self.budget = budget
        self.mount_from = tuple(mount_from)
        self.mounts = list(mount_from)  # those that are still to be tried
        self.location = resume.location if resume else ""  # empty: no session is open
        # How far bytes were sent, acknowledged or not. What an earlier process sent is not known: perhaps all.
        self.attempted = blob.size if resume else 0
        self.furthest = self.offset  # the most that was ever acknowledged, whatever was lost since
        self.resume = resume
        self.in_doubt = False  # a commit was sent, and it is not known what came of it
        self.beside: RegistryResponse | None = None  # the answer that opened a fresh session beside this one
        self.is_spent = False  # the tries of this session, which is why the one beside it was opened
        self.is_fresh = False  # the session is such a one: there is no other after it
        self.left: list[str] = []  # fresh sessions that turned out to be useless
        self.before: UploadRecord | None = None  # of the session that it took over from
        self.handed_over: RegistryResponse | None = None  # the answer that opened a session of Ollama's registry
        self.pace = pace or Throughput()
        self.late = LateCommit.of(resume, blob.size)  # a commit that may be under way; None: there is none
        self.sent = 0  # bytes of the last body that were sent before it was answered
        self.after = 0.0
        self.where = Whereabouts(endpoints.uploads)
        self.is_torn = False  # the body of the last PUT
        self.was_cut = False  # the last body, or the commit
        self.is_spared = False  # a question that was lost with the same cut
        self.has_paid = False  # for the trouble that led here: what it costs is one try
        self.began = ""  # why the first request since the last progress failed
        self.unexplained = 0  # sessions that were lost without a cut
        self.redirect: str | None = None  # where the registry has sent the last request on to
        self.hops = 0
        self.redirects = False  # there was a redirect: long bodies wait to be asked for

    def has_bytes(self, record: UploadRecord | None) -> bool:
        """Return whether the registry has acknowledged bytes in the session of `record`."""
        return record is not None and record.acknowledged(self.blob.size) > 0

    def leave_beside(self) -> None:
        """Stay in the current session; the fresh one beside it is not needed."""
        if self.beside is not None:
            answer, self.beside, self.is_spent = self.beside, None, False
            self.left.append(resolve(answer.url, answer.upload_location or answer.location or ""))

    def fail(self, error: RegistryPushError) -> None:
        """End with `error`, or with the one that says where a proxy has led the upload, if that is the cause."""
        self.leave_beside()
        self.failure, self.state = self.where.judged(error), State.FAILED

    # ── questions about it ────────────────────────────────────────────────────────────────────────

    @property
    def may_be_broken(self) -> bool:
        """Whether the session itself may be broken, which a fresh one would show."""
        return self.state not in (State.NEW, State.GONE) and self.budget.has_tried

    def may_be_there(self, answer: RegistryResponse) -> bool:
        """Return whether the outcome of a commit is unknown after this failure."""
        refused = answer.kind is Kind.EXPIRED
        return self.state is State.CONFIRMING or (self.state is State.COMMITTING and not refused)

    def is_worth_a_try(self, answer: RegistryResponse) -> bool:
        """Return whether to use the old session although its tries are spent and a fresh one is open: not if it fails.

        An old session whose status is a little behind works, and still holds most of what was sent.
        """
        return answer.kind in (Kind.ACCEPTED, Kind.CREATED) or self.may_be_there(answer)

    def why_in_full(self, kept: str) -> str:
        """Return why the upload is given up: the last failure, the first one, and what is `kept` after a cut."""
        began = [f"it began with: {self.began}"] if self.began not in self.trouble else []
        return "; ".join([self.trouble, *began, *([kept] if self.was_cut and kept else [])])


def _begin(resume: UploadRecord | None, mount_from: Collection[str]) -> State:
    if resume is None:
        return State.NEW
    if resume.is_ollamas:
        return State.PARTS if resume.part else State.COMMITTING
    return State.MOUNTING if mount_from else State.UNCERTAIN
