"""`CommitSteps`: what the answers to the closing PUT, and to the HEAD after it, do to an upload in both dialects. Pure.

They differ in what can be asked of a session whose commit is in doubt: see `oci_steps.py` and `ollama_steps.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from ...errors import RemoteMismatch
from ...events import Placement
from ..location import resolve
from ..redirects import MOST_HOPS, SENT_TWICE, not_followed
from ..response import RegistryResponse
from .commit import LateCommit
from .opening_steps import OpeningSteps
from .states import State

# The errors of a registry that has joined the chunks wrongly.
_WRONG_CONTENT: Final = frozenset({"DIGEST_INVALID", "SIZE_INVALID", "BLOB_UPLOAD_INVALID"})


class CommitSteps(OpeningSteps):
    """The steps of PUT and HEAD."""

    @abstractmethod
    def _not_coming(self, answer: RegistryResponse) -> None:
        """Continue after HEAD has denied the blob, if no commit is under way."""

    # ── PUT ───────────────────────────────────────────────────────────────────────────────────────

    def uploaded(self, answer: RegistryResponse) -> None:
        """Be done."""
        self._done(answer, Placement.UPLOADED)

    def confirm(self, answer: RegistryResponse) -> None:
        """Ask whether the blob is there: that the PUT was accepted is no promise."""
        self.upload.late = LateCommit.after(answer, self.upload.blob.size, is_torn=False, words=str(answer))
        self.upload.state = State.CONFIRMING

    def confirm_later(self, answer: RegistryResponse) -> None:
        """Ask after a pause whether the blob is there: the outcome of the PUT is unknown."""
        upload = self.upload
        upload.late = LateCommit.after(answer, upload.blob.size, is_torn=upload.is_torn, words=upload.trouble)
        if self._pause(answer):
            upload.state = State.CONFIRMING

    def commit_refused(self, answer: RegistryResponse) -> None:
        """Follow a redirect, or fail."""
        return self._redirected(answer) if answer.keeps_body else self.refused(answer)

    def commit_invalid(self, answer: RegistryResponse) -> None:
        """Start again if the registry has put the blob together wrongly: what we hold was hashed before the PUT.

        A cut can do that, and so can a gap, after which distribution 2 continues.
        """
        if _WRONG_CONTENT & {*answer.diagnosis.codes}:
            return self.session_lost(answer)
        return self.refused(answer)

    def _redirected(self, answer: RegistryResponse) -> None:
        """Follow the redirect, and send the body again if little of it has been sent."""
        upload = self.upload
        length, upload.hops = upload.attempted - upload.offset, upload.hops + 1
        if (upload.sent >= length > SENT_TWICE) or upload.hops > MOST_HOPS:
            return upload.fail(not_followed(answer, f"{upload.blob.digest} was refused"))
        upload.redirect, upload.redirects = resolve(answer.url, answer.location or ""), True
        return None

    # ── HEAD: is it there? ────────────────────────────────────────────────────────────────────────

    def confirmed(self, answer: RegistryResponse) -> None:
        """Finish if the blob that is there has the right length."""
        upload = self.upload
        if answer.status != 200:
            return self._no_registry(answer)
        if answer.length and answer.length != upload.blob.size:  # a proxy that drops bodies may say 0
            message = (
                f"the registry holds {upload.blob.digest} with {answer.length} bytes instead of {upload.blob.size}"
            )
            return upload.fail(RemoteMismatch(message, url=upload.endpoints.blob))
        return self._done(answer, Placement.UPLOADED if upload.location else Placement.PRESENT)

    def not_there(self, answer: RegistryResponse) -> None:
        """Look for the blob for as long as its commit may take; then send it again."""
        late = self.upload.late
        if late is None:
            self._not_coming(answer)
        elif not late.is_over:
            self._look_later(late)
        else:
            self.upload.late, self.upload.trouble = None, late.outcome
            self._not_coming(answer)

    def _look_later(self, late: LateCommit) -> None:
        self.upload.trouble = late.in_words
        self.upload.after, self.upload.state = late.pause(), State.CONFIRMING
