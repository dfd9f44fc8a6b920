"""python -m tests.bench [--rounds 5] [--only SCENARIO…] [--clients NAME…] [--peer-path DIR] [--plot FILE.svg] …"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .clients import Client, found_clients
from .copiers import found_copiers
from .plot import plot
from .registries import found_registries
from .runs import Bench, Result, place_for
from .scenarios import GIB, MIB, Kind, Sizes, all_scenarios
from .table import markdown


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the tables; what is under way goes to stderr."""
    given = _parser().parse_args(arguments)
    # Gigabytes in memory are not left behind, whoever ends it: SIGINT is ignored in what a shell puts behind.
    for reason in (signal.SIGINT, signal.SIGTERM):
        signal.signal(reason, signal.default_int_handler)
    sizes = _sizes(given)
    scenarios = all_scenarios(sizes)
    names = [scenario.name for scenario in scenarios]
    if unknown := set(given.only or ()) - set(names):
        raise SystemExit(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    scenarios = tuple(each for each in scenarios if not given.only or each.name in given.only)
    registries = [
        each for each in found_registries(given.peer_path) if not given.registry or each.name in given.registry
    ]
    if not registries:
        raise SystemExit("no registry: is docker-registry on the PATH?")
    needed = max(shape.room for scenario in scenarios for shape in scenario.shapes)
    bench = Bench(
        place_for(needed, given.dir),
        registries,
        lambda kind: [each for each in _found(kind, given) if not given.clients or each.name in given.clients],
        1 if given.quick else given.rounds,
        lambda text: print(text, file=sys.stderr, flush=True),
    )
    results: list[Result] = []
    try:
        for scenario in scenarios:
            results += bench.measure(scenario)
    except KeyboardInterrupt:  # hours may be in what is there
        print("ended early: the scenarios that were finished", file=sys.stderr)
    print(markdown(results))
    if given.plot is not None:
        given.plot.write_text(plot(results))
    if len({result.scenario.name for result in results}) < len(scenarios):
        raise SystemExit(130)


def _found(kind: Kind, given: argparse.Namespace) -> Sequence[Client]:
    if kind is Kind.PUSH:
        return found_clients(given.peer_path, given.earlier)
    return found_copiers(given.peer_path, kind, given.earlier)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Pushes and copies by us and by the peers that are found, in turn, and tells what each costs.",
    )
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="pushes or copies of each (5); medians are told"
    )
    parser.add_argument("--only", nargs="+", metavar="SCENARIO", help="these scenarios only")
    parser.add_argument("--registry", nargs="+", metavar="NAME", help="'distribution 3', 'distribution 2.8'")
    parser.add_argument("--clients", nargs="+", metavar="NAME", help="these only, as the tables name them")
    parser.add_argument("--quick", action="store_true", help="tiny contents, one round: shows only that all runs")
    parser.add_argument("--peer-path", type=Path, metavar="DIR", help="look for peers and registry3 here, before PATH")
    parser.add_argument(
        "--earlier", type=Path, metavar="FILE", help="registry-push of another version, to compare with"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the ratios")
    parser.add_argument(
        "--dir", type=Path, help="where the contents go: needs their size three times (memory, else disk)"
    )
    parser.add_argument("--big", type=int, metavar="MIB", help="size of the big blob (2048)")
    parser.add_argument("--many", type=int, metavar="MIB", help="size of the many blobs together (1600)")
    parser.add_argument("--copied", type=int, metavar="MIB", help="the same where they are copied (1800)")
    parser.add_argument("--blobs", type=int, metavar="N", help="how many blobs are many (400)")
    parser.add_argument("--line", type=int, metavar="MIB", help="what goes over the long line (1024)")
    parser.add_argument("--layers", type=int, nargs="+", metavar="N", help="how many layers (100 1000 10000)")
    parser.add_argument("--sparse", type=int, nargs="+", metavar="GIB", help="sizes of the holes (1 8)")
    return parser


def _sizes(given: argparse.Namespace) -> Sizes:
    sizes = Sizes.quick() if given.quick else Sizes()
    wishes: dict[str, int | tuple[int, ...] | None] = {
        "big": given.big and given.big * MIB,
        "many": given.many and given.many * MIB,
        "copied": given.copied and given.copied * MIB,
        "blobs": given.blobs,
        "line": given.line and given.line * MIB,
        "layers": given.layers and tuple(given.layers),
        "sparse": given.sparse and tuple(size * GIB for size in given.sparse),
    }
    return replace(sizes, **{name: wish for name, wish in wishes.items() if wish})  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
