"""`CommitSteps`: what the answers to the closing PUT, and to the HEAD after it, do to an upload. Pure.

After a PUT without an answer: HEAD, whether the blob is there; GET, what became of the session; then HEAD again and
again, for as long as the commit may be under way. Only then the PUT is sent again, or all of the blob in another
session.
"""

from __future__ import annotations

from ...errors import RemoteMismatch
from ...events import Placement
from ...text.hint import Setting, step
from ..response import RegistryResponse
from .chunk_steps import TWICE, ChunkSteps
from .chunks import WholePut
from .commit import LateCommit
from .states import State

# A registry that has put a blob together wrongly says one of these.
_WRONG_CONTENT = frozenset({"DIGEST_INVALID", "SIZE_INVALID", "BLOB_UPLOAD_INVALID"})


class CommitSteps(ChunkSteps):
    """The steps of PUT and HEAD, and that of a status that is asked for because of a commit."""

    # ── PUT ───────────────────────────────────────────────────────────────────────────────────────

    def committed(self, answer: RegistryResponse) -> None:
        """Be done, after a look at the length if the registry has put several chunks together."""
        pieces = self._trail.pieces + (self._attempted > self.offset)
        if pieces < TWICE or self.ollama is not None or answer.digest not in (None, self._blob.digest):
            return self._done(answer, Placement.UPLOADED)
        self._leave_beside()
        self.state = State.MEASURING
        return None

    def confirm(self, answer: RegistryResponse) -> None:
        """Ask whether the blob is there: the PUT was taken, but that is no promise."""
        self._late = LateCommit.after(answer, self._blob.size, is_torn=False, words=str(answer))
        self.state = State.CONFIRMING

    def confirm_later(self, answer: RegistryResponse) -> None:
        """Ask whether the blob is there after a pause: it is not known what came of the PUT."""
        self._late = LateCommit.after(answer, self._blob.size, is_torn=self._is_torn, words=self.trouble)
        if self._pause(answer):
            self.state = State.CONFIRMING

    def session_unknown(self, answer: RegistryResponse) -> None:
        """Ask whether the blob is there, after which the session may be unknown.

        Artifactory before 6 knows no PUT of all; if that is it, and not a lost session, it takes chunks.
        """
        is_whole = self.plan.single and not self.offset and self._attempted > 0 and self.ollama is None
        if is_whole and not answer.says_session_lost:
            self._put_refused = str(answer)
            if self._patches_missing:
                self.plan, self.learned_whole = self.plan.in_chunks(WholePut.SMALL), None
                return self.gone(answer)
            if self._patch_refused:
                self.trouble = f"{self._patch_refused} to a PATCH, {answer} to a PUT of all of it"
                return self.refused(answer)
            self.plan, self.learned_whole = self.plan.in_chunks(WholePut.NEVER), WholePut.NEVER
        self._knows_no_session = True
        return self.confirm_later(answer)

    def commit_refused(self, answer: RegistryResponse) -> None:
        """Follow a redirect, or fail."""
        return self._redirected(answer) if answer.keeps_body else self.refused(answer)

    def commit_invalid(self, answer: RegistryResponse) -> None:
        """Begin anew if the registry has put the chunks together wrongly: what we hold was hashed before the PUT.

        A cut can do that, and so can a gap, after which distribution 2 goes on.
        """
        is_empty = self._attempted == self.offset
        if is_empty and self._trail.pieces >= TWICE and answer.says_session_lost:  # ECR: the last belongs in the PUT
            self._go_by_parts()
        if _WRONG_CONTENT & {*answer.diagnosis.codes}:
            return self.gone(answer)
        return self.refused(answer)

    def ask_after_commit(self, answer: RegistryResponse) -> None:
        """Ask for the status: the PUT was refused for its offset. The blob may have been made all the same."""
        self._late = LateCommit.after(answer, self._blob.size, is_torn=False, words=str(answer))
        self.ask(answer)

    def all_placed(self, _: RegistryResponse) -> None:
        """Close: the whole blob is in the storage of Ollama's registry."""
        self.offset, self.state = self._blob.size, State.COMMITTING

    def parts_refused(self, _: RegistryResponse) -> None:
        """Fail as the parts did."""
        assert self._parts is not None and self._parts.failure is not None, "these parts were refused"
        self._fail(self._parts.failure)

    # ── HEAD: is it there? ────────────────────────────────────────────────────────────────────────

    def confirmed(self, answer: RegistryResponse) -> None:
        """Be done if the blob that is there has the right length."""
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

    def not_there(self, answer: RegistryResponse) -> None:
        """Ask the session, then look for the blob for as long as its commit may take; then send it again."""
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
                self.gone(answer)
            else:
                self._not_coming(answer)

    def told(self, answer: RegistryResponse) -> None:
        """Go on in the session, or look for the blob again if the session has all bytes and a commit may go on."""
        late, self._late = self._late, None
        held = self.offset if answer.range_end is None else answer.range_end + 1
        if late is None or late.is_over or held < self._blob.size:
            return self._reconciled(answer)
        self._move_session(answer)
        self._late = late
        return self._look_later(late)

    def _look_later(self, late: LateCommit) -> None:
        self.trouble = late.in_words
        self._after, self.state = late.pause(), State.CONFIRMING

    def _not_coming(self, answer: RegistryResponse) -> None:
        """Go on after HEAD has denied the blob, and no commit is under way."""
        if not self._location:  # a POST was answered by 201
            self._no_registry(answer)
        elif self._beside is not None and (self._looked or self.ollama is not None):
            self._change_session()
        elif self._beside is not None:
            self._looked, self.state = True, State.UNCERTAIN
        elif self.ollama is None:
            self.ask_later(answer)
        elif self._knows_no_session:
            self.gone(answer)
        elif self._pause(answer):  # Ollama's registry tells no status; its parts are where they are: commit again
            self.state = State.COMMITTING

    # ── HEAD: is it whole? ────────────────────────────────────────────────────────────────────────

    def measured(self, answer: RegistryResponse) -> None:
        """Fail if the blob that was made of the chunks has another length; anything else leaves the 201 as it is."""
        is_told = answer.status == 200 and not answer.is_page  # a page is some portal's
        if is_told and answer.length and answer.length != self._blob.size:
            return self._fail(
                RemoteMismatch(
                    f"the registry made {answer.length} bytes of the chunks of {self._blob.digest}, "
                    f"which has {self._blob.size}",
                    hint=step(
                        "send it whole: ", Setting("one_put"), "; if it ends so again, tell who runs the registry"
                    ),
                    url=self._endpoints.blob,
                )
            )
        return self._done(RegistryResponse(201, self._endpoints.blob), Placement.UPLOADED)

    def measure_again(self, answer: RegistryResponse) -> None:
        """Ask again after a pause; believe the 201 if there is no try left."""
        pause = self._budget.spend(answer.retry_after)
        if pause is None:
            return self._done(RegistryResponse(201, self._endpoints.blob), Placement.UPLOADED)
        self._after = pause
        return None
