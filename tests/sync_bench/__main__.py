"""How fast `registry-push sync` is, beside `skopeo sync` and `regsync once`, over lines with a round trip of 20 ms.

    python -m tests.sync_bench [--rounds 3] [--only same changed] [--clients NAME…] [--peer-path DIR] [--quick] …

`same`: all tags are at the target already. `changed`: the target is empty, and repositories share blobs; how many bytes
went over the lines is told beside the size of the distinct blobs. What is under way goes to stderr, tables to stdout.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from registry_push.text.quantities import parse_size
from tests.bench.registries import found_registries
from tests.bench.runs import place_for

from .content import small_tags, variants
from .runs import Bench, Result, Scenario
from .syncers import found_syncers
from .table import markdown

_NAMES: Final = ("same", "changed")
_KIB: Final = 1 << 10
# Room for the files of a small tag, of which each takes a block at least.
_TAG_ROOM: Final = 64 * _KIB


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the tables."""
    given = _parser().parse_args(arguments)
    for reason in (signal.SIGINT, signal.SIGTERM):
        signal.signal(reason, signal.default_int_handler)
    registries = found_registries(given.peer_path)
    registry = next((each for each in registries if given.registry in (None, each.name)), None)
    if registry is None:
        raise SystemExit(f"no registry: there are {', '.join(each.name for each in registries) or 'none on the PATH'}")
    syncers = [each for each in found_syncers(given.peer_path) if not given.clients or each.name in given.clients]
    if given.quick:
        given.rounds, given.repositories, given.tags, given.models, given.size = 1, 3, 2, 6, 1 << 20
    needed = max(given.size, given.repositories * given.tags * _TAG_ROOM)
    bench = Bench(
        place_for(needed, given.dir),
        registry,
        syncers,
        given.rounds,
        lambda text: print(text, file=sys.stderr, flush=True),
    )
    results: list[Result] = []
    try:
        for scenario in scenarios(given.repositories, given.tags, given.models, given.size):
            if not given.only or scenario.name in given.only:
                results += bench.measure(scenario)
    except KeyboardInterrupt:
        print("ended early: the scenarios that were finished", file=sys.stderr)
    print(markdown(results))


def scenarios(repositories: int, tags: int, models: int, size: int) -> tuple[Scenario, Scenario]:
    """`same` with so many repositories of so many tags, `changed` with so many models of `size` bytes together."""
    shared = variants(models, size)
    return (
        Scenario("same", f"{repositories} repositories of {tags} small tags, nothing changed",
                 small_tags(repositories, tags, 4 * _KIB), same=True),
        Scenario("changed", f"{size / (1 << 20):.4g} MiB across {models} repositories with shared blobs, all new",
                 shared, same=False),
    )  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.sync_bench", description="Sync by us and by the peers that are found, in turn."
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="syncs of each (3); medians are told")
    parser.add_argument("--only", nargs="+", choices=_NAMES, help="these scenarios only")
    parser.add_argument("--clients", nargs="+", metavar="NAME", help="these only, as the tables name them")
    parser.add_argument("--registry", metavar="NAME", help="'distribution 3' or 'distribution 2.8'; else the newest")
    parser.add_argument("--peer-path", type=Path, metavar="DIR", help="look for peers and registry3 here, before PATH")
    parser.add_argument("--quick", action="store_true", help="tiny contents, one round: shows only that all runs")
    parser.add_argument("--dir", type=Path, help="where the registries keep everything (memory, else disk)")
    parser.add_argument("--repositories", type=int, default=200, metavar="N", help="how many are the same (200)")
    parser.add_argument("--tags", type=int, default=10, metavar="N", help="how many tags each of them has (10)")
    parser.add_argument("--models", type=int, default=40, metavar="N", help="how many repositories are new (40)")
    parser.add_argument(
        "--size", type=parse_size, default=1 << 30, metavar="SIZE", help="of their distinct blobs (1GiB)"
    )
    return parser


if __name__ == "__main__":
    main()
