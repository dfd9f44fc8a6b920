"""`python -m tests.migration`: 30 repositories of a docker-registry copied to another, undisturbed and with ten kills.

`--program registry3` takes distribution 3 instead. Ends with 1 if anything is not as it should be. What is counted is
explained in `run.py`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from registry_push.text.quantities import parse_size
from tests.support.registries import docker_registry_at

from .run import Moved, migrate, twice
from .stage import Content, Sizes, fill


def told(name: str, moved: Moved, content: Content, seconds: float) -> str:
    """A row of the table."""
    size = content.size
    return (
        f"| {name} | {moved.starts} | {moved.kills} | {moved.received / size:.3f} | {moved.sent / size:.3f} "
        f"| {sum(moved.read.values())} | {sum(moved.uploaded.values())} | {moved.mounted} "
        f"| {moved.written / 1e6:.1f} MB | {moved.left / 1e6:.2f} MB | {seconds:.0f} s |"
    )


def main() -> int:
    """Does what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.migration", description=__doc__)
    parser.add_argument("--repositories", type=int, default=30)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--base", type=parse_size, default="64MB", help="of the blob that all share")
    parser.add_argument("--family", type=parse_size, default="16MB", help="of the blob that five share")
    parser.add_argument("--own", type=parse_size, default="4MB", help="of each repository's own blob")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where all of it lies; on a disk, to see what is written")
    parser.add_argument("--program", default="docker-registry", help="of both registries; registry3: distribution 3")
    given = parser.parse_args()
    rows, wrong = [], []
    with tempfile.TemporaryDirectory(prefix="registry-push-migration-", dir=given.folder) as name:
        folder = Path(name)
        (folder / "a").mkdir()
        with docker_registry_at(folder / "a", logs_requests=True, program=given.program) as source:
            content = fill(source, given.repositories, Sizes(given.base, given.family, given.own))
            for what, kills in (("undisturbed", 0), ("killed", given.kills)):
                (folder / what).mkdir()
                with docker_registry_at(folder / what, logs_requests=True, program=given.program) as target:
                    began = time.monotonic()
                    moved = migrate(source, target, content, folder / f"{what}-home", kills=kills, seed=given.seed)
                    rows.append(told(what, moved, content, time.monotonic() - began))
                    wrong += moved.faults + (twice(moved, content) if not kills else [])
    print(f"{given.repositories} repositories, {len(content.sizes)} blobs of {content.size / 1e6:.0f} MB in all\n")
    print(
        "| | starts | kills | received / size | sent / size | blobs read | uploads | mounts | written | left | time |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    print("\n".join(rows))
    print("\n".join(["", *wrong] if wrong else ["", "all tags and digests equal"]))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
