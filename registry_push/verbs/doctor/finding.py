"""`Finding`: the result of one check. Pure."""

from __future__ import annotations

from enum import Enum
from typing import Final

from msgspec import Struct

from ...errors import RegistryPushError, TimedOut, Unavailable, printable, redacted

_UNAVAILABLE: Final = 6
_SEE_THERE: Final = "see whether the address and the port are the registry's, and ask who runs it whether it is up"


class State(Enum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"
    CRASHED = "crashed"


class Finding(Struct, frozen=True):
    """What a check has found, what shows it, and the next step.

    `error` is the one behind a failure, and `exit_code` its code; `needs` the failed check that a skipped one needs.
    """

    state: State
    summary: str
    evidence: str = ""
    fix: str | None = None
    exit_code: int = 0
    error: RegistryPushError | None = None
    needs: str | None = None
    blocks: bool = False  # whether checks that need this one are not done

    @property
    def code(self) -> str | None:
        """The name of the error behind a failure."""
        unheard = TimedOut if self.state is State.FAIL else None
        kind = type(self.error) if self.error is not None else unheard
        return kind.__name__ if kind is not None else None


def ok(summary: str, evidence: str = "") -> Finding:
    """Return that all is well."""
    return Finding(State.OK, printable(summary), printable(redacted(evidence)))


def warn(summary: str, fix: str | None, evidence: str = "") -> Finding:
    """Return what does not stop a push but should be mended."""
    return Finding(State.WARN, printable(summary), printable(redacted(evidence)), fix)


def skipped(why: str) -> Finding:
    """Return that the check has no subject here."""
    return Finding(State.SKIPPED, f"skipped ({why})")


def kept_back(needs: str) -> Finding:
    """Return that the check was not done, since the check `needs` failed."""
    return Finding(State.SKIPPED, f"skipped (needs {needs})", needs=needs)


def failed(error: RegistryPushError, evidence: str = "") -> Finding:
    """Return what stops a push: what the push itself would say."""
    # To run it again, as a push advises where it knows nothing better, mends nothing here.
    fix = _SEE_THERE if error.hint == Unavailable.default_hint else error.hint
    return Finding(State.FAIL, error.message, printable(redacted(evidence)), fix, error.exit_code, error)


class WaitsFor(Struct, frozen=True):
    """What a check waits for, as the end of "no answer from", and what to do if it is slow."""

    whom: str
    fix: str


def slow(seconds: float, *, stops: bool, waits_for: WaitsFor) -> Finding:
    """Return that the check was given up after `seconds`; a push waits longer, and goes on unless that `stops` it."""
    state, code = (State.FAIL, _UNAVAILABLE) if stops else (State.WARN, 0)
    summary = f"no answer from {waits_for.whom} in {seconds:.0f} s"
    return Finding(state, summary, "", waits_for.fix, code, blocks=True)


# The checks before it have used up the time for all.
OUT_OF_TIME: Final = Finding(
    State.WARN, "no time was left for it", "", "run doctor again, or this check alone: --only ID", blocks=True
)


def crashed(error: Exception) -> Finding:
    """Return that the check itself is at fault."""
    words = printable(redacted(f"{type(error).__name__}: {error}"), limit=200)
    return Finding(State.CRASHED, "this check failed itself", words, "please report it, with --report", 1)
