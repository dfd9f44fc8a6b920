"""Runs the scenarios: everybody in turn, round after round, each push or copy to where nothing is yet."""

from __future__ import annotations

import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.request import Request, urlopen

from registry_push.model.manifest import DOCKER_MANIFEST, OCI_MANIFEST
from tests.support.line_process import LineProcess
from tests.support.tls import Certificate, self_signed

from .clients import EARLIER, US, YARDSTICKS, Client, Task
from .measure import Sample, run
from .registries import SINK, Registry
from .scenarios import LINE_DELAY, LINE_RATE, Kind, Scenario
from .source import check_files, check_registry, fill, manifest_of
from .stage import TAG, Shape, Stage, set_stage
from .stream import drain

# Bytes beside source and copy: what the registries and the clients themselves need.
_MARGIN: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Result:
    """What one client's pushes of one content to one registry cost, a sample a round."""

    scenario: Scenario
    registry: str
    shape: Shape
    client: Client
    samples: list[Sample] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bench:
    """`folder` has room for the contents three times; `say` is told what goes on."""

    folder: Path
    registries: Sequence[Registry]
    clients: Callable[[Kind], Sequence[Client]]
    rounds: int
    say: Callable[[str], None]

    def measure(self, scenario: Scenario) -> list[Result]:
        """The results of one scenario. Raises `CommandFailed` for a push that did not succeed."""
        self.say(f"{scenario.name}: {scenario.says}")
        results: list[Result] = []
        for shape in scenario.shapes:
            with tempfile.TemporaryDirectory(dir=self.folder, prefix="bench-") as name:
                results += _Run(self, scenario, shape, Path(name)).measure()
        return results


def place_for(needed: int, wish: Path | None) -> Path:
    """A folder with room for `needed` bytes and two copies: `wish`, else memory, else the disk. Raises `SystemExit`."""
    wanted = 3 * needed + _MARGIN
    candidates = [wish] if wish else [Path("/dev/shm"), Path(tempfile.gettempdir())]
    for folder in candidates:
        if folder.is_dir() and shutil.disk_usage(folder).free >= wanted:
            return folder
    raise SystemExit(f"{wanted >> 20} MiB of room are needed in {' or '.join(map(str, candidates))}: smaller sizes?")


@dataclass(slots=True)
class _Run:
    """The rounds over one content, in `folder`."""

    bench: Bench
    scenario: Scenario
    shape: Shape
    folder: Path
    pushes: int = 0

    def measure(self) -> list[Result]:
        scenario, bench = self.scenario, self.bench
        registries: Sequence[Registry] = (SINK,) if scenario.sink else bench.registries[: 1 if scenario.one else None]
        # In the scenario's order, and in every other round the other way: who comes first takes up to 0.04 longer.
        known = {client.name: client for client in bench.clients(scenario.kind)}
        names = [each for name in scenario.clients for each in ((US, EARLIER) if name == US else (name,))]
        clients = [known[name] for name in names if name in known]
        certificate = self_signed(self.folder / "certificate") if scenario.tls else None
        stage = set_stage(self.folder / "stage", self.shape)
        turns = [
            _Turn(self, Result(scenario, registry.name, self.shape, client), registry, stage, certificate)
            for registry in registries
            for client in clients
        ]
        with ExitStack() as stack:
            if scenario.filled:
                hosts = {
                    each: stack.enter_context(each.running(self.new("registry"), certificate)) for each in registries
                }
                for turn in turns:
                    turn.filled = hosts[turn.registry]
            if scenario.kind is not Kind.PUSH:
                (registry,) = registries
                source = stack.enter_context(registry.running(self.new("source")))
                fill(source, stage)
                for turn in turns:
                    turn.source = source
            for turn in turns:
                if scenario.filled or turn.result.client.keeps_home:
                    turn.push()
            for number in range(bench.rounds):
                for turn in turns if number % 2 == 0 else reversed(turns):
                    sample = turn.push()
                    turn.result.samples.append(sample)
                    about = f"{turn.registry.name}, {turn.result.client.name}"
                    bench.say(f"  {number + 1}: {about}: {sample.wall:.2f} s, CPU {sample.cpu:.2f} s")
        return [turn.result for turn in turns]

    def new(self, kind: str) -> Path:
        """A path that nothing has had yet."""
        self.pushes += 1
        return self.folder / f"{kind}-{self.pushes}"


@dataclass(slots=True)
class _Turn:
    """One client at one registry. `filled` is the host that holds everything; else each push finds a new registry."""

    run: _Run
    result: Result
    registry: Registry
    stage: Stage
    certificate: Certificate | None
    filled: str | None = None
    source: str = ""

    def push(self) -> Sample:
        client, scenario = self.result.client, self.result.scenario
        # Named by the client: in a registry that is filled, each finds what it pushed itself.
        name = "".join(character for character in client.name if character.isalnum()).lower()
        home = self.run.folder / name if client.keeps_home else self.run.new("home")
        home.mkdir(exist_ok=True)
        task = Task(self.stage, "", f"bench/{name}", home, self.certificate, scenario.jobs)
        with ExitStack() as stack:
            if client.name in YARDSTICKS:
                drained = stack.enter_context(drain())
                return self._run(replace(task, drain=stack.enter_context(line(drained)) if scenario.line else drained))
            if self.source:
                return self._copy(task, stack)
            host = self.filled or stack.enter_context(self.registry.running(self.run.new("registry"), self.certificate))
            sample = self._run(replace(task, host=stack.enter_context(line(host)) if scenario.line else host))
            _check(replace(task, host=host))
            return sample

    def _copy(self, task: Task, stack: ExitStack) -> Sample:
        """As `push`, from the source; what came is compared with it."""
        scenario, source = self.result.scenario, self.source
        task = replace(task, source=stack.enter_context(line(source)) if scenario.line else source)
        if scenario.kind is Kind.COPY:
            host = stack.enter_context(self.registry.running(self.run.new("registry")))
            sample = self._run(replace(task, host=stack.enter_context(line(host)) if scenario.line else host))
            check_registry(host, task.repository, manifest_of(self.stage.plain))
            return sample
        folder = self.run.new("copy")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        sample = self._run(replace(task, folder=folder))
        check_files(folder / "blobs", manifest_of(self.stage.plain))
        return sample

    def _run(self, task: Task) -> Sample:
        client = self.result.client
        return run(client.command(task), client.variables(task), folder=task.home, log=self.run.folder / "log")


def _check(task: Task) -> None:
    """Raises `HTTPError` if the push, for all that its client said, left no manifest there."""
    trusted = ssl.create_default_context(cafile=task.certificate.cert) if task.certificate else None
    request = Request(f"{task.origin}/v2/{task.repository}/manifests/{TAG}", method="HEAD")
    request.add_header("Accept", f"{DOCKER_MANIFEST}, {OCI_MANIFEST}")
    with urlopen(request, context=trusted):
        return


@contextmanager
def line(target: str) -> Iterator[str]:
    """The host by which `target` is reached over the long line."""
    with LineProcess(target, rate=LINE_RATE, back_rate=LINE_RATE, delay=LINE_DELAY) as relay:
        yield relay.host
