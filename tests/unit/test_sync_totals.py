"""What is to be done after a sync in which several tags have failed."""

from __future__ import annotations

import pytest

from registry_push.errors import ConnectionLost, Denied, PlanOutdated, RegistryPushError, SomeFailed
from registry_push.events import Action, TagSettled
from registry_push.verbs.sync.totals import Totals, error_of


@pytest.mark.parametrize(
    ("errors", "dry_run", "said"),
    [
        ([PlanOutdated("moved"), PlanOutdated("moved")], False, "write the plan anew"),
        ([ConnectionLost("gone"), ConnectionLost("gone")], False, "wait, and run the same command again"),
        ([ConnectionLost("gone"), ConnectionLost("gone")], True, "mend what is named above"),
        ([ConnectionLost("gone"), Denied("no")], False, "mend what is named above, and run the same command again"),
    ],
)
def test_the_next_step_is_that_of_all_failures(errors: list[RegistryPushError], dry_run: bool, said: str) -> None:
    settled = [TagSettled(1, f"a/{n}:v1", None, Action.FAILED, "", error=error) for n, error in enumerate(errors)]
    totals = Totals()
    for each in settled:
        totals.add(each)
    error = error_of(settled, totals, stopped=False, dry_run=dry_run)
    assert isinstance(error, SomeFailed) and error.hint is not None
    assert said in str(error.hint)
