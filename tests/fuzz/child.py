"""`python -m tests.fuzz.child NAME …`: fuzz one target in a process of its own, whose memory has a limit.

Prints a JSON line for each new failure, and one a second of how far it is: what was found survives a crash.
"""

from __future__ import annotations

import argparse
import base64
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, seed, settings

from .mutation import havoc, inputs
from .target import Bench, Failure, Target

# Beside what one input may take: Hypothesis, and the stacks and arenas that threads reserve and don't use. What is
# really used is looked at in `Bench`; this keeps a bomb from the machine.
_ADDRESS_SPACE: Final = 1024 * 1024 * 1024
# Examples of one run of Hypothesis: it keeps some of each.
_AT_ONCE: Final = 500
# Inputs near to each that was drawn.
_NEIGHBOURS: Final = 20


class Report:
    """What came of it, printed as it comes."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._seen: set[str] = set()
        self._told = 0.0

    def take(self, data: bytes) -> None:
        """Try an input, and print it if it is the first that fails so."""
        failure = self._bench.examine(data)
        if failure is not None and failure.signature not in self._seen:
            self._seen.add(failure.signature)
            self._print(self._bench.shortened(failure))
        if time.monotonic() - self._told > 1:
            self.tell()

    def tell(self) -> None:
        """Print how far it is."""
        self._told = time.monotonic()
        print(json.dumps({"examples": self._bench.examples, "slowest": self._bench.slowest}), flush=True)

    def _print(self, failure: Failure) -> None:
        data = base64.b64encode(failure.data).decode()
        told = {"signature": failure.signature, "where": failure.where, "input": data}
        print(json.dumps(told), flush=True)


def by_hypothesis(report: Report, bench: Bench, first: int, until: Callable[[], bool]) -> None:
    """Draw inputs until the time is up."""
    for number in _numbers(first, until):

        @seed(number)
        @settings(
            max_examples=_AT_ONCE,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(inputs(bench.target))
        def run(data: bytes) -> None:
            for each in (data, *havoc(data, bench.target, _NEIGHBOURS)):
                if not until():
                    report.take(each)

        run()


def _numbers(first: int, until: Callable[[], bool]) -> Iterator[int]:
    number = first
    while not until():
        yield number
        number += 1


def by_atheris(report: Report, bench: Bench, first: int, seconds: float, folder: Path) -> None:
    """Let libFuzzer look for inputs that reach new code; it ends the process itself."""
    atheris: Any = import_module("atheris")
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, each in enumerate(bench.target.seeds):
        (corpus / str(number)).write_bytes(each)
    options = [
        f"-max_total_time={int(seconds)}",
        f"-seed={first + 1}",
        f"-max_len={bench.target.most}",
        "-rss_limit_mb=0",
        "-verbosity=0",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], report.take)
    atheris.Fuzz()


def found(name: str, *, is_instrumented: bool) -> Target:
    """The target with this name. What is to be instrumented must not have been imported before."""
    if is_instrumented:
        with import_module("atheris").instrument_imports(include=["registry_push"]):
            rows = import_module("tests.fuzz.rows")
    else:
        rows = import_module("tests.fuzz.rows")
    targets: tuple[Target, ...] = rows.TARGETS
    return next(target for target in targets if target.name == name)


def main() -> None:
    """Fuzz."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.child")
    parser.add_argument("name")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--engine", choices=["hypothesis", "atheris"], default="hypothesis")
    given = parser.parse_args()
    target = found(given.name, is_instrumented=given.engine == "atheris")
    status = Path("/proc/self/status").read_text()
    size = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmSize:"))
    resource.setrlimit(resource.RLIMIT_AS, (size + _ADDRESS_SPACE, resource.RLIM_INFINITY))
    ends = time.monotonic() + given.seconds
    with tempfile.TemporaryDirectory() as place, Bench(target, Path(place) / "target") as bench:
        report = Report(bench)
        if given.engine == "atheris":
            by_atheris(report, bench, given.seed, given.seconds, Path(place))
        else:
            by_hypothesis(report, bench, given.seed, lambda: time.monotonic() > ends)
        report.tell()


if __name__ == "__main__":
    main()
