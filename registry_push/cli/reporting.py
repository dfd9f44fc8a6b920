"""The final report of a command that moves models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..events import as_json
from ..model import Reference
from .render import Verb, words
from .running import Outcome

if TYPE_CHECKING:
    from ..transfer.report import Report


def outcome_of(report: Report, verb: Verb, *, dry_run: bool, quiet: bool, hashed: bool = False) -> Outcome:
    """Return the report for people and for programs; for a dry run, with what it did not check.

    `hashed`: all content was read and hashed, also in a dry run.
    """
    fields: dict[str, object] = {"dry_run": dry_run, "models": [as_json(model) for model in report.models]}
    closing = [] if quiet else words.closing(report.models, verb)
    if not dry_run or report.error is not None:
        return Outcome(closing, fields, report.error)
    from ..transfer.dry_run import CONTENT, NOT_CHECKED, NOT_CHECKED_HERE

    known = CONTENT if hashed else ()
    goes_to_registry = any(isinstance(model.target, Reference) for model in report.models)
    unchecked = [each for each in (NOT_CHECKED if goes_to_registry else NOT_CHECKED_HERE) if each not in known]
    begin = f"This was a dry run: nothing was {verb.moved}. It did not check:"
    lines = [*closing, "", begin, *(f"- {each}" for each in unchecked)]
    fields["not_checked"] = list(unchecked)
    return Outcome([] if quiet else lines, fields, report.error)
