"""Says which seeds were played, whatever came of them."""

from __future__ import annotations

import pytest

from .test_schedules import FIRST, SEEDS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line at the end of the run."""
    terminalreporter.write_line(f"fault seeds {FIRST} to {FIRST + SEEDS - 1} (FAULT_FIRST, FAULT_SEEDS)")
