"""`ChunkSteps`: what answers to chunks, to their status and to the closing PUT do to an upload. Pure.

Registries differ most here (protocol.md, 6). What one of them does is weighed in `offsets.py`; what it has shown of
itself changes the plan, and after a good end the driver remembers it for the host.
"""

from __future__ import annotations

from typing import Final

from ...errors import Refused, RemoteMismatch
from ...events import Placement
from ..cut_behaviour import CutBehaviour
from ..location import resolve
from ..redirects import MOST_HOPS, SENT_TWICE, not_followed
from ..response import Kind, RegistryResponse
from .chunks import ECR_MINIMUM, WholePut
from .offsets import acknowledged, is_end_of_first_chunk, is_stuck_at_first_chunk, named_in_refusal, reconciled
from .steps import UploadSteps
from .transitions import State

# How often the same answer has to come before it is the registry's way, and not a passing trouble.
_TWICE: Final = 2
# Cuts of one PUT after which its line counts as one that keeps breaking.
_BREAKING: Final = 2


class ChunkSteps(UploadSteps):
    """The steps of chunks; those of sessions and commits are inherited."""

    learned_whole: WholePut | None = None
    """What goes in one PUT here, if this upload has shown that; it counts if the upload ends well."""
    limit_failed = False
    """Whether what was known as the most that the host takes was none."""
    limit_holds = True
    """Whether something has got through since the last time that a limit was found."""
    _redirect: str | None = None  # where the registry has sent the last request on to
    _hops = 0
    _redirects = False  # such a thing has happened: bodies wait to be asked for
    _put_cuts = 0  # how often the line broke in the PUT of all
    _put_refused = ""  # how the registry refused that
    _patch_refused = ""  # how it refused a PATCH of whatever length
    _patches_missing = 0  # how often a first chunk was answered 404
    _status_is_high = False  # Quay, Gitea: one byte too many

    @property
    def is_done(self) -> bool:
        """Whether the blob is there."""
        return self.state is State.DONE

    @property
    def has_learned(self) -> bool:
        """Whether there may be something to remember for the host."""
        is_plain = self.kept is CutBehaviour.UNKNOWN and self.ollama is None and self.plan.limit is None
        return not is_plain or self.limit_failed or self.learned_whole is not None or self.plan.last_in_put

    def learned_limit(self, known: int | None) -> int | None:
        """The most bytes that the host takes in one chunk, if `known` is what was known of that before.

        One that nothing has got through under is none, nor one under which the registry refused a chunk for good.
        """
        if self.limit_failed or isinstance(self.failure, Refused) or (self.failure and self._trail.refusals):
            return None
        limits = [limit for limit in (known, self.plan.limit) if limit]
        return min(limits, default=None) if self.limit_holds else known

    # ── PATCH ─────────────────────────────────────────────────────────────────────────────────────

    def _acknowledged(self, answer: RegistryResponse) -> None:
        self._move_session(answer)
        start, told = self.offset, (answer.range_end or 0) + 1
        offset = acknowledged(start, self._attempted, answer.range_end)
        if offset is None:
            self.trouble = f"the registry's upload has {told} bytes, we sent {self._attempted}"
            self._is_short = True
            return self._ask_later(answer)
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

    def _chunk_refused(self, answer: RegistryResponse) -> None:
        if answer.keeps_body:
            return self._redirected(answer)
        if self.offset or answer.is_redirect or not _is_about_method(answer):
            return self._refused(answer)
        return self._in_one_put(answer)

    def _chunk_missing(self, answer: RegistryResponse) -> None:
        if self.offset or answer.says_session_lost:
            return self._gone(answer)
        self._patches_missing += 1
        # In a second session as well: it is the method that is not found, unless a PUT is not found either.
        if self._patches_missing >= _TWICE and not self._put_refused:
            self._plan_one_put(answer)
        return self._gone(answer)

    def _chunk_invalid(self, answer: RegistryResponse) -> None:
        """distribution 3: a stale PATCH can be 400."""
        self._trail.refusals += 1
        is_again = self._trail.refusals >= _TWICE
        if self.offset and self._is_part_too_small(answer) and (is_again or self.plan.last_in_put):
            self._go_by_parts()
            return self._gone(answer)
        if not self.offset and is_again:
            return self._in_one_put(answer)
        return self._ask_later(answer)

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
            self._refused(answer)

    def _plan_one_put(self, answer: RegistryResponse) -> bool:
        self._patch_refused = str(answer)
        if self._put_refused or self.plan.whole is WholePut.NEVER:
            self.trouble = f"{answer} to a PATCH, {self._put_refused or 'and before that'} to a PUT of all of it"
            return False
        self.plan, self.learned_whole = self.plan.in_one_put(), WholePut.ONLY
        return True

    def _too_large(self, answer: RegistryResponse) -> None:
        if self.plan.single:
            self._put_refused = str(answer)
            self.learned_whole = WholePut.SMALL if self.plan.whole is WholePut.ONLY else None
        if self.plan.is_equal and self.offset:  # R2: what comes after chunks of one size has that size
            smaller = self.plan.shrunk(self._attempted - self.offset)
            self.plan = smaller or self.plan
            return self._gone(answer) if smaller is not None else self._refused(answer)
        if not self._shrink():
            return self._refused(answer)
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

    def _ask(self, answer: RegistryResponse) -> None:
        before = self._location
        self._move_session(answer)
        self._trail.is_stale = self._location != before
        self._suspect_size, self._refused_at = True, answer.range_end
        self._trail.named = named_in_refusal(
            answer.diagnosis.text, above=self.offset, most=self._blob.size, refused=self._attempted
        )
        self.state = State.UNCERTAIN

    def _reconciled(self, answer: RegistryResponse) -> None:
        self._move_session(answer)
        if not (self.plan.is_equal and self.offset):  # R2 names them again; chunks that have begun stay as they are
            self.plan = self.plan.bounded(answer.minimum_chunk, answer.maximum_chunk)
        # A status may have been too low before: what had been sent by then is no other's.
        self._trail.reach = furthest = max(self._attempted, self._trail.reach)
        offset = reconciled(self.offset, furthest, self._weighed(answer.range_end))
        if offset is None or offset > self._blob.size:
            self.trouble = f"the registry's upload has {(answer.range_end or 0) + 1} bytes, we sent {self._attempted}"
            return self._gone(answer)
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
                    return self._gone(answer) if offset or not self.restarts else self._refused(answer)
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

    def _opened(self, answer: RegistryResponse) -> None:
        self._heed_cuts()
        super()._opened(answer)

    def _heed_cuts(self) -> None:
        """Plan chunks after all if the line keeps breaking in one PUT."""
        if self.plan.whole is WholePut.FIRST and self._put_cuts >= _BREAKING:
            self.plan = self.plan.in_chunks(WholePut.SMALL)

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

    # ── PUT ───────────────────────────────────────────────────────────────────────────────────────

    def _commit_refused(self, answer: RegistryResponse) -> None:
        return self._redirected(answer) if answer.keeps_body else self._refused(answer)

    def _commit_invalid(self, answer: RegistryResponse) -> None:
        is_empty = self._attempted == self.offset
        if is_empty and self._trail.pieces >= _TWICE and answer.says_session_lost:  # ECR: the last belongs in the PUT
            self._go_by_parts()
        self._digest_refused(answer)

    def _session_unknown(self, answer: RegistryResponse) -> None:
        """Artifactory before 6 knows no PUT of all; if that is it, and not a lost session, it takes chunks."""
        is_whole = self.plan.single and not self.offset and self._attempted > 0 and self.ollama is None
        if is_whole and not answer.says_session_lost:
            self._put_refused = str(answer)
            if self._patches_missing:
                self.plan, self.learned_whole = self.plan.in_chunks(WholePut.SMALL), None
                return self._gone(answer)
            if self._patch_refused:
                self.trouble = f"{self._patch_refused} to a PATCH, {answer} to a PUT of all of it"
                return self._refused(answer)
            self.plan, self.learned_whole = self.plan.in_chunks(WholePut.NEVER), WholePut.NEVER
        return super()._session_unknown(answer)

    def _committed(self, answer: RegistryResponse) -> None:
        pieces = self._trail.pieces + (self._attempted > self.offset)
        if pieces < _TWICE or self.ollama is not None or answer.digest not in (None, self._blob.digest):
            return super()._committed(answer)
        self._leave_beside()
        self.state = State.MEASURING
        return None

    def _measured(self, answer: RegistryResponse) -> None:
        if answer.status == 200 and answer.length and answer.length != self._blob.size:
            return self._fail(
                RemoteMismatch(
                    f"the registry made {answer.length} bytes of the chunks of {self._blob.digest}, "
                    f"which has {self._blob.size}",
                    hint="send it whole: --one-put; if it ends so again, tell who runs the registry",
                    url=self._endpoints.blob,
                )
            )
        return self._believed(answer)

    def _measure_again(self, answer: RegistryResponse) -> None:
        pause = self._budget.spend(answer.retry_after)
        if pause is None:
            return self._believed(answer)
        self._after = pause
        return None

    def _believed(self, _: RegistryResponse) -> None:
        self._done(RegistryResponse(201, self._endpoints.blob), Placement.UPLOADED)


def _is_ecrs(answer: RegistryResponse) -> bool:
    """ECR answers a PATCH with 201."""
    return answer.kind is Kind.CREATED


def _is_about_method(answer: RegistryResponse) -> bool:
    """Whether it is the PATCH that is refused and not the upload: a firewall's page, or a word that says so."""
    codes = answer.diagnosis.codes
    return not codes or "UNSUPPORTED" in codes or answer.status in (405, 501)
