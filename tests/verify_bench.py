"""How fast `registry-push verify` hashes, beside openssl on all cores over the same files.

    python -m tests.verify_bench --size 4GiB [--rounds 5] [--dir DIR]

Prints the seconds and the seconds of CPU of each, the medians, and the ratio of the speeds. What `verify` takes for a
tiny store, its start, is taken out of both of its figures. The files are read once before, so that no disk is measured.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from registry_push.text.quantities import parse_size

from .support.peers import require
from .support.stores import make_mixed_store

# The parts of a store: some large models, a middling one, and what comes with them.
_PARTS: Final = ((24, 1), (18, 1), (14, 1), (11, 1), (9, 1), (7, 1), (5, 1), (4, 1))
_SMALL: Final = (12_000, 400)


class Took(Struct, frozen=True):
    """Seconds by the clock, and of all processors together."""

    wall: float
    cpu: float

    def less(self, start: Took) -> Took:
        """Without what the start took."""
        return Took(self.wall - start.wall, self.cpu - start.cpu)


def make_store(root: Path, size: int) -> Path:
    """Write a store of about `size` bytes, and return the folder of its blobs."""
    whole = sum(sum(parts) for parts in _PARTS)
    for number, parts in enumerate(_PARTS):
        sizes = [size * part // whole for part in parts]
        make_mixed_store(root, (*sizes, *_SMALL), name=f"bench/verify{number}:latest")
    return root / "blobs"


def took(command: Sequence[str], environment: Mapping[str, str]) -> Took:
    """Run `command`, which has to succeed, and return what it and its children took."""
    began, before = time.perf_counter(), os.times()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, os.times()
    used = (after.children_user + after.children_system) - (before.children_user + before.children_system)
    return Took(wall, used)


def median(several: Sequence[Took]) -> Took:
    """Return the median of each."""
    return Took(statistics.median(each.wall for each in several), statistics.median(each.cpu for each in several))


def measure(folder: Path, size: int, rounds: int) -> tuple[Took, Took, Took]:
    """Return what `verify` took, without its start; what openssl took; and the start. Medians of so many rounds."""
    blobs = make_store(folder / "models", size)
    make_mixed_store(folder / "tiny", (1000,))
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    verify = [sys.executable, "-m", "registry_push", "verify", "ollama:", "-q", "--models"]
    theirs = f"find {blobs} -type f | xargs -P{os.cpu_count()} -n1 {require('openssl')} dgst -sha256"
    ours, others, starts = list[Took](), list[Took](), list[Took]()
    for number in range(rounds + 1):
        start = took([*verify, str(folder / "tiny")], environment)
        mine = took([*verify, str(folder / "models")], environment)
        other = took(["sh", "-c", theirs], environment)
        if number:  # the first one only fills the cache
            starts.append(start)
            ours.append(mine)
            others.append(other)
            print(f"verify {mine.wall:.2f} s, cpu {mine.cpu:.2f} s; openssl {other.wall:.2f} s, cpu {other.cpu:.2f} s; "
                  f"start {start.wall:.2f} s, cpu {start.cpu:.2f} s", flush=True)  # fmt: skip
    start = median(starts)
    return median(ours).less(start), median(others), start


def main() -> None:
    """Measure, and print the ratio."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.verify_bench", description="Compare verify with openssl over the same files."
    )
    parser.add_argument("--size", type=parse_size, default=4 << 30, help="bytes of the store (4GiB)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is run (5)")
    parser.add_argument("--dir", type=Path, help="where the store is written, for as long as it is needed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.dir) as folder:
        ours, theirs, start = measure(Path(folder), given.size, given.rounds)
    print(f"without its start ({start.wall:.2f} s): verify {ours.wall:.2f} s, cpu {ours.cpu:.2f} s")
    print(f"openssl on {os.cpu_count()} cores: {theirs.wall:.2f} s, cpu {theirs.cpu:.2f} s")
    print(
        f"speed of verify to openssl's: {theirs.wall / ours.wall:.2f} by the clock, {theirs.cpu / ours.cpu:.2f} by CPU"
    )


if __name__ == "__main__":
    main()
