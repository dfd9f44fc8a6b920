"""`OpeningSteps`: how an upload gets a session, tries again, begins anew, and ends. Pure."""

from __future__ import annotations

from typing import Final

from ...errors import Denied, ProtocolViolation, Refused, RegistryPushError, RemoteMismatch, Unauthorized, Unavailable
from ...events import Placement
from ...model import HTTPOrigin
from ..location import absolute, resolve
from ..redirects import not_followed
from ..refusals import hint_for
from ..response import Kind, RegistryResponse
from .chunks import WholePut
from .requests import OllamaWay, UploadRequest
from .states import IN_A_SESSION, State
from .upload_state import UploadState

# A registry that loses its sessions although the line holds, such as several without a common storage, goes on doing
# so: more tries only send the same bytes again. Sessions that a cut has cost are bounded by the retries.
MAX_RESTARTS: Final = 5
# Cuts of one PUT after which the line counts as one that keeps breaking.
_BREAKING: Final = 2
# Said if a session is gone and the registry has not yet shown its kind, as after a crash of ours.
MAYBE_NOTHING_KEPT: Final = "distribution 2, Harbor and zot lose an upload that is cut inside a chunk"


class OpeningSteps(UploadState):
    """The steps that open a session, and those that every other step can end in."""

    # ── POST ──────────────────────────────────────────────────────────────────────────────────────

    def opened(self, answer: RegistryResponse) -> None:
        """Begin in the session that the answer names."""
        self._heed_cuts()
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

    def opened_beside(self, answer: RegistryResponse) -> None:
        """Look at the old session once more: the registry is well now, and the old one may hold most of the bytes."""
        try:
            resolve(answer.url, answer.upload_location or answer.location or "")
        except ProtocolViolation:  # no session to go on in; why the old one failed says more
            return self.unavailable(answer)
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

    def mounted(self, answer: RegistryResponse) -> None:
        """Believe a mount that was asked for; ask whether the blob is there if none was."""
        if not self._mounts and not (self.ollama is not None and self.ollama.direct):
            self.state = State.CONFIRMING
            return
        is_elsewhere = bool(self._mounts) and self._mounts[0] != self._endpoints.repository
        self._done(answer, Placement.MOUNTED if is_elsewhere else Placement.PRESENT)

    def without_mount(self, answer: RegistryResponse) -> None:
        """Ask for the next mount, or for a session; a refusal of that is one."""
        if not self._mounts:
            return self.refused(answer)
        self._mounts.pop(0)
        return None

    # ── again, in this session or in another ──────────────────────────────────────────────────────

    def again(self, answer: RegistryResponse) -> None:
        """Send the same request again after a pause."""
        # Idle connections break together with the one in use, and the question after a cut may get one of them.
        if answer.kind is Kind.LOST and self._was_cut and not self._is_spared:
            self._is_spared = True
        else:
            self._pause(answer)

    def ask_later(self, answer: RegistryResponse) -> None:
        """Ask for the session's status after a pause."""
        if self._pause(answer):
            self.state = State.UNCERTAIN

    def gone(self, answer: RegistryResponse) -> None:
        """Begin anew: the session is lost. If the blob may have been made of it, look for the blob first."""
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

    def spent(self, answer: RegistryResponse) -> None:
        """Open a fresh session if the registry is well: all tries of this one failed. There is one fresh session."""
        in_doubt = self._may_be_there(answer)
        if self._beside is not None and not in_doubt:
            self._change_session()
        elif self._beside is not None and self.state is State.COMMITTING:
            self.state = State.CONFIRMING
        elif answer.kind is Kind.EXPIRED and (self._resume is None or self._is_fresh):
            self._fail(Unauthorized(f"gave up on {self._blob.digest}: {self.trouble}", url=self._endpoints.uploads))
        elif self._beside or self._is_fresh or self._where.is_astray or not self._may_be_broken:
            self.unavailable(answer)
        else:
            self._in_doubt, self.state = in_doubt, State.FRESH

    def leave_session(self, _: RegistryResponse) -> None:
        """Go on in another session: this one can't be reached. It took no request, so it took no commit either."""
        if self._beside is not None:
            self._change_session()
        else:
            self._in_doubt, self.state = False, State.FRESH

    def _change_session(self) -> None:
        """Begin again in the session that is open beside the old one."""
        answer, self._beside = self._beside, None
        assert answer is not None, "there is one to change to"
        old = self._own_record()
        self._before = old if self._has_bytes(old) else None
        self._forget_session()
        self._furthest, self._is_fresh = 0, True
        self.restarts += 1
        self.opened(answer)

    def _pause(self, answer: RegistryResponse) -> bool:
        """Take one try; False if there was none, and the upload went on or ended without it."""
        self._began = self._began or self.trouble
        pause = self._budget.spend(answer.retry_after)
        if pause is None or (self._beside is not None and not self._is_worth_a_try(answer)):
            self.spent(answer)
            return False
        self._has_paid = True
        # A token that ran out has been renewed by now: there is nothing to wait for.
        self._after = 0.0 if answer.kind is Kind.EXPIRED else pause
        return True

    def _is_committed(self) -> bool:
        """Whether the session may be gone because the blob was made of it: then that is looked for first."""
        if self._late is None:
            return False
        self._late.gone()
        self.state = State.CONFIRMING
        return True

    def _heed_cuts(self) -> None:
        """Plan chunks after all if the line keeps breaking in one PUT."""
        if self.plan.whole is WholePut.FIRST and self._put_cuts >= _BREAKING:
            self.plan = self.plan.in_chunks(WholePut.SMALL)

    # ── the end ───────────────────────────────────────────────────────────────────────────────────

    def refused(self, answer: RegistryResponse) -> None:
        """Fail, unless the session is one that another process has left: then begin anew."""
        if self._resume is not None and not self._is_fresh and self.state in IN_A_SESSION:
            return self.leave_session(answer)
        if answer.kind is Kind.NO_REGISTRY:
            return self._no_registry(answer)
        if answer.is_redirect:
            return self._fail(not_followed(answer, f"{self._blob.digest} was refused"))
        cls = {401: Unauthorized, 403: Denied}.get(answer.status, Refused)
        return self._fail(
            cls(f"{self._blob.digest} was refused: {self.trouble}", hint=hint_for(answer), url=answer.url)
        )

    def unavailable(self, _: RegistryResponse) -> None:
        """Give up for now."""
        why = self._why_in_full(self.kept.in_words)
        self._fail(Unavailable(f"gave up on {self._blob.digest}: {why}", url=self._endpoints.uploads))

    def _no_registry(self, answer: RegistryResponse) -> None:
        self._fail(answer.no_registry(HTTPOrigin.of(self._endpoints.uploads)))

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
