"""How fast `registry-push export` writes, beside what people do by hand: tar, and a sum of what it wrote.

    python -m tests.export_bench --size 2GiB [--rounds 5] [--dir DIR]

Prints the seconds and the seconds of CPU of each, and the ratio of the medians. The export hashes every blob as well.
With `--dir` in memory (/dev/shm) no disk is measured.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from registry_push.text.quantities import parse_size

from .support.peers import require
from .verify_bench import Took, make_store, median, took


def measure(folder: Path, size: int, rounds: int) -> tuple[Took, Took]:
    """Return what `export` took, and what tar and openssl took. Medians of so many rounds."""
    make_store(folder / "models", size)
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    file = folder / "a.tar"
    ours = [sys.executable, "-m", "registry_push", "export", "--all", "--to", str(file), "-q"]
    ours += ["--models", str(folder / "models")]
    theirs = f"tar -cf {file} -C {folder}/models . && {require('openssl')} dgst -sha256 {file} > {folder}/a.sha256"
    mine, others = list[Took](), list[Took]()
    for number in range(rounds + 1):
        for command, found in ((ours, mine), (["sh", "-c", theirs], others)):
            took_now = took(command, environment)
            for each in folder.glob("a.*"):
                each.unlink()
            if number:  # the first one only fills the cache
                found.append(took_now)
    return median(mine), median(others)


def main() -> None:
    """Measure, and print the ratio."""
    parser = argparse.ArgumentParser(prog="python -m tests.export_bench", description="Compare export with tar.")
    parser.add_argument("--size", type=parse_size, default=2 << 30, help="bytes of the store (2GiB)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is run (5)")
    parser.add_argument("--dir", type=Path, help="where everything is written, for as long as it is needed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.dir) as folder:
        ours, theirs = measure(Path(folder), given.size, given.rounds)
    print(f"export {ours.wall:.2f} s, cpu {ours.cpu:.2f} s")
    print(f"tar and openssl {theirs.wall:.2f} s, cpu {theirs.cpu:.2f} s")
    print(f"export takes {ours.wall / theirs.wall:.2f} of the time, {ours.cpu / theirs.cpu:.2f} of the CPU")


if __name__ == "__main__":
    main()
