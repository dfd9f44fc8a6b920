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
    wrong, kills = sum(len(each.wrong) for each in runs), sum(each.kills for each in runs)
    return (
        f"| {kind} | {stop} | {len(runs)} | {sum(each.well for each in runs)} | {wrong} | {kills} "
        f"| {statistics.median(ratios):.3f} | {max(ratios):.3f} | {_bound(runs)} |"
    )


def _bound(runs: Sequence[Run]) -> str:
    if not runs[0].case.bounded:
        return f"sessions lost: {sum(each.lost for each in runs)}, each said"
    kept = sum(each.kept for each in runs)
    if kept == len(runs):
        return f"{kept}"
    return f"{kept}; {sum(each.kept_for_each for each in runs)} with a chunk for each blob under way"
