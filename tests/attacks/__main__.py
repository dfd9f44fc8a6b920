"""`python -m tests.attacks [--list]`: run the tests marked with an attack and print the table of what holds.

Ends with 1 if a row does not hold or has no test. `--list` collects the tests without running them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from .rows import AWAITED, ROWS
from .table import Marked, Table

_TESTS = str(Path(__file__).parents[1])


def main() -> None:
    """Run, print, and exit."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks")
    parser.add_argument("--list", action="store_true", help="name the tests without running them")
    given = parser.parse_args()
    marked = Marked()
    arguments = ["-q", "-p", "no:cacheprovider", *(["--collect-only", "-qq"] if given.list else []), _TESTS]
    code = pytest.main(arguments, plugins=[marked])
    table = Table.of(ROWS, marked.tests, awaited=AWAITED, failed=marked.failed, skipped=marked.skipped)
    print(f"\n{table}", flush=True)
    collected = code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    sys.exit(0 if collected and table.is_good else 1)


if __name__ == "__main__":
    main()
