"""What was measured, as Markdown: medians and minima, and ratios that are computed from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median

from .clients import HASHLIB, US, YARDSTICKS
from .runs import Result
from .scenarios import LINE_RATE, ROUND_TRIP


@dataclass(frozen=True, slots=True)
class Row:
    """One client's figures in one table: seconds and bytes. A ratio is None where there is nothing to compare with."""

    client: str
    hashes: bool
    wall: float
    least: float
    cpu: float
    peak: int
    to_peer: float | None
    to_hashing: float | None
    round_trips: float


def rows(results: Sequence[Result]) -> list[Row]:
    """A row for each client; the results are those of one content at one registry."""
    walls = {each.client.name: median(sample.wall for sample in each.samples) for each in results}
    cpus = {each.client.name: median(sample.cpu for sample in each.samples) for each in results}
    peers = [walls[each.client.name] for each in results if each.client.is_peer and each.client.hashes]
    fastest, hashing = min(peers, default=None), cpus.get(HASHLIB)
    return [
        Row(
            name,
            each.client.hashes,
            walls[name],
            min(sample.wall for sample in each.samples),
            cpus[name],
            int(median(sample.peak for sample in each.samples)),
            walls[name] / fastest if fastest else None,
            cpus[name] / hashing if hashing else None,
            # What is beside the bytes' own time on the line.
            (walls[name] - each.shape.total / LINE_RATE) / ROUND_TRIP,
        )
        for each in results
        for name in [each.client.name]
    ]


def tables(results: Iterable[Result]) -> list[tuple[str, list[Result]]]:
    """The results of each table, with its title."""
    grouped = groupby(results, key=lambda each: (each.scenario.name, each.registry))
    return [
        (f"{among[0].scenario.says} → {among[0].registry}", among)
        for among in ([*group] for _, group in grouped)
    ]  # fmt: skip


def markdown(results: Iterable[Result]) -> str:
    """All tables."""
    lines: list[str] = []
    for title, among in tables(results):
        lines += [f"**{among[0].scenario.name}**: {title}", ""]
        lines += [*(_growth(among) if among[0].scenario.unit else _comparison(among)), ""]
    return "\n".join(lines)


def _comparison(results: Sequence[Result]) -> Iterator[str]:
    line = results[0].scenario.line
    yield _cells(
        "client", "hashes", "wall s (least)", "CPU s", "peak MB", "wall ÷ fastest verifying peer", "CPU ÷ hashing",
        *(["round trips beside the bytes"] if line else []),
    )  # fmt: skip
    yield _cells("---", "---", *["---:"] * (6 if line else 5))
    for row in rows(results):
        is_yardstick = row.client in YARDSTICKS
        yield _cells(
            f"**{row.client}**" if row.client == US else row.client,
            "–" if is_yardstick else "yes" if row.hashes else "no",
            f"{row.wall:.2f} ({row.least:.2f})",
            f"{row.cpu:.2f}",
            f"{row.peak / 1e6:.0f}",
            "–" if row.to_peer is None or is_yardstick else f"{row.to_peer:.2f}",
            "–" if row.to_hashing is None else f"{row.to_hashing:.2f}",
            *([f"{row.round_trips:.0f}"] if line else []),
        )


def _growth(results: Sequence[Result]) -> Iterator[str]:
    unit = results[0].scenario.unit
    yield _cells("client", f"{unit}s", "wall s", "CPU s", f"wall ms a {unit}", f"CPU ms a {unit}", "peak MB")
    yield _cells("---", *["---:"] * 6)
    for each in sorted(results, key=lambda each: each.client.name):
        units = each.scenario.units(each.shape)
        (row,) = rows([each])
        yield _cells(
            row.client, f"{units:,.6g}", f"{row.wall:.2f}", f"{row.cpu:.2f}",
            f"{row.wall / units * 1000:.3g}", f"{row.cpu / units * 1000:.3g}", f"{row.peak / 1e6:.0f}",
        )  # fmt: skip


def _cells(*texts: str) -> str:
    return f"| {' | '.join(texts)} |"
