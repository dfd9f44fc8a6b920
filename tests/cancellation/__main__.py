"""`python -m tests.cancellation --runs 20`: the command stopped at random bytes of a push, against four registries.

Every run prints its seed. One is done again by `--only REGISTRY:SIGNAL --seed N --runs 1`. The last lines are a table;
the exit code is 1 if anything promised was not kept. What is counted, and the bound, are explained in `kills.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from registry_push.text.quantities import parse_size

from .kills import Case, Model, Run, Stop, run
from .registries import Kind
from .table import table

# Memory, where it can be had: what is tested is no disk.
_MEMORY: Final = Path("/dev/shm")


def cases(given: argparse.Namespace, seed: int) -> list[Case]:
    """What is to be run, row by row."""
    return [
        Case(
            kind,
            stop,
            each,
            given.rate,
            None if given.own_chunks and each % given.own_chunks == 0 else given.chunk_size,
        )
        for kind in Kind
        for stop in Stop
        if fnmatch(f"{kind.word}:{stop.word}", given.only)
        for each in range(seed, seed + given.runs)
    ]


async def all_of(cases: Sequence[Case], size: int, folder: Path) -> list[Run]:
    """Runs them one after the other, and tells each."""
    model = await asyncio.to_thread(Model.make, folder / "models", size)
    runs = []
    for number, case in enumerate(cases, 1):
        began = time.monotonic()
        done = await run(case, model, folder / "run")
        print(f"{number}/{len(cases)} {done.line} ({time.monotonic() - began:.1f} s)", flush=True)
        shutil.rmtree(folder / "run")
        runs.append(done)
    return runs


def main() -> int:
    """Does what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.cancellation", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="runs of each row")
    parser.add_argument("--size", type=parse_size, default="1GB", help="of the model")
    parser.add_argument("--rate", type=parse_size, default="300MB", help="of the line, a second")
    parser.add_argument("--chunk-size", type=parse_size, default="32MiB", help="of the command")
    parser.add_argument(
        "--own-chunks", type=int, default=5, help="left to the command where this divides the seed; 0: never"
    )
    parser.add_argument("--only", default="*:*", help="a pattern of REGISTRY:SIGNAL, as docker:kill, keep:*, *:int")
    parser.add_argument("--seed", type=int, help="of the first run; each other has one more")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(100_000)
    began = time.monotonic()
    place = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="registry-push-kills-", dir=place) as folder:
        runs = asyncio.run(all_of(cases(given, seed), given.size, Path(folder)))
    print(f"\nseeds from {seed}, {time.monotonic() - began:.0f} s\n\n{table(runs)}")
    return int(not all(each.well and (each.kept or not each.case.bounded) for each in runs))


if __name__ == "__main__":
    sys.exit(main())
