"""Every attack has its row, every row its tests, and the table tells what does not hold."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from .rows import AWAITED, ROWS, Row
from .table import Marked, Table, Verdict

_ROOT = Path(__file__).parents[2]
_A, _B = Row("A", "The first."), Row("B", "The second.")


async def test_every_row_has_a_test_that_exists() -> None:
    """In a process of its own: pytest does not collect inside of itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.attacks", "--list"),
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()


def test_every_name_and_description_occurs_once() -> None:
    assert len({row.name for row in ROWS}) == len({row.description for row in ROWS}) == len(ROWS)
    assert all(row.description.endswith(".") and "issue" not in row.description for row in ROWS)
    assert {row.name for row in ROWS} >= AWAITED


@pytest.mark.parametrize(
    ("tests", "failed", "skipped", "awaited", "verdicts"),
    [
        ({"A": ["t::a[1]", "t::a[2]"], "B": ["t::b"]}, (), (), (), (Verdict.HELD, Verdict.HELD)),
        ({"A": ["t::a[1]", "t::a[2]"], "B": ["t::b"]}, ("t::a[2]",), (), (), (Verdict.NOT_HELD, Verdict.HELD)),
        ({"A": ["t::a"]}, (), (), (), (Verdict.HELD, Verdict.NO_TEST)),
        ({"A": ["t::a"], "B": ["t::b"]}, (), ("t::b",), (), (Verdict.HELD, Verdict.NO_TEST)),
        ({"A": ["t::a"]}, (), (), ("B",), (Verdict.HELD, Verdict.AWAITED)),
        # Its tests came: nobody may forget to say so, or they could go again unseen.
        ({"A": ["t::a"], "B": ["t::b"]}, (), (), ("B",), (Verdict.HELD, Verdict.NOT_HELD)),
        ({"A": ["t::a"], "B": ["t::b"], "C": ["t::c"]}, (), (), (), (Verdict.HELD, Verdict.HELD, Verdict.UNKNOWN)),
    ],
    ids=["all hold", "one parameter fails", "no test", "all skipped", "awaited", "awaited no more", "misspelt"],
)
def test_a_row_holds_if_all_of_its_tests_pass(
    tests: dict[str, list[str]],
    failed: tuple[str, ...],
    skipped: tuple[str, ...],
    awaited: tuple[str, ...],
    verdicts: tuple[Verdict, ...],
) -> None:
    table = Table.of((_A, _B), tests, awaited=awaited, failed=failed, skipped=skipped)
    assert tuple(line.verdict for line in table.lines) == verdicts
    assert table.is_good == (set(verdicts) <= {Verdict.HELD, Verdict.AWAITED})
    assert all(verdict.value in str(table) for verdict in verdicts)


def test_an_expected_failure_holds_nothing() -> None:
    marked, report = Marked(), pytest.TestReport("t::a", ("t", 1, "a"), {}, "skipped", None, "call")
    report.wasxfail = "some day"
    marked.pytest_runtest_logreport(report)
    assert marked.failed == {"t::a"}
