"""`python -m tests.cancellation --runs 20`: the command stopped at random points of a push, a pull, a copy and so on.

Pushes go to four registries; pulls and copies come from a docker-registry; exports, imports and repairs are of files.
Every run prints its seed. One is done again by `--only ROW:SIGNAL --seed N --runs 1`. The last lines are a table for
each of the three; the exit code is 1 if anything promised was not kept. What is counted, and the bounds, are explained
in `kills.py`, `copies.py` and `air_gap.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from registry_push.text.quantities import parse_size

from . import air_gap, copies
from .attempts import Stop
from .kills import Case, Model, Run, run
from .registries import Kind
from .table import air_gap_table, copies_table, table

# Memory, where it can be had: what is tested is no disk.
_MEMORY: Final = Path("/dev/shm")


def pushes(given: argparse.Namespace, seed: int) -> list[Case]:
    """The pushes to be run, row by row."""
    return [
        Case(kind, stop, each, given.rate, _chunk(given, each))
        for kind in Kind
        for stop in Stop
        if fnmatch(f"{kind.word}:{stop.word}", given.only)
        for each in range(seed, seed + given.runs)
    ]


def pulls_and_copies(given: argparse.Namespace, seed: int) -> list[copies.Case]:
    """The pulls and copies to be run, row by row."""
    return [
        copies.Case(way, stop, each, given.rate, _chunk(given, each))
        for way in copies.Way
        for stop in Stop
        if fnmatch(f"{way.word}:{stop.word}", given.only)
        for each in range(seed, seed + given.runs)
    ]


def across_air_gaps(given: argparse.Namespace, seed: int) -> list[air_gap.Case]:
    """The exports, imports and repairs to be run, row by row."""
    return [
        air_gap.Case(way, stop, each)
        for way in air_gap.Way
        for stop in Stop
        if fnmatch(f"{way.word}:{stop.word}", given.only)
        for each in range(seed, seed + given.runs)
    ]


def _chunk(given: argparse.Namespace, seed: int) -> int | None:
    return None if given.own_chunks and seed % given.own_chunks == 0 else given.chunk_size


Ran = TypeVar("Ran", Run, copies.Run, air_gap.Run)


def all_of(runs: Sequence[Callable[[], Coroutine[Any, Any, Ran]]], folder: Path) -> list[Ran]:
    """Does them one after the other in `folder`, and tells each."""
    done = []
    for number, start in enumerate(runs, 1):
        began = time.monotonic()
        one = asyncio.run(start())
        print(f"{number}/{len(runs)} {one.line} ({time.monotonic() - began:.1f} s)", flush=True)
        shutil.rmtree(folder)
        done.append(one)
    return done


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
    parser.add_argument("--only", default="*:*", help="a pattern of ROW:SIGNAL, as docker:kill, split:*, *:int")
    parser.add_argument("--folder", type=Path, help="where the files are; else in memory, where it can be had")
    parser.add_argument("--seed", type=int, help="of the first run; each other has one more")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(100_000)
    began = time.monotonic()
    place = given.folder or (_MEMORY if _MEMORY.is_dir() else None)
    with tempfile.TemporaryDirectory(prefix="registry-push-kills-", dir=place) as name:
        folder = Path(name)
        model = Model.make(folder / "models", given.size)
        pushed = all_of([partial(run, case, model, folder / "run") for case in pushes(given, seed)], folder / "run")
        copied: list[copies.Run] = []
        if rows := pulls_and_copies(given, seed):
            with copies.source_of(model, folder / "source") as source:
                copied = all_of(
                    [partial(copies.run, case, model, source, folder / "run") for case in rows], folder / "run"
                )
        carried: list[air_gap.Run] = []
        if gaps := across_air_gaps(given, seed):
            stock = air_gap.Stock(model, folder / "stock")
            stock.make()
            carried = all_of([partial(air_gap.run, case, stock, folder / "run") for case in gaps], folder / "run")
    print(f"\nseeds from {seed}, {time.monotonic() - began:.0f} s")
    tables = [
        *([table(pushed)] if pushed else []),
        *([copies_table(copied)] if copied else []),
        *([air_gap_table(carried)] if carried else []),
    ]
    for told in tables:
        print(f"\n{told}")
    every: list[Run | copies.Run | air_gap.Run] = [*pushed, *copied, *carried]
    return int(not all(each.well and (each.kept or not each.case.bounded) for each in every))


if __name__ == "__main__":
    sys.exit(main())
