"""`OpeningSteps`: how an upload gets a session, tries again, starts again, and ends, in both dialects. Pure."""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from ...errors import Denied, ProtocolViolation, Refused, RemoteMismatch, Unauthorized, Unavailable
from ...events import Placement
from ...model import HTTPOrigin
from ..location import resolve
from ..redirects import not_followed
from ..refusals import hint_for
from ..response import Kind, RegistryResponse
from .machine import Machine
from .states import IN_A_SESSION, State

# Sessions that may be lost without a cut. A registry that loses them, such as several servers without a common storage,
# will lose more: further tries only send the same bytes again. Sessions lost by a cut are bounded by the retries.
MAX_RESTARTS: Final = 5


class OpeningSteps(Machine):
    """The steps that open a session, and those that every other step can end in."""

    @abstractmethod
    def _enter(self, answer: RegistryResponse) -> None:
        """Begin in the session that has just been opened."""

    @abstractmethod
    def _look_again(self) -> None:
        """Go on in the old session if that can be tried once more, else in the fresh one beside it."""

    def _forget_session(self) -> None:
        """Forget all that is true of one session only."""
        upload = self.upload
        upload.location, upload.offset, upload.etag = "", 0, None
        upload.resume = upload.late = None
        upload.in_doubt = upload.is_spent = False

    # ── POST ──────────────────────────────────────────────────────────────────────────────────────

    def opened(self, answer: RegistryResponse) -> None:
        """Begin in the session that the answer names."""
        if answer.status not in (201, 202) and not (answer.location or answer.upload_location):
            return self._no_registry(answer)
        location = resolve(answer.url, answer.upload_location or answer.location or "")
        self.upload.location = self.upload.where.led_to(location)
        self.upload.mounts.clear()
        self.upload.attempted = 0
        return self._enter(answer)

    def opened_beside(self, answer: RegistryResponse) -> None:
        """Ask the old session once more: the registry works again, and the old one may hold most of the bytes."""
        try:
            resolve(answer.url, answer.upload_location or answer.location or "")
        except ProtocolViolation:  # no session to continue in; the old one's failure explains more
            return self.unavailable(answer)
        self.upload.beside = answer
        self.upload.budget.restore()  # once more, for this look and the fresh session together
        if self.upload.in_doubt:
            self.upload.state = State.CONFIRMING
        else:
            self._look_again()
        return None

    def mounted(self, answer: RegistryResponse) -> None:
        """Believe a mount that was asked for; ask whether the blob is there if none was."""
        mounts, ollama = self.upload.mounts, self.upload.ollama
        if not mounts and not (ollama is not None and ollama.direct):
            # Instead of a fresh session there is this answer: no other is asked for.
            self.upload.is_fresh |= self.upload.state is State.FRESH
            self.upload.state = State.CONFIRMING
            return
        is_elsewhere = bool(mounts) and mounts[0] != self.upload.endpoints.repository
        self._done(answer, Placement.MOUNTED if is_elsewhere else Placement.PRESENT)

    def without_mount(self, answer: RegistryResponse) -> None:
        """Ask for the next mount, or for a session; if that is refused too, fail."""
        if not self.upload.mounts:
            return self.refused(answer)
        self.upload.mounts.pop(0)
        return None

    # ── again, in this session or in another ──────────────────────────────────────────────────────

    def again(self, answer: RegistryResponse) -> None:
        """Send the same request again after a pause."""
        # Idle connections break together with the one in use, and the request after a cut may get one of them.
        if answer.kind is Kind.LOST and self.upload.was_cut and not self.upload.is_spared:
            self.upload.is_spared = True
        else:
            self._pause(answer)

    def session_lost(self, answer: RegistryResponse) -> None:
        """Start again: the session is lost."""
        upload = self.upload
        was_cut, upload.was_cut = upload.was_cut, False
        self._forget_session()
        if upload.beside is not None:
            return self._change_session()
        upload.unexplained += not was_cut
        if upload.unexplained > MAX_RESTARTS or (upload.where.is_astray and upload.restarts):
            times = f"{upload.restarts + 1} times ({upload.trouble})"
            message = f"the registry lost the upload of {upload.blob.digest} {times}"
            return upload.fail(Unavailable(message, url=upload.endpoints.uploads))
        if upload.has_paid or self._pause(answer):
            upload.after = 0.0  # the registry has answered well and at once: there is nothing to wait for
            upload.restarts += 1
            upload.state = State.GONE
        return None

    def spent(self, answer: RegistryResponse) -> None:
        """Open a fresh session after all tries of this one failed. There is at most one fresh session."""
        upload = self.upload
        in_doubt = upload.may_be_there(answer)
        if upload.beside is not None and not in_doubt:
            self._change_session()
        elif upload.beside is not None and upload.state is State.COMMITTING:
            upload.state = State.CONFIRMING
        elif answer.kind is Kind.EXPIRED and (upload.resume is None or upload.is_fresh):
            message = f"gave up on {upload.blob.digest}: {upload.trouble}"
            upload.fail(Unauthorized(message, url=upload.endpoints.uploads))
        elif upload.beside or upload.is_fresh or upload.where.is_astray or not upload.may_be_broken:
            self.unavailable(answer)
        else:
            upload.is_spent, upload.in_doubt, upload.state = True, in_doubt, State.FRESH

    def leave_session(self, _: RegistryResponse) -> None:
        """Continue in another session: this one can't be reached, so it has taken no commit either."""
        if self.upload.beside is not None:
            self._change_session()
        else:
            self.upload.in_doubt, self.upload.state = False, State.FRESH

    def _change_session(self) -> None:
        """Start again in the session that is open beside the old one."""
        upload = self.upload
        answer, upload.beside = upload.beside, None
        assert answer is not None, "there is one to change to"
        old = self.own_record
        upload.before = old if upload.has_bytes(old) else None
        self._forget_session()
        upload.furthest, upload.is_fresh = 0, True
        upload.restarts += 1
        self.opened(answer)

    def _pause(self, answer: RegistryResponse) -> bool:
        """Take one try; return False if none was left, and the upload has continued or ended without it."""
        upload = self.upload
        upload.began = upload.began or upload.trouble
        pause = upload.budget.spend(answer.retry_after)
        if pause is None or (upload.beside is not None and upload.is_spent and not upload.is_worth_a_try(answer)):
            self.spent(answer)
            return False
        upload.has_paid = True
        # An expired token has been renewed by now: there is nothing to wait for.
        upload.after = 0.0 if answer.kind is Kind.EXPIRED else pause
        return True

    # ── the end ───────────────────────────────────────────────────────────────────────────────────

    def refused(self, answer: RegistryResponse) -> None:
        """Fail, unless the session is one that another process has left: then start again."""
        upload = self.upload
        if upload.resume is not None and not upload.is_fresh and upload.state in IN_A_SESSION:
            return self.leave_session(answer)
        if answer.kind is Kind.NO_REGISTRY:
            return self._no_registry(answer)
        what = f"{upload.blob.digest} was refused"
        if answer.is_redirect:
            return upload.fail(not_followed(answer, what))
        cls = {401: Unauthorized, 403: Denied}.get(answer.status, Refused)
        return upload.fail(cls(f"{what}: {upload.trouble}", hint=hint_for(answer), url=answer.url))

    def unavailable(self, _: RegistryResponse) -> None:
        """Give up for now."""
        upload = self.upload
        why = upload.why_in_full(upload.kept.in_words)
        upload.fail(Unavailable(f"gave up on {upload.blob.digest}: {why}", url=upload.endpoints.uploads))

    def _no_registry(self, answer: RegistryResponse) -> None:
        self.upload.fail(answer.no_registry(HTTPOrigin.of(self.upload.endpoints.uploads)))

    def _done(self, answer: RegistryResponse, placement: Placement) -> None:
        upload = self.upload
        if answer.digest is not None and answer.digest != upload.blob.digest:
            message = f"the registry says it has {answer.digest} where {upload.blob.digest} was sent"
            return upload.fail(RemoteMismatch(message, url=answer.url))
        upload.leave_beside()
        upload.offset, upload.placement, upload.state = upload.blob.size, placement, State.DONE
        return None
