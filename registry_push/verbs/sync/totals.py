"""`SyncReport`: how a sync ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from msgspec import Struct, field

from ...errors import Interrupted, PlanOutdated, RegistryPushError, SomeFailed, Unavailable
from ...events import Action, TagSettled


class Totals(Struct):
    """Counts of settled tags by action, and what was sent, in a dry run: would be sent, in bytes."""

    actions: dict[Action, int] = field(default_factory=lambda: dict.fromkeys(Action, 0))
    bytes: int = 0
    sent: int = 0
    mounted: int = 0
    present: int = 0
    referrers: int = 0

    def add(self, event: TagSettled) -> None:
        """Count `event`."""
        self.actions[event.action] += 1
        self.bytes += event.bytes
        self.sent += event.blobs.sent
        self.mounted += event.blobs.mounted
        self.present += event.blobs.present
        self.referrers += event.referrers

    @property
    def changed(self) -> int:
        """Tags that are not at the target as they were before."""
        return self.actions[Action.COPIED] + self.actions[Action.DELETED]

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing to tell: nothing has changed, failed, or stayed against the plan."""
        return not self.changed and not self.actions[Action.FAILED] and not self.actions[Action.LEFT]

    @property
    def fields(self) -> dict[str, Any]:
        """The counts, as JSON has them."""
        blobs = {"sent": self.sent, "mounted": self.mounted, "present": self.present}
        counts = {action.value: count for action, count in self.actions.items()}
        return {**counts, "bytes": self.bytes, "blobs": blobs, "referrers": self.referrers}


class SyncReport(Struct, frozen=True):
    """How a run of `sync` ended. `settled` has an event for each tag, in the order of the plan.

    Of tags with nothing to do it has them only if they were asked for.
    """

    run: str
    started: str
    totals: Totals
    settled: tuple[TagSettled, ...] = ()
    error: RegistryPushError | None = None

    @property
    def failed(self) -> tuple[TagSettled, ...]:
        """The tags that are not at their target."""
        return tuple(each for each in self.settled if each.action is Action.FAILED)


# Names in a message; more are in the report.
_NAMED = 5


def error_of(
    settled: Iterable[TagSettled], totals: Totals, *, stopped: bool, dry_run: bool
) -> RegistryPushError | None:
    """Return the run's error; None if all went well."""
    failed = [each for each in settled if each.action is Action.FAILED]
    if stopped:
        done = totals.changed + totals.actions[Action.PRESENT] + totals.actions[Action.KEPT]
        return Interrupted(f"stopped: {done:,} {'tag is' if done == 1 else 'tags are'} as the plan says")
    if not failed:
        return None
    if len(failed) == 1 and sum(totals.actions.values()) - totals.actions[Action.SKIPPED] == 1:
        return failed[0].error
    failed = [each for each in failed if not isinstance(each.error, Interrupted)] or failed
    names = [each.source or str(each.target) for each in failed]
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    kinds = Counter(type(each.error).__name__ for each in failed)
    what = "1 tag" if len(failed) == 1 else f"{len(failed)} tags"
    causes = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    verb = "would fail" if dry_run else "failed"
    return SomeFailed(f"{what} {verb} ({causes}): {shown}", hint=_hint([each.error for each in failed], dry_run))


def _hint(errors: Collection[RegistryPushError | None], dry_run: bool) -> str:
    """Return the next step: of all of them, if they have one in common."""
    if all(isinstance(error, PlanOutdated) for error in errors):
        return PlanOutdated.default_hint
    if dry_run:
        return "mend what is named above"
    first = "wait" if all(isinstance(error, Unavailable) for error in errors) else "mend what is named above"
    return f"{first}, and run the same command again: what is there is not copied again"
