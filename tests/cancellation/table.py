"""The table of runs, as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from .kills import Run

_HEAD = (
    "| registry | stopped by | runs | ended well | wrong commits | kills | sent / size: median | most | bound kept |\n"
    "|---|---|--:|--:|--:|--:|--:|--:|---|"
)


def table(runs: Sequence[Run]) -> str:
    """One row for each registry and signal, in the order of the runs."""
    rows: dict[tuple[str, str], list[Run]] = {}
    for each in runs:
        rows.setdefault((each.case.kind.value, each.case.stop.value), []).append(each)
    return "\n".join([_HEAD, *(_row(*key, of) for key, of in rows.items())])


def _row(kind: str, stop: str, runs: Sequence[Run]) -> str:
    ratios = [each.sent / each.size for each in runs]
    well = sum(each.ended and not each.faults and not each.wrong for each in runs)
    wrong = sum(len(each.wrong) for each in runs)
    kept = sum(each.kept for each in runs)
    bound = f"{kept} of {len(runs)}" if runs[0].case.bounded else f"loses sessions: {sum(e.lost for e in runs)}, said"
    return (
        f"| {kind} | {stop} | {len(runs)} | {well} | {wrong} | {sum(each.kills for each in runs)} "
        f"| {statistics.median(ratios):.3f} | {max(ratios):.3f} | {bound} |"
    )
