"""`ChunkSteps`: what the answers to a chunk, and to the question for its status, do to an upload. Pure.

Registries differ most here. What one of them says is judged in `offsets.py`; what it has shown of itself changes the
plan, and after a good end the driver remembers it for the host.
"""

from __future__ import annotations

from typing import Final

from ..location import resolve
from ..redirects import MOST_HOPS, SENT_TWICE, not_followed
from ..response import Kind, RegistryResponse
from .chunks import ECR_MINIMUM, WholePut
from .offsets import acknowledged, is_end_of_first_chunk, is_stuck_at_first_chunk, named_in_refusal, reconciled
from .opening_steps import OpeningSteps
from .states import State

# How often the same answer has to come before it is the registry's way, and not a passing trouble.
TWICE: Final = 2


class ChunkSteps(OpeningSteps):
    """The steps of PATCH and of GET."""

    # ── PATCH ─────────────────────────────────────────────────────────────────────────────────────

    def close_with_last(self, _: RegistryResponse) -> None:
        """Close: ECR wants the last chunk in the PUT."""
        self.state = State.COMMITTING

    def acknowledged(self, answer: RegistryResponse) -> None:
        """Go on after the chunk, or close. Ask for the status if the answer names an offset that can't be."""
        self._move_session(answer)
        start, told = self.offset, (answer.range_end or 0) + 1
        offset = acknowledged(start, self._attempted, answer.range_end)
        if offset is None:
            self.trouble = f"the registry's upload has {told} bytes, we sent {self._attempted}"
            self._is_short = True
            return self.ask_later(answer)
        trail = self._trail
        trail.is_stuck |= is_stuck_at_first_chunk(start, self._attempted, told, first=trail.first)
        self._status_is_high |= trail.one_less == start
        trail.took(start, offset)
        self._patches_missing, self.limit_holds = 0, True
        if trail.is_stuck or _is_ecrs(answer):
            self._go_by_parts()
        self._move_offset(offset)
        if offset == self._blob.size:
            self.state = State.COMMITTING
        return None

    def chunk_refused(self, answer: RegistryResponse) -> None:
        """Follow a redirect; send all in one PUT if it is the method that is refused; else fail."""
        if answer.keeps_body:
            return self._redirected(answer)
        if self.offset or answer.is_redirect or not _is_about_method(answer):
            return self.refused(answer)
        return self._in_one_put(answer)

    def chunk_missing(self, answer: RegistryResponse) -> None:
        """Begin anew, in one PUT if first chunks are not found again and again: then it is PATCH that is unknown."""
        if self.offset or answer.says_session_lost:
            return self.gone(answer)
        self._patches_missing += 1
        # In a second session as well: it is the method that is not found, unless a PUT is not found either.
        if self._patches_missing >= TWICE and not self._put_refused:
            self._plan_one_put(answer)
        return self.gone(answer)

    def chunk_invalid(self, answer: RegistryResponse) -> None:
        """Ask for the status: distribution 3 answers a stale PATCH with 400."""
        self._trail.refusals += 1
        is_again = self._trail.refusals >= TWICE
        if self.offset and self._is_part_too_small(answer) and (is_again or self.plan.last_in_put):
            self._go_by_parts()
            return self.gone(answer)
        if not self.offset and is_again:
            return self._in_one_put(answer)
        return self.ask_later(answer)

    def _is_part_too_small(self, answer: RegistryResponse) -> bool:
        """ECR, of a chunk after one that was shorter than it takes."""
        return 0 < self._trail.last < ECR_MINIMUM and answer.says_session_lost

    def _go_by_parts(self) -> None:
        before = self.plan
        self.plan = before.at_ecr()
        self.limit_failed |= before.limit is not None and self.plan.limit is None

    def _in_one_put(self, answer: RegistryResponse) -> None:
        """No PATCH is taken here, and nothing was acknowledged: all in the PUT, as oras and regctl push."""
        if self._plan_one_put(answer):
            self.state = State.COMMITTING
        else:
            self.refused(answer)

    def _plan_one_put(self, answer: RegistryResponse) -> bool:
        self._patch_refused = str(answer)
        if self._put_refused or self.plan.whole is WholePut.NEVER:
            self.trouble = f"{answer} to a PATCH, {self._put_refused or 'and before that'} to a PUT of all of it"
            return False
        self.plan, self.learned_whole = self.plan.in_one_put(), WholePut.ONLY
        return True

    def too_large(self, answer: RegistryResponse) -> None:
        """Send less at once, from where the status says; fail if it is no more than any registry takes."""
        if self.plan.single:
            self._put_refused = str(answer)
            self.learned_whole = WholePut.SMALL if self.plan.whole is WholePut.ONLY else None
        if self.plan.is_equal and self.offset:  # R2: what comes after chunks of one size has that size
            smaller = self.plan.shrunk(self._attempted - self.offset)
            self.plan = smaller or self.plan
            return self.gone(answer) if smaller is not None else self.refused(answer)
        if not self._shrink():
            return self.refused(answer)
        self.state = State.UNCERTAIN
        return None

    def _shrink(self) -> bool:
        if self.plan.is_equal and self.offset:
            return False
        smaller = self.plan.shrunk(self._attempted - self.offset)
        if smaller is not None:
            self.plan, self.limit_holds = smaller, False
        return smaller is not None

    # ── redirects of a body ───────────────────────────────────────────────────────────────────────

    def _redirected(self, answer: RegistryResponse) -> None:
        """Send the request on to where the registry leads, with its body again if little of that has gone."""
        length, self._hops = self._attempted - self.offset, self._hops + 1
        if (self._sent >= length > SENT_TWICE) or self._hops > MOST_HOPS:
            return self._fail(not_followed(answer, f"{self._blob.digest} was refused"))
        self._redirect, self._redirects = resolve(answer.url, answer.location or ""), True
        return None

    # ── GET of the session ────────────────────────────────────────────────────────────────────────

    def ask(self, answer: RegistryResponse) -> None:
        """Ask for the status at once: the chunk was refused for its offset."""
        before = self._location
        self._move_session(answer)
        self._trail.is_stale = self._location != before
        self._suspect_size, self._refused_at = True, answer.range_end
        self._trail.named = named_in_refusal(
            answer.diagnosis.text, above=self.offset, most=self._blob.size, refused=self._attempted
        )
        self.state = State.UNCERTAIN

    def _reconciled(self, answer: RegistryResponse) -> None:
        """Go on from where the status says, weighed against what was sent and acknowledged."""
        self._move_session(answer)
        if not (self.plan.is_equal and self.offset):  # R2 names them again; chunks that have begun stay as they are
            self.plan = self.plan.bounded(answer.minimum_chunk, answer.maximum_chunk)
        # A status may have been too low before: what had been sent by then is ours.
        self._trail.reach = furthest = max(self._attempted, self._trail.reach)
        offset = reconciled(self.offset, furthest, self._weighed(answer.range_end))
        if offset is None or offset > self._blob.size:
            self.trouble = f"the registry's upload has {(answer.range_end or 0) + 1} bytes, we sent {self._attempted}"
            return self.gone(answer)
        self._learn(offset)
        is_suspect = offset == self.offset and self._suspect_size
        elsewhere = self._elsewhere() if is_suspect else None
        if elsewhere is not None:
            offset = elsewhere
        elif is_suspect:
            if offset == self._trail.one_less:  # the status was right
                offset, self._trail.one_less = offset + 1, None
            if self._trail.is_stuck or not self._shrink():
                if self._insisted:
                    # The offset may be wrong after all: distribution reads none and one byte alike.
                    return self.gone(answer) if offset or not self.restarts else self.refused(answer)
                self._insisted = True  # it says that it has what we think it has: once more, then
                if not self._pause(answer):
                    return None
        elif offset > self.offset:  # some of it was taken: another place to be right or wrong about
            self._trail.elsewhere = self._trail.one_less = None
        if offset < self.offset and not is_suspect and not self._pause(answer):
            return None
        self._move_offset(offset)
        self._heed_cuts()
        self.state = State.COMMITTING if self.plan.single or offset == self._blob.size else State.OPEN
        return None

    def _weighed(self, told: int | None) -> int | None:
        """The last byte that a status names, as far as that is one."""
        if told is None:
            return None
        if self._refused_at is not None and told == self._refused_at + 1:
            return self._refused_at  # Quay, Gitea: the refusal had the end right, the status has it one too high
        if is_end_of_first_chunk(self.offset, told + 1, first=self._trail.first):
            self._trail.is_stuck = True
            return None
        return told - 1 if self._status_is_high and told else told

    def _elsewhere(self) -> int | None:
        """Where else the chunk may begin that was refused for its offset; each place is tried once."""
        trail, first_time = self._trail, self._trail.elsewhere is None
        if trail.is_stale and trail.readdressed != self.offset:  # Quay's status does not say where it goes on
            trail.readdressed = self.offset
            return self.offset
        # After one chunk the end of the first is the offset, or ECR's word for any.
        if first_time and (trail.is_stuck or self.offset == trail.first > 0):
            places = (trail.named, trail.unanswered if trail.is_stuck else None)
            trail.elsewhere = [place for place in places if place is not None and place > self.offset]
        elif first_time and self.offset > trail.acknowledged:  # Quay, Gitea: a status's word, which is one too high
            trail.one_less = self.offset - 1
            trail.elsewhere = [trail.one_less]
        elif first_time:
            trail.elsewhere = []
        return trail.elsewhere.pop(0) if trail.elsewhere else None


def _is_ecrs(answer: RegistryResponse) -> bool:
    """ECR answers a PATCH with 201."""
    return answer.kind is Kind.CREATED


def _is_about_method(answer: RegistryResponse) -> bool:
    """Whether it is the PATCH that is refused and not the upload: a firewall's page, or a word that says so."""
    codes = answer.diagnosis.codes
    return not codes or "UNSUPPORTED" in codes or answer.status in (405, 501)
