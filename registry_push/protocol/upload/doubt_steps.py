"""`DoubtSteps`: an upload while nobody knows what became of a request: it asks. Pure.

After a closing PUT without an answer: HEAD, whether the blob is there; GET, what became of the session; then HEAD again
and again, for as long as the commit may be under way. Only then the PUT is sent again, or all of the blob in another
session.
"""

from __future__ import annotations

from ...model import Descriptor
from ..response import Kind, RegistryResponse
from ..retry import Budget
from .commit import LateCommit
from .transitions import State


class DoubtSteps:
    """Those of the steps of `Steps` that lead from doubt to certainty."""

    state: State
    trouble: str
    offset: int
    ollama: object | None
    _blob: Descriptor
    _beside: RegistryResponse | None
    _after: float
    _budget: Budget
    _late: LateCommit | None  # what is not known; None: nothing is open
    _is_torn = False  # the body of the last PUT
    _was_cut = False  # the last body, or the commit
    _is_spared = False  # a question that was lost with the same cut
    _has_paid = False  # for the trouble that led here: what it costs is one try
    _began = ""  # why the first request since the last progress did not do
    _unexplained = 0  # sessions that were lost without a cut
    _knows_no_session: bool

    def _pause(self, answer: RegistryResponse) -> bool:
        raise NotImplementedError

    def _gone(self, answer: RegistryResponse) -> None:
        raise NotImplementedError

    def _ask(self, answer: RegistryResponse) -> None:
        raise NotImplementedError

    def _reconciled(self, answer: RegistryResponse) -> None:
        raise NotImplementedError

    def _move_session(self, answer: RegistryResponse) -> None:
        raise NotImplementedError

    def _not_coming(self, answer: RegistryResponse) -> None:
        """The blob is not there, and no commit is under way."""
        raise NotImplementedError

    def _again(self, answer: RegistryResponse) -> None:
        # The connections that rested break with the line, and who asks what is left of a body may get one of them.
        if answer.kind is Kind.LOST and self._was_cut and not self._is_spared:
            self._is_spared = True
        else:
            self._pause(answer)

    def _confirm(self, answer: RegistryResponse) -> None:
        self._late = LateCommit.after(answer, self._blob.size, is_torn=False, words=str(answer))
        self.state = State.CONFIRMING

    def _confirm_later(self, answer: RegistryResponse) -> None:
        self._late = LateCommit.after(answer, self._blob.size, is_torn=self._is_torn, words=self.trouble)
        if self._pause(answer):
            self.state = State.CONFIRMING

    def _session_unknown(self, answer: RegistryResponse) -> None:
        self._knows_no_session = True
        self._confirm_later(answer)

    def _not_there(self, answer: RegistryResponse) -> None:
        late = self._late
        if late is None:
            self._not_coming(answer)
        elif not late.was_asked and self.ollama is None and self._beside is None:
            late.was_asked, self.state = True, State.UNCERTAIN
        elif not late.is_over:
            self._look_later(late)
        else:
            self._late, self.trouble = None, late.outcome
            if late.session_is_gone:
                self.state = State.UNCERTAIN  # there is no doubt any more that it is not there
                self._gone(answer)
            else:
                self._not_coming(answer)

    def _told(self, answer: RegistryResponse) -> None:
        """The session is open. A commit may go on in it, if it has all bytes: of less no blob is made."""
        late, self._late = self._late, None
        held = self.offset if answer.range_end is None else answer.range_end + 1
        if late is None or late.is_over or held < self._blob.size:
            return self._reconciled(answer)
        self._move_session(answer)
        self._late = late
        return self._look_later(late)

    def _ask_after_commit(self, answer: RegistryResponse) -> None:
        self._late = LateCommit.after(answer, self._blob.size, is_torn=False, words=str(answer))
        self._ask(answer)

    def _is_committed(self) -> bool:
        """Whether the session may be gone because the blob was made of it: then that is looked for first."""
        if self._late is None:
            return False
        self._late.gone()
        self.state = State.CONFIRMING
        return True

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
        """Why the upload is given up: the last trouble, the first one, and what is `kept` here when the line breaks."""
        began = [f"it began with: {self._began}"] if self._began not in self.trouble else []
        return "; ".join([self.trouble, *began, *([kept] if self._was_cut and kept else [])])

    def _look_later(self, late: LateCommit) -> None:
        self.trouble = late.in_words
        self._after, self.state = late.pause(), State.CONFIRMING
