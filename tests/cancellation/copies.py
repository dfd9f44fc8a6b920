"""One run of `pull` or `copy` from a docker-registry: stopped at random bytes, and started again until it is done.

`received` is what the line from the source gave to the client's kernel, from the first start to the last end: bodies,
heads, and all that a killed process had not read yet. `sent` is what the line to the target gave to it, as in
`kills.py`. With `HEADS` allowed for each start, both are held against the same bound:

    received, sent ≤ size + kills × chunk + starts × HEADS

A kill costs what was read of a chunk that was not acknowledged; of a blob that goes to a disk, what was read and not
yet written. Where several blobs are under way a kill can cut each, as `kills.py` says.

After each kill the target is looked at as a stranger would: nothing in it is damaged, half there or foreign.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from tests.support.command import command
from tests.support.line import Line

from .attempts import PATIENCE, Attempt, Meter, MiB, Stop, points, start
from .kills import HEADS, NAME, Model
from .registries import Kind, Running, running
from .targets import Layout, Store, Target, repository


class Way(Enum):
    """From a docker-registry to where."""

    PULL = "pull into a store"
    COPY = "copy to docker-registry 2.8"
    KEPT = "copy to embedded, keep"
    LAYOUT = "copy into a layout"

    @property
    def word(self) -> str:
        """For the command line."""
        return self.name.lower()

    @property
    def keeps(self) -> bool:
        """Whether the target keeps what it has of a blob when the command is killed in it."""
        return self is not Way.COPY

    @property
    def registry(self) -> Kind | None:
        """The target, if it is one."""
        return {Way.COPY: Kind.DOCKER, Way.KEPT: Kind.KEEP}.get(self)


@dataclass(frozen=True, slots=True)
class Case:
    """All that decides a run. `chunk` in bytes, None for the command's own choice; `rate` in bytes a second."""

    way: Way
    stop: Stop
    seed: int
    rate: float
    chunk: int | None

    @property
    def bounded(self) -> bool:
        """Whether a kill may cost no more than a chunk: where the target keeps what it has, or no body was cut."""
        return self.way.keeps or not self.stop.cuts

    def draw(self, what: str) -> random.Random:
        """Chance of its own for each thing to be drawn."""
        return random.Random(f"{self.seed} {self.way.word} {self.stop.word} {what}")


@dataclass(slots=True)
class Run:
    """What came of a case. `faults` are breaches of what is promised, in words; `wrong` those at the target."""

    case: Case
    size: int
    chunk: int
    received: int = 0
    sent: int = 0
    kills: int = 0
    starts: int = 0
    cut: int = 0  # blobs under way at the kills, together
    faults: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    ended: bool = False

    @property
    def bound(self) -> int:
        """What may have been received, and sent."""
        return self.size + self.kills * self.chunk + self.starts * HEADS

    @property
    def most(self) -> int:
        """What was carried by the line that carried more."""
        return max(self.received, self.sent)

    @property
    def kept(self) -> bool:
        """Whether the bound was kept at both ends."""
        return self.most <= self.bound

    @property
    def kept_for_each(self) -> bool:
        """Whether no kill has cost more than a chunk of each blob under way."""
        return self.most <= self.size + self.cut * self.chunk + self.starts * HEADS

    @property
    def well(self) -> bool:
        """Whether it ended, and nothing else that is promised was broken, but for the bound."""
        return self.ended and not self.faults and not self.wrong

    @property
    def line(self) -> str:
        """For people."""
        over = [] if self.kept or not self.case.bounded else [f"{self.most - self.bound} bytes over the bound"]
        what = "; ".join([*self.faults, *self.wrong, *over]) or "well"
        chunk = "" if self.case.chunk else " (own chunks)"
        again = (self.most - self.size) / self.chunk
        carried = f"received {self.received / self.size:.3f} × size, sent {self.sent / self.size:.3f}"
        return (
            f"{self.case.way.value}, {self.case.stop.value}, seed {self.case.seed}{chunk}: "
            f"{self.kills} kills of {self.cut} blobs, {carried}, {again:.2f} chunks again: {what}"
        )


@contextmanager
def source_of(model: Model, folder: Path) -> Iterator[Running]:
    """A docker-registry that has the model."""
    with running(Kind.DOCKER, folder / "registry") as registry:
        arguments = ["push", NAME, "--models", str(model.store), "--to", f"{registry.host}/"]
        pushed = asyncio.run(command(*arguments, home=folder))
        assert pushed.code == 0, pushed.err
        yield registry


async def run(case: Case, model: Model, source: Running, folder: Path) -> Run:
    """Does the run in `folder`, which it leaves to be removed."""
    done = Run(case, model.size, case.chunk or 32 * MiB)
    with ExitStack() as stack:
        line = stack.enter_context(Line(source.host, back_rate=case.rate))
        target, to, back = _target(case, folder, stack)
        await _copy(case, model, line, target, [*_verb(case, line), *to], folder, done)
        done.received, done.sent = line.down, back.up if back else 0
        done.wrong += await asyncio.to_thread(target.wrong, model)
        if done.ended:
            done.wrong += target.lacking(model)
    return done


def _verb(case: Case, line: Line) -> list[str]:
    return ["pull" if case.way is Way.PULL else "copy", f"registry:{line.host}/{NAME}:latest"]


def _target(case: Case, folder: Path, stack: ExitStack) -> tuple[Target, list[str], Line | None]:
    """The target, how it is written on the command line, and the line to it if it is a registry."""
    kind = case.way.registry
    if kind is not None:
        there = stack.enter_context(repository(kind, folder / "registry"))
        line = stack.enter_context(Line(there.registry.host, rate=2 * case.rate))
        return there, [f"registry:{line.host}/{NAME}:latest"], line
    if case.way is Way.LAYOUT:
        return Layout(folder / "layout"), [f"oci:{folder / 'layout'}:latest"], None
    return Store(folder / "models"), ["--as", NAME, "--models", str(folder / "models")], None


async def _copy(
    case: Case, model: Model, line: Line, target: Target, arguments: list[str], folder: Path, done: Run
) -> None:
    chunk = ["--chunk-size", str(case.chunk)] if case.chunk and case.way is not Way.PULL else []
    arguments = [*arguments, "--json", "--state-dir", str(folder / "state"), *chunk]
    marks = points(case.draw("points"), model.size)
    finished: set[str] = set()
    for number in range(len(marks) + 1):

        def second(number: int = number) -> int:
            return case.draw(f"second {number}").randrange(MiB)

        attempt = await start(arguments, folder, Meter.down(line), case.stop, marks[number : number + 1], second)
        done.starts += 1
        if attempt is None:
            done.faults.append(f"start {done.starts} did not end in {PATIENCE:.0f} s")
            return
        done.faults += [f"{digest[:12]} was there and read again" for digest in sorted(_read(attempt) & finished)]
        if attempt.code == 0:
            done.ended = True
            return
        if attempt.code != case.stop.code or number == len(marks):
            done.faults.append(f"start {done.starts} ended with {attempt.code}: {attempt.err or attempt.events[-1:]}")
            return
        done.kills += 1
        done.cut += len(attempt.digests("blob_started") - attempt.digests("blob_done"))
        wrong = await asyncio.to_thread(target.wrong, model)
        done.wrong += [f"after kill {done.kills}: {each}" for each in wrong]
        finished |= {each for each in target.committed() if model.file(each).exists()}


def _read(attempt: Attempt) -> set[str]:
    """Blobs whose content was asked for."""
    return attempt.digests("blob_started")
