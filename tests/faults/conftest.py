"""Says which seeds were played, whatever came of them."""

from __future__ import annotations

import pytest

from .test_schedules import FIRST, KINDS, SEEDS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line at the end of the run."""
    terminalreporter.write_line(
        f"fault seeds {FIRST} to {FIRST + SEEDS - 1}, {KINDS.value} faults (FAULT_FIRST, FAULT_SEEDS, FAULT_KINDS)"
    )
