"""The tables of runs, as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from . import air_gap, copies
from .kills import Run

_HEAD = (
    "| registry | stopped by | runs | ended well | wrong commits | kills | sent / size: median | most | bound kept |\n"
    "|---|---|--:|--:|--:|--:|--:|--:|---|"
)

_COPIES_HEAD = (
    "| from docker-registry 2.8 | stopped by | runs | ended well | wrong at the target | kills "
    "| received / size: median | most | sent / size: median | most | bound kept |\n"
    "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|"
)

_AIR_GAP_HEAD = (
    "| stopped | by | runs | ended well | wrong at the target | kills | at steps "
    "| written / whole: median | most | most blobs again | bound kept |\n"
    "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|"
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
    lost = f"sessions lost: {sum(each.lost for each in runs)}, each said"
    bound = _bound(runs) if runs[0].case.bounded else lost
    return (
        f"| {kind} | {stop} | {len(runs)} | {sum(each.well for each in runs)} | {wrong} | {kills} "
        f"| {statistics.median(ratios):.3f} | {max(ratios):.3f} | {bound} |"
    )


def copies_table(runs: Sequence[copies.Run]) -> str:
    """As `table`, for pulls and copies."""
    rows: dict[tuple[str, str], list[copies.Run]] = {}
    for each in runs:
        rows.setdefault((each.case.way.value, each.case.stop.value), []).append(each)
    return "\n".join([_COPIES_HEAD, *(_copies_row(*key, of) for key, of in rows.items())])


def _copies_row(way: str, stop: str, runs: Sequence[copies.Run]) -> str:
    received, sent = [each.received / each.size for each in runs], [each.sent / each.size for each in runs]
    wrong, kills = sum(len(each.wrong) for each in runs), sum(each.kills for each in runs)
    told = f"{statistics.median(sent):.3f} | {max(sent):.3f}" if any(sent) else " | "
    bound = _bound(runs) if runs[0].case.bounded else "none: a killed upload is lost"
    return (
        f"| {way} | {stop} | {len(runs)} | {sum(each.well for each in runs)} | {wrong} | {kills} "
        f"| {statistics.median(received):.3f} | {max(received):.3f} | {told} | {bound} |"
    )


def air_gap_table(runs: Sequence[air_gap.Run]) -> str:
    """As `table`, for exports, imports and repairs."""
    rows: dict[tuple[str, str], list[air_gap.Run]] = {}
    for each in runs:
        rows.setdefault((each.case.way.value, each.case.stop.value), []).append(each)
    return "\n".join([_AIR_GAP_HEAD, *(_air_gap_row(*key, of) for key, of in rows.items())])


def _air_gap_row(way: str, stop: str, runs: Sequence[air_gap.Run]) -> str:
    ratios = [each.written / each.whole for each in runs]
    wrong, kills = sum(len(each.wrong) for each in runs), sum(each.kills for each in runs)
    steps = sum(at.startswith("step") for each in runs for at in each.at)
    bound = f"{sum(each.kept for each in runs)}" if runs[0].case.bounded else "none: a killed upload is lost"
    again = max(each.again / each.largest for each in runs)
    return (
        f"| {way} | {stop} | {len(runs)} | {sum(each.well for each in runs)} | {wrong} | {kills} | {steps} "
        f"| {statistics.median(ratios):.3f} | {max(ratios):.3f} | {again:.3f} | {bound} |"
    )


def _bound(runs: Sequence[Run] | Sequence[copies.Run]) -> str:
    kept = sum(each.kept for each in runs)
    if kept == len(runs):
        return f"{kept}"
    return f"{kept}; {sum(each.kept_for_each for each in runs)} with a chunk for each blob under way"
