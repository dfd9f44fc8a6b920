"""Which tests hold against which row: the markers read, the outcomes gathered, the table judged and drawn."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

import pytest

from .rows import Row


class Verdict(Enum):
    """What the table says of a row."""

    HELD = "held"
    NOT_HELD = "NOT HELD"
    NO_TEST = "no test"
    AWAITED = "awaited"
    UNKNOWN = "no such row"


class Marked:
    """A pytest plugin that keeps which tests are marked for which row, and how they ended. Runs marked ones only."""

    def __init__(self) -> None:
        self.tests: dict[str, list[str]] = {}
        self.failed: set[str] = set()
        self.skipped: set[str] = set()

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Deselect what holds against no attack."""
        others = []
        for item in items:
            names = dict.fromkeys(name for marker in item.iter_markers("attack") for name in marker.args)
            for name in names:
                self.tests.setdefault(name, []).append(item.nodeid)
            if not names:
                others.append(item)
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in set(others)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what did not pass: a test that fails, errs or expects to fail holds nothing."""
        if report.failed or hasattr(report, "wasxfail"):
            self.failed.add(report.nodeid)
        elif report.skipped:
            self.skipped.add(report.nodeid)


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table with its tests, the parameters left out."""

    row: Row
    verdict: Verdict
    tests: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        return self.verdict in (Verdict.HELD, Verdict.AWAITED)


@dataclass(frozen=True, slots=True)
class Table:
    """All rows, in their order."""

    lines: tuple[Line, ...] = field(default=())

    @classmethod
    def of(
        cls,
        rows: Iterable[Row],
        tests: Mapping[str, Collection[str]],
        *,
        awaited: Collection[str],
        failed: Collection[str] = (),
        skipped: Collection[str] = (),
    ) -> Table:
        """Judge each row; `tests`, `failed` and `skipped` are node ids, a row whose tests were all skipped has none."""
        lines = []
        known = tuple(rows)
        for row in known:
            ran = [node for node in tests.get(row.name, ()) if node not in skipped]
            broken = [node for node in ran if node in failed]
            if not ran:
                verdict = Verdict.AWAITED if row.name in awaited else Verdict.NO_TEST
            elif broken or row.name in awaited:
                verdict = Verdict.NOT_HELD
            else:
                verdict = Verdict.HELD
            lines.append(Line(row, verdict, tuple(dict.fromkeys(map(_bare, ran))), tuple(broken)))
        lines.extend(
            Line(Row(name, "A marker names it."), Verdict.UNKNOWN, tuple(dict.fromkeys(map(_bare, tests[name]))))
            for name in sorted(set(tests) - {row.name for row in known})
        )
        return cls(tuple(lines))

    @property
    def is_good(self) -> bool:
        """Whether every row holds or is awaited."""
        return all(line.is_good for line in self.lines)

    def __str__(self) -> str:
        width = max(len(line.row.name) for line in self.lines)
        drawn = []
        for line in self.lines:
            drawn.append(f"{line.row.name:{width}}  {line.verdict.value:8}  {line.row.description}")
            drawn += [f"{'':{width}}            {test}" for test in line.tests]
            drawn += [f"{'':{width}}  failed    {test}" for test in line.failed]
            if line.verdict is Verdict.NOT_HELD and not line.failed:
                drawn.append(f"{'':{width}}            it has tests: take it out of AWAITED in tests/attacks/rows.py")
        counts = {verdict: sum(line.verdict is verdict for line in self.lines) for verdict in Verdict}
        drawn += ["", ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count)]
        return "\n".join(drawn)


def _bare(node: str) -> str:
    return node.partition("[")[0]
