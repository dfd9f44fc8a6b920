"""`python -m tests.logins`: sign in at real registries with a login from each source, a right one and a wrong one.

Prints the exit codes. Ends with 1 if a right login was refused, a wrong one was not, or an error does not name where
it is from.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from .run import REGISTRIES, tried
from .sources import SOURCES

_WIDTH = max(len(source.name) for source in SOURCES)


def main() -> None:
    """Run, print, and exit."""
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        running = {}
        for number, (name, start) in enumerate(REGISTRIES.items()):
            (place := Path(folder, f"registry{number}")).mkdir()
            running[name] = stack.enter_context(start(place))
        print(f"{'login from':<{_WIDTH}}", *(f"{name:<24}" for name in running), sep="  ")
        for row, source in enumerate(SOURCES):
            cells = []
            for column, (name, reached) in enumerate(running.items()):
                cell = asyncio.run(tried(source, reached, Path(folder, f"{row}-{column}")))
                faults += [f"{source.name}, {name}: {fault}" for fault in cell.faults]
                cells.append(f"{f'right {cell.right}, wrong {cell.wrong}':<24}")
            print(f"{source.name:<{_WIDTH}}", *cells, sep="  ", flush=True)
    print("\n".join(["", *faults] if faults else ["", "every login was used, and every wrong one named"]))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
