"""`python -m tests.fuzz --minutes 60 [--seed N] [--only NAME] [--engine hypothesis|atheris]`: fuzz every target.

Each must answer any bytes with a value or a typed error, in 100 ms of processor time and 100 MB. Prints a table and
ends with 1 if one did not; `--replay NAME INPUT` tries an input that the table has printed.
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .rows import TARGETS
from .target import Bench, Target

# Seconds for one target before the next has its turn; what Hypothesis keeps goes with the process.
_TURN: Final = 15.0
# Seconds beyond its turn after which a process is taken for hung.
_PATIENCE: Final = 60.0


@dataclass
class Row:
    """What is known of a target. `failures` maps signatures to the first input, in base64, and where it ended."""

    target: Target
    examples: int = 0
    slowest: float = 0.0
    failures: dict[str, tuple[str, str]] = field(default_factory=dict)

    def take(self, output: str, ending: str) -> None:
        """Read what a child printed."""
        examples = 0
        for line in output.splitlines():
            if not line.startswith("{"):
                continue
            told = json.loads(line)
            if "signature" in told:
                self.failures.setdefault(told["signature"], (told["input"], told["where"]))
            else:
                examples, self.slowest = told["examples"], max(self.slowest, told["slowest"])
        self.examples += examples
        if ending:
            self.failures.setdefault(ending.splitlines()[0], ("", ending))


def fuzz(targets: Sequence[Target], *, minutes: float, seed: int, engine: str) -> list[Row]:
    """Give each target its turns until the time is up."""
    rows = [Row(target) for target in targets]
    ends = time.monotonic() + minutes * 60
    turn, number = min(_TURN, minutes * 60 / len(rows)), seed
    while time.monotonic() < ends:
        for row in rows:
            command = [sys.executable, "-m", "tests.fuzz.child", row.target.name]
            command += ["--seed", str(number), "--seconds", str(turn), "--engine", engine]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=turn + _PATIENCE, check=False)
                row.take(done.stdout, "" if done.returncode == 0 else f"ended with {done.returncode}\n{done.stderr}")
            except subprocess.TimeoutExpired as error:
                output = error.stdout.decode() if isinstance(error.stdout, bytes) else ""
                row.take(output, f"hung for {_PATIENCE:.0f} s")
        number += 1_000_000  # a child counts on from its own
    return rows


def table(rows: Sequence[Row]) -> str:
    """The table, and under it how each failure can be had again."""
    width = max(len(row.target.name) for row in rows)
    lines = [f"{'target':{width}}  {'examples':>10}  {'slowest':>10}  failures"]
    lines += [
        f"{row.target.name:{width}}  {row.examples:10}  {row.slowest * 1000:7.1f} ms  {len(row.failures) or '-'}"
        for row in rows
    ]
    for row in rows:
        for signature, (data, where) in row.failures.items():
            lines += ["", f"{row.target.name}: {signature}"]
            lines += [f"  {line}" for line in where.splitlines()[1:]]
            lines += [f"  python -m tests.fuzz --replay {row.target.name} {data}"] if data else []
    return "\n".join(lines)


def replay(name: str, data: str) -> str | None:
    """Try one input again, and return what it did wrong."""
    target = next(target for target in TARGETS if target.name == name)
    with tempfile.TemporaryDirectory() as place, Bench(target, Path(place) / "target") as bench:
        failure = bench.examine(base64.b64decode(data))
        return None if failure is None else f"{failure.signature}\n{failure.where}"


def main() -> None:
    """Fuzz, or try one input again."""
    names = [target.name for target in TARGETS]
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=60, help="for all targets together (default 60)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the same seed draws the same inputs")
    parser.add_argument("--only", choices=names, action="append", metavar="NAME", help=", ".join(names))
    parser.add_argument("--engine", choices=["hypothesis", "atheris"], default="hypothesis", help="default: hypothesis")
    parser.add_argument("--replay", nargs=2, metavar=("NAME", "INPUT"), help="try an input that was printed")
    given = parser.parse_args()
    if given.replay:
        wrong = replay(*given.replay)
        print(wrong or "a value or a typed error, in time")
        sys.exit(1 if wrong else 0)
    targets = [target for target in TARGETS if not given.only or target.name in given.only]
    rows = fuzz(targets, minutes=given.minutes, seed=given.seed, engine=given.engine)
    print(table(rows))
    sys.exit(1 if any(row.failures for row in rows) else 0)


if __name__ == "__main__":
    main()
