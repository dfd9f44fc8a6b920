"""What a command ends with that has moved models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..events import as_json
from .running import Outcome

if TYPE_CHECKING:
    from ..transfer.copy import Report


def outcome_of(report: Report, *, dry_run: bool, quiet: bool) -> Outcome:
    """The report for people and for programs; after a dry run with what that has not checked."""
    fields: dict[str, object] = {"dry_run": dry_run, "models": [as_json(model) for model in report.models]}
    if not dry_run:
        return Outcome(fields=fields, error=report.error)
    from ..transfer.dry_run import NOT_CHECKED

    lines = ["", "This was a dry run: nothing was sent. It did not check:", *(f"- {each}" for each in NOT_CHECKED)]
    fields["not_checked"] = list(NOT_CHECKED)
    return Outcome([] if quiet else lines, fields, report.error)
