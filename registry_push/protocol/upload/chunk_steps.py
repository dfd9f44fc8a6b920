"""`ChunkSteps`: what the answers to a chunk and to a status request do to an upload. Pure.

Registries differ most here. Offsets that they report are judged in `offsets.py`; what a registry shows of its ways
changes the plan, and after success the driver remembers it for the host.
"""

from __future__ import annotations

from typing import Final

from ..cut_behaviour import after_cut
from ..location import resolve
from ..response import Kind, RegistryResponse
from .chunks import ECR_MINIMUM, WholePut
from .commit_steps import CommitSteps
from .offsets import acknowledged, is_end_of_first_chunk, is_stuck_at_first_chunk, named_in_refusal, reconciled
from .requests import OllamaWay
from .states import State
from .trail import Trail
from .upload_state import UploadState

# How often an answer has to come before it counts as the registry's way, and not as a passing failure.
TWICE: Final = 2
# After so many cuts of one PUT the line counts as unreliable.
_BREAKING: Final = 2
# Reported if a session is gone before the registry has shown its kind, as after a crash of this program.
MAYBE_NOTHING_KEPT: Final = "distribution 2, Harbor and zot lose an upload that is cut inside a chunk"
# A registry that keeps less than one in so many of the bytes that it accepts is making no progress.
_LITTLE: Final = 64


class ChunkSteps(CommitSteps):
    """The steps of PATCH and of GET, and what is known of the chunks of a session."""

    def __init__(self, upload: UploadState) -> None:
        super().__init__(upload)
        self._trail = Trail(upload.resume, reach=upload.attempted)
        self._suspect_size = False  # a chunk was refused by its offset; if that is right, its size is the cause
        self._refused_at: int | None = None  # the last byte that such a refusal named
        self._insisted = False  # such a chunk was sent once more at this offset
        self._is_short = False  # the last chunk was taken, but not all of it
        self._looked = False  # the old session was asked once more, now that there is another
        self._cut = 0  # bytes of a chunk that were sent before the line broke
        self._put_cuts = 0  # how often the line broke in the PUT of all
        self._put_refused = ""  # how the registry refused that
        self._patch_refused = ""  # how it refused a PATCH of whatever length
        self._patches_missing = 0  # how often a first chunk was answered 404
        self._status_is_high = False  # Quay, Gitea: one byte too many

    @property
    def was_refused(self) -> bool:
        """Whether the chunk under way was refused without a word of its offset."""
        return self._trail.refusals > 0

    # ── the session ───────────────────────────────────────────────────────────────────────────────

    def _enter(self, answer: RegistryResponse) -> None:
        upload = self.upload
        self._heed_cuts()
        if answer.upload_location and upload.negotiates and upload.ollama is None:
            upload.ollama = OllamaWay(part=upload.plan.chunk if upload.plan.limit else None)
        if upload.ollama is not None:
            upload.handed_over, upload.state = answer, State.HANDED_OVER
            return
        upload.plan = upload.plan.bounded(answer.minimum_chunk, answer.maximum_chunk)
        upload.state = State.COMMITTING if upload.plan.single else State.OPEN

    def _look_again(self) -> None:
        if self.upload.location:
            self.upload.state = State.UNCERTAIN
        else:
            self._change_session()

    def _forget_session(self) -> None:
        super()._forget_session()
        self._trail = Trail()
        self._suspect_size, self._refused_at, self._insisted, self._cut = False, None, False, 0

    def session_lost(self, answer: RegistryResponse) -> None:
        """Start again: the session is lost. If the blob may have been made of it, look for the blob first."""
        upload = self.upload
        if upload.late is not None:
            upload.late.gone()
            upload.state = State.CONFIRMING
            return
        if answer.kind is Kind.MISSING:
            self._learn(None)
            upload.trouble += f"; {upload.kept.in_words or MAYBE_NOTHING_KEPT}"
        super().session_lost(answer)

    def ask_later(self, answer: RegistryResponse) -> None:
        """Ask for the session's status after a pause."""
        if self._pause(answer):
            self.upload.state = State.UNCERTAIN

    def _heed_cuts(self) -> None:
        """Plan chunks after all if the line keeps breaking in one PUT."""
        if self.upload.plan.whole is WholePut.FIRST and self._put_cuts >= _BREAKING:
            self.upload.plan = self.upload.plan.in_chunks(WholePut.SMALL)

    def _learn(self, offset: int | None) -> None:
        """Learn from a cut: the registry now has `offset`, or None if the session is gone."""
        upload = self.upload
        cut, self._cut = self._cut, 0
        upload.kept = after_cut(cut, before=upload.offset, offset=offset) or upload.kept
        if cut and offset == upload.offset:  # nothing of the chunk got through: a shorter one may
            upload.pace.broke()
            upload.plan = upload.plan.paced(upload.plan.chunk // 2)

    def _move_offset(self, offset: int) -> None:
        upload = self.upload
        # A registry that accepts whole chunks and keeps next to nothing of them makes no progress either.
        is_little = self._is_short and (offset - upload.offset) * _LITTLE < upload.attempted - upload.offset
        upload.offset, self._suspect_size, self._refused_at, self._is_short = offset, False, None, False
        if offset > upload.furthest:  # a registry that swings to and fro makes no progress
            upload.furthest, self._insisted = offset, False
            if not is_little:
                upload.budget.restore()
                upload.began = ""
                upload.leave_beside()

    def _move_session(self, answer: RegistryResponse) -> None:
        if answer.location:  # Quay's status has none: the session stays where it was
            self.upload.location = resolve(answer.url, answer.location)

    # ── PATCH ─────────────────────────────────────────────────────────────────────────────────────

    def close_with_last(self, _: RegistryResponse) -> None:
        """Close: ECR wants the last chunk in the PUT."""
        self.upload.state = State.COMMITTING

    def acknowledged(self, answer: RegistryResponse) -> None:
        """Continue after the chunk, or close. Ask for the status if the answer names an impossible offset."""
        upload = self.upload
        self._move_session(answer)
        start, told = upload.offset, (answer.range_end or 0) + 1
        offset = acknowledged(start, upload.attempted, answer.range_end)
        if offset is None:
            upload.trouble = f"the registry's upload has {told} bytes, we sent {upload.attempted}"
            self._is_short = True
            return self.ask_later(answer)
        trail = self._trail
        trail.is_stuck |= is_stuck_at_first_chunk(start, upload.attempted, told, first=trail.first)
        self._status_is_high |= trail.one_less == start
        trail.took(start, offset)
        self._patches_missing, upload.limit_holds = 0, True
        if trail.is_stuck or _is_ecrs(answer):
            self._go_by_parts()
        self._move_offset(offset)
        if offset == upload.blob.size:
            upload.state = State.COMMITTING
        return None

    def chunk_refused(self, answer: RegistryResponse) -> None:
        """Follow a redirect; send all in one PUT if it is the method that is refused; else fail."""
        if answer.keeps_body:
            return self._redirected(answer)
        if self.upload.offset or answer.is_redirect or not _is_about_method(answer):
            return self.refused(answer)
        return self._in_one_put(answer)

    def chunk_missing(self, answer: RegistryResponse) -> None:
        """Start again; in one PUT if first chunks repeatedly get 404, since then PATCH itself is unknown."""
        if self.upload.offset or answer.says_session_lost:
            return self.session_lost(answer)
        self._patches_missing += 1
        # A 404 in a second session as well: the method is unknown, unless a PUT gets 404 too.
        if self._patches_missing >= TWICE and not self._put_refused:
            self._plan_one_put(answer)
        return self.session_lost(answer)

    def chunk_invalid(self, answer: RegistryResponse) -> None:
        """Ask for the status: distribution 3 answers a stale PATCH with 400."""
        self._trail.refusals += 1
        is_again = self._trail.refusals >= TWICE
        if self.upload.offset and self._is_part_too_small(answer) and (is_again or self.upload.plan.last_in_put):
            self._go_by_parts()
            return self.session_lost(answer)
        if not self.upload.offset and is_again:
            return self._in_one_put(answer)
        return self.ask_later(answer)

    def _is_part_too_small(self, answer: RegistryResponse) -> bool:
        """Return whether this is ECR's refusal of a chunk after one that was too short."""
        return 0 < self._trail.last < ECR_MINIMUM and answer.says_session_lost

    def _go_by_parts(self) -> None:
        upload = self.upload
        before = upload.plan
        upload.plan = before.at_ecr()
        upload.limit_failed |= before.limit is not None and upload.plan.limit is None

    def _in_one_put(self, answer: RegistryResponse) -> None:
        """Send all in the PUT, as oras and regctl do: no PATCH is taken here, and nothing was acknowledged."""
        if self._plan_one_put(answer):
            self.upload.state = State.COMMITTING
        else:
            self.refused(answer)

    def _plan_one_put(self, answer: RegistryResponse) -> bool:
        upload = self.upload
        self._patch_refused = str(answer)
        if self._put_refused:  # in this upload: what an earlier one has learned may not be true any more
            upload.trouble = f"{answer} to a PATCH, {self._put_refused} to a PUT of all of it"
            return False
        upload.plan, upload.learned_whole = upload.plan.in_one_put(), WholePut.ONLY
        return True

    def too_large(self, answer: RegistryResponse) -> None:
        """Send shorter chunks from the offset that the status reports; fail if any registry takes them."""
        upload = self.upload
        if upload.plan.single:
            self._put_refused = str(answer)
            upload.learned_whole = WholePut.SMALL if upload.plan.whole is WholePut.ONLY else None
        if upload.plan.is_equal and upload.offset:  # R2: what comes after chunks of one size has that size
            smaller = upload.plan.shrunk(upload.attempted - upload.offset)
            upload.plan = smaller or upload.plan
            return self.session_lost(answer) if smaller is not None else self.refused(answer)
        if not self._shrink():
            return self.refused(answer)
        upload.state = State.UNCERTAIN
        return None

    def _shrink(self) -> bool:
        upload = self.upload
        if upload.plan.is_equal and upload.offset:
            return False
        smaller = upload.plan.shrunk(upload.attempted - upload.offset)
        if smaller is not None:
            upload.plan, upload.limit_holds = smaller, False
        return smaller is not None

    # ── GET of the session ────────────────────────────────────────────────────────────────────────

    def ask(self, answer: RegistryResponse) -> None:
        """Ask for the status at once: the chunk was refused for its offset."""
        upload = self.upload
        before = upload.location
        self._move_session(answer)
        self._trail.is_stale = upload.location != before
        self._suspect_size, self._refused_at = True, answer.range_end
        self._trail.named = named_in_refusal(
            answer.diagnosis.text, above=upload.offset, most=upload.blob.size, refused=upload.attempted
        )
        upload.state = State.UNCERTAIN

    def _reconciled(self, answer: RegistryResponse) -> None:
        """Continue from the offset that the status reports, checked against what was sent and acknowledged."""
        upload = self.upload
        self._move_session(answer)
        if not (upload.plan.is_equal and upload.offset):  # R2 names them again; chunks that have begun stay as they are
            upload.plan = upload.plan.bounded(answer.minimum_chunk, answer.maximum_chunk)
        # An earlier status may have been too low: bytes sent by then may be there.
        self._trail.reach = furthest = max(upload.attempted, self._trail.reach)
        offset = reconciled(upload.offset, furthest, self._weighed(answer.range_end))
        if offset is None or offset > upload.blob.size:
            upload.trouble = (
                f"the registry's upload has {(answer.range_end or 0) + 1} bytes, we sent {upload.attempted}"
            )
            return self.session_lost(answer)
        self._learn(offset)
        is_suspect = offset == upload.offset and self._suspect_size
        elsewhere = self._elsewhere() if is_suspect else None
        if elsewhere is not None:
            offset = elsewhere
        elif is_suspect:
            if offset == self._trail.one_less:  # the status was right
                offset, self._trail.one_less = offset + 1, None
            if self._trail.is_stuck or not self._shrink():
                if self._insisted:
                    # The offset may be wrong after all: distribution reports no byte and one byte alike.
                    return self.session_lost(answer) if offset or not upload.restarts else self.refused(answer)
                self._insisted = True  # both sides agree on the offset: send the chunk once more
                if not self._pause(answer):
                    return None
        elif offset > upload.offset:  # some of it was taken: another place to be right or wrong about
            self._trail.elsewhere = self._trail.one_less = None
        if offset < upload.offset and not is_suspect and not self._pause(answer):
            return None
        self._move_offset(offset)
        self._heed_cuts()
        upload.state = State.COMMITTING if upload.plan.single or offset == upload.blob.size else State.OPEN
        return None

    def _weighed(self, told: int | None) -> int | None:
        """Return the last byte that a status reports, if that can be an offset."""
        if told is None:
            return None
        if self._refused_at is not None and told == self._refused_at + 1:
            return self._refused_at  # Quay, Gitea: the refusal had the end right, the status has it one too high
        if is_end_of_first_chunk(self.upload.offset, told + 1, first=self._trail.first):
            self._trail.is_stuck = True
            return None
        return told - 1 if self._status_is_high and told else told

    def _elsewhere(self) -> int | None:
        """Return another offset to try for the refused chunk; each is tried once."""
        upload = self.upload
        trail, first_time = self._trail, self._trail.elsewhere is None
        if trail.is_stale and trail.readdressed != upload.offset:  # Quay's status does not say where it continues
            trail.readdressed = upload.offset
            return upload.offset
        # After one chunk the end of the first is the offset, or ECR's word for any.
        if first_time and (trail.is_stuck or upload.offset == trail.first > 0):
            places = (trail.named, trail.unanswered if trail.is_stuck else None)
            trail.elsewhere = [place for place in places if place is not None and place > upload.offset]
        elif first_time and upload.offset > trail.acknowledged:  # Quay, Gitea: a status's word, which is one too high
            trail.one_less = upload.offset - 1
            trail.elsewhere = [trail.one_less]
        elif first_time:
            trail.elsewhere = []
        return trail.elsewhere.pop(0) if trail.elsewhere else None


def _is_ecrs(answer: RegistryResponse) -> bool:
    """Return whether a PATCH was answered with 201, as ECR does."""
    return answer.kind is Kind.CREATED


def _is_about_method(answer: RegistryResponse) -> bool:
    """Return whether the PATCH is refused and not the upload: by a firewall's page, or an error that says so."""
    codes = answer.diagnosis.codes
    return not codes or "UNSUPPORTED" in codes or answer.status in (405, 501)
