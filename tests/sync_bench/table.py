"""What was measured, as Markdown: medians, and ratios that are computed from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from statistics import median

from .runs import Result
from .syncers import US


def markdown(results: Sequence[Result]) -> str:
    """All tables; who has no rounds is left out."""
    texts: list[str] = []
    for _, group in groupby((each for each in results if each.rounds), key=lambda each: each.scenario.name):
        among = [*group]
        scenario = among[0].scenario
        content = scenario.content
        texts += [
            f"**{scenario.name}**: {scenario.says} → {among[0].registry}. "
            f"Distinct blobs: {content.distinct:,} bytes; each repository for itself: {content.named:,}.",
            "",
            *_table(among),
            "",
        ]
    return "\n".join(texts)


def _table(results: Sequence[Result]) -> Iterator[str]:
    walls = {each.syncer.name: median(synced.sample.wall for synced in each.rounds) for each in results}
    fastest = min((walls[each.syncer.name] for each in results if each.syncer.is_peer), default=None)
    yield _cells(
        "client", "wall s (least)", "CPU s", "peak MB", "bytes from the source", "bytes to the target",
        "÷ distinct (from, to)", "wall ÷ fastest peer", f"{US} ÷ this",
    )  # fmt: skip
    yield _cells("---", *["---:"] * 8)
    for each in results:
        wall, distinct = walls[each.syncer.name], each.scenario.content.distinct
        down, up = (int(median(counts)) for counts in zip(*((it.down, it.up) for it in each.rounds), strict=True))
        yield _cells(
            f"**{US}**" if each.syncer.name == US else each.syncer.name,
            f"{wall:.2f} ({min(synced.sample.wall for synced in each.rounds):.2f})",
            f"{median(synced.sample.cpu for synced in each.rounds):.2f}",
            f"{median(synced.sample.peak for synced in each.rounds) / 1e6:.0f}",
            f"{down:,}",
            f"{up:,}",
            "–" if each.scenario.same else f"{down / distinct:.4f}, {up / distinct:.4f}",
            f"{wall / fastest:.2f}" if fastest else "–",
            f"{walls[US] / wall:.2f}" if US in walls else "–",
        )


def _cells(*texts: str) -> str:
    return f"| {' | '.join(texts)} |"
