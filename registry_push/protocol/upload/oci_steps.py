"""`OCISteps`: what an upload in OCI's dialect does after a closing PUT and the HEAD that follows it. Pure.

It also has the answers to a mount that is tried before the session of an earlier process is continued.

After a PUT without an answer: HEAD, whether the blob is there; GET, what became of the session; then HEAD again and
again, for as long as the commit may be under way. Only then the PUT is sent again, or all of the blob in another
session.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from ...errors import ProtocolViolation, RemoteMismatch
from ...events import Placement
from ...text.hint import Setting, step
from ..location import resolve
from ..response import Kind, RegistryResponse
from .chunk_steps import TWICE, ChunkSteps
from .chunks import WholePut
from .commit import LateCommit
from .states import State

# Answers that say that the method or the form of the request is refused, and not the blob.
_NO_PUT_OF_ALL: Final = (405, 411, 415, 501)


class OCISteps(ChunkSteps):
    """The steps of PUT and HEAD that need the session's status, or are about chunks."""

    # ── POST, where a session was left ────────────────────────────────────────────────────────────

    def mounted_instead(self, answer: RegistryResponse) -> None:
        """Finish: the blob was mounted, and the session of the earlier process is no longer needed."""
        self.upload.left.append(self.upload.location)
        self.mounted(answer)

    def not_mounted(self, answer: RegistryResponse) -> None:
        """Ask for the next mount if this one was refused, else continue in the session that was left.

        A registry that opens a new session instead has not mounted the blob; that session is deleted later.
        """
        upload = self.upload
        if answer.kind is Kind.ACCEPTED:
            upload.mounts.clear()
            with suppress(ProtocolViolation):
                upload.left.append(resolve(answer.url, answer.location or ""))
        else:
            upload.mounts.pop(0)
        if not upload.mounts:
            upload.state = State.UNCERTAIN

    # ── PUT ───────────────────────────────────────────────────────────────────────────────────────

    def committed(self, answer: RegistryResponse) -> None:
        """Finish; first check the length if the registry has joined several chunks."""
        upload = self.upload
        pieces = self._trail.pieces + (upload.attempted > upload.offset)
        if pieces < TWICE or answer.digest not in (None, upload.blob.digest):
            return self.uploaded(answer)
        upload.leave_beside()
        upload.state = State.MEASURING
        return None

    def session_unknown(self, answer: RegistryResponse) -> None:
        """Ask whether the blob is there, after which the session may be unknown.

        Artifactory before 6 takes no PUT with a whole blob; if that is the reason, and not a lost session, send chunks.
        """
        upload = self.upload
        if not self._sent_whole or answer.says_session_lost:
            return self.confirm_later(answer)
        if self._patches_missing:
            self._put_refused = str(answer)
            upload.plan, upload.learned_whole = upload.plan.in_chunks(WholePut.SMALL), None
            return self.session_lost(answer)
        return self.confirm_later(answer) if self._plan_chunks(answer) else self.refused(answer)

    def commit_refused(self, answer: RegistryResponse) -> None:
        """As for every dialect; but where a PUT with a whole blob is refused for its method, send chunks."""
        if not self._sent_whole or answer.status not in _NO_PUT_OF_ALL:
            return super().commit_refused(answer)
        if not self._plan_chunks(answer):
            return self.refused(answer)
        self.upload.has_paid = True  # the other form is no further try, as it is none after a refused PATCH
        return self.session_lost(answer)

    @property
    def _sent_whole(self) -> bool:
        """Whether the PUT that was answered had the whole blob in it."""
        upload = self.upload
        return upload.plan.single and not upload.offset and upload.attempted > 0

    def _plan_chunks(self, answer: RegistryResponse) -> bool:
        """Plan chunks instead of the PUT that was refused; return False if PATCH was refused as well."""
        upload = self.upload
        self._put_refused = str(answer)
        if self._patch_refused:
            upload.trouble = f"{self._patch_refused} to a PATCH, {answer} to a PUT of all of it"
            return False
        upload.plan, upload.learned_whole = upload.plan.in_chunks(WholePut.NEVER), WholePut.NEVER
        return True

    def chunks_invalid(self, answer: RegistryResponse) -> None:
        """Start again if the registry has put the chunks together wrongly, or wants the last one in the PUT (ECR)."""
        is_empty = self.upload.attempted == self.upload.offset
        if is_empty and self._trail.pieces >= TWICE and answer.says_session_lost:
            self._go_by_parts()
        return self.commit_invalid(answer)

    def ask_after_commit(self, answer: RegistryResponse) -> None:
        """Ask for the status: the PUT was refused for its offset, though the blob may have been made."""
        self.upload.late = LateCommit.after(answer, self.upload.blob.size, is_torn=False, words=str(answer))
        self.ask(answer)

    # ── HEAD: is it there? ────────────────────────────────────────────────────────────────────────

    def not_there_yet(self, answer: RegistryResponse) -> None:
        """Ask for the status, then look for the blob for as long as its commit may take; then send it again."""
        upload, late = self.upload, self.upload.late
        if late is not None and not late.was_asked and upload.beside is None:
            late.was_asked, upload.state = True, State.UNCERTAIN
        elif late is not None and late.is_over and late.session_is_gone:
            upload.late, upload.trouble = None, late.outcome
            upload.state = State.UNCERTAIN  # there is no doubt any more that it is not there
            self.session_lost(answer)
        else:
            self.not_there(answer)

    def told(self, answer: RegistryResponse) -> None:
        """Continue in the session; or look for the blob again if all bytes are there and a commit may be under way."""
        upload = self.upload
        late, upload.late = upload.late, None
        held = upload.offset if answer.range_end is None else answer.range_end + 1
        if late is None or late.is_over:
            return self._reconciled(answer)
        if held < upload.blob.size:
            # A PUT that was accepted without making a blob costs a try, as one that got no answer does.
            is_free = upload.has_paid or self._suspect_size
            return self._reconciled(answer) if is_free or self._pause(answer) else None
        self._move_session(answer)
        upload.late = late
        return self._look_later(late)

    def _not_coming(self, answer: RegistryResponse) -> None:
        upload = self.upload
        if not upload.location:  # a POST was answered by 201
            self._no_registry(answer)
        elif upload.beside is not None and self._looked:
            self._change_session()
        elif upload.beside is not None:
            self._looked, upload.state = True, State.UNCERTAIN
        else:
            self.ask_later(answer)

    # ── HEAD: is it whole? ────────────────────────────────────────────────────────────────────────

    def measured(self, answer: RegistryResponse) -> None:
        """Fail if the blob that was made of the chunks has another length; after any other answer, believe the 201."""
        upload = self.upload
        is_told = answer.status == 200 and not answer.is_page  # a page comes from a captive portal
        if is_told and answer.length and answer.length != upload.blob.size:
            return upload.fail(
                RemoteMismatch(
                    f"the registry made {answer.length} bytes of the chunks of {upload.blob.digest}, "
                    f"which has {upload.blob.size}",
                    hint=step(
                        "send it whole: ", Setting("one_put"), "; if it ends so again, tell who runs the registry"
                    ),
                    url=upload.endpoints.blob,
                )
            )
        return self._done(RegistryResponse(201, upload.endpoints.blob), Placement.UPLOADED)

    def measure_again(self, answer: RegistryResponse) -> None:
        """Ask again after a pause; believe the 201 if there is no try left."""
        upload = self.upload
        pause = upload.budget.spend(answer.retry_after)
        if pause is None:
            return self._done(RegistryResponse(201, upload.endpoints.blob), Placement.UPLOADED)
        upload.after = pause
        return None
