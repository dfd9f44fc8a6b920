"""`python -m tests.profiles`: push to every registry of the table, as the embedded one plays it.

Prints what happened. Ends with 1 if a push failed, content is wrong, or more went for nothing than may.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from .rows import NOT_PLAYED, ROWS
from .run import Outcome, Pushed, tried

_WIDTH = max(len(row.name) for row in ROWS)


def main() -> None:
    """Run, print, and exit."""
    print(f"{'registry':<{_WIDTH}}  {'learning':<16}{'next push':<16}{'cut in the middle':<18}sign in")
    faults: list[str] = []
    for row in ROWS:
        with tempfile.TemporaryDirectory() as folder:
            outcome = asyncio.run(tried(row, Path(folder)))
        print(_line(outcome), flush=True)
        faults += [f"{row.name}: {fault}" for fault in outcome.faults]
    for name, why in NOT_PLAYED.items():
        print(f"{name:<{_WIDTH}}  not played: {why}")
    print("\n".join(["", *faults] if faults else ["", "every push ended well"]))
    sys.exit(1 if faults else 0)


def _line(outcome: Outcome) -> str:
    cells = (_cell(outcome.learning), _cell(outcome.next), _cell(outcome.cut))
    return f"{outcome.row.name:<{_WIDTH}}  {cells[0]:<16}{cells[1]:<16}{cells[2]:<18}{outcome.row.known.login}"


def _cell(pushed: Pushed) -> str:
    state = "right" if pushed.is_right and not pushed.code else f"code {pushed.code}"
    return f"{state}, +{pushed.wasted / 1e6:.1f} MB"


if __name__ == "__main__":
    main()
