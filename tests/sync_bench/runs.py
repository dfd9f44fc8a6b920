"""Runs the syncs: everybody in turn, round after round, over two long lines that count the bytes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.bench.measure import Sample, run
from tests.bench.registries import Registry
from tests.bench.scenarios import LINE_RATE
from tests.support.line_process import LineProcess

from .content import Content, check, fill
from .syncers import Syncer, Task

# Seconds, each way: the round trip is 20 ms.
LINE_DELAY: Final = 0.010
# Seconds. skopeo asks one thing after the other.
_PATIENCE: Final = 3_600


@dataclass(frozen=True, slots=True)
class Scenario:
    """One table. `same`: the target has everything already; else it is empty."""

    name: str
    says: str
    content: Content
    same: bool


@dataclass(frozen=True, slots=True)
class Synced:
    """What a sync cost; `down` bytes came from the source, `up` bytes went to the target, headers and all."""

    sample: Sample
    down: int
    up: int


@dataclass(frozen=True, slots=True)
class Result:
    """All rounds of one client."""

    scenario: Scenario
    registry: str
    syncer: Syncer
    rounds: list[Synced] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines by which a registry's source and target are reached."""

    source: LineProcess
    target: LineProcess

    @property
    def counts(self) -> tuple[int, int]:
        """Bytes that came from the source, and bytes that went to the target, until now."""
        return self.source.down, self.target.up


@dataclass(slots=True)
class Bench:
    """Measures in `folder`, which has room for the content twice; `say` is told what goes on."""

    folder: Path
    registry: Registry
    syncers: Sequence[Syncer]
    rounds: int
    say: Callable[[str], None]
    names: int = 0

    def measure(self, scenario: Scenario) -> list[Result]:
        """The results. Raises `CommandFailed` for a sync that fails, `CopyWrong` for one that leaves something out."""
        self.say(f"{scenario.name}: {scenario.says}")
        results = [Result(scenario, self.registry.name, syncer) for syncer in self.syncers]
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="bench-") as name:
            here = Path(name)
            with self.registry.running(here / "source") as source:
                manifests = fill(source, scenario.content)
                if scenario.same:
                    self._same(here, source, manifests, results)
                else:
                    self._changed(here, source, manifests, results)
        return results

    def _same(self, here: Path, source: str, manifests: dict[tuple[str, str], str], results: list[Result]) -> None:
        """All find the same target, by lines that stay: who remembers a host, knows it again."""
        with self.registry.running(here / "target") as target:
            shutil.copytree(here / "source" / "root", here / "target" / "root")
            check(target, manifests)
            with lines(source, target) as both:
                for result in results:
                    if result.syncer.keeps_home:
                        self._sync(here, both, result)
                for number in range(self.rounds):
                    for result in in_turn(results, number):
                        self._tell(number, result, self._sync(here, both, result))
                        check(target, manifests)

    def _changed(self, here: Path, source: str, manifests: dict[tuple[str, str], str], results: list[Result]) -> None:
        for number in range(self.rounds):
            for result in in_turn(results, number):
                if result.syncer.keeps_home:
                    continue  # each finds a new target: nothing is known of it
                with self.registry.running(self._new(here, "target")) as target, lines(source, target) as both:
                    self._tell(number, result, self._sync(here, both, result))
                    check(target, manifests)

    def _sync(self, here: Path, both: Lines, result: Result) -> Synced:
        syncer = result.syncer
        home = here / "home" if syncer.keeps_home else self._new(here, "home")
        home.mkdir(exist_ok=True)
        task = Task(both.source.host, both.target.host, list(result.scenario.content.repositories), home)
        down, up = both.counts
        sample = run(syncer.command(task), syncer.variables(task), folder=home, log=here / "log", timeout=_PATIENCE)
        down_then, up_then = both.counts
        return Synced(sample, down_then - down, up_then - up)

    def _tell(self, number: int, result: Result, synced: Synced) -> None:
        result.rounds.append(synced)
        cost = f"{synced.sample.wall:.2f} s, CPU {synced.sample.cpu:.2f} s"
        self.say(f"  {number + 1}: {result.syncer.name}: {cost}, {synced.down:,} bytes down, {synced.up:,} up")

    def _new(self, here: Path, kind: str) -> Path:
        """A path that nothing has had yet."""
        self.names += 1
        return here / f"{kind}-{self.names}"


def in_turn(results: Sequence[Result], number: int) -> Sequence[Result]:
    """In every other round the other way."""
    return results if number % 2 == 0 else results[::-1]


@contextmanager
def lines(source: str, target: str) -> Iterator[Lines]:
    """Both over lines of their own."""
    with (
        LineProcess(source, rate=LINE_RATE, back_rate=LINE_RATE, delay=LINE_DELAY) as there,
        LineProcess(target, rate=LINE_RATE, back_rate=LINE_RATE, delay=LINE_DELAY) as here,
    ):
        yield Lines(there, here)
