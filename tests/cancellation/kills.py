"""One run: the real command, pushing through a line, stopped at random bytes and started again until it is done.

What is counted. `sent` is what the line gave to the registry from the first start to the last end: the bytes of bodies,
of heads and of the manifest, among them all that a killed process had left in its kernel's hands, which the line
delivers as a real one does. It is the strictest of the counts that could be taken: the command's own `sent` dies with
it, and a registry counts neither heads nor what it threw away unread. (For the embedded registry the two are held
against each other: bodies that it received ≤ `sent`.) Heads are no content, so `HEADS` is allowed for each start.

    sent ≤ size + kills × chunk + starts × HEADS

Where several blobs are under way a kill can cut a chunk of each. How far that goes is told beside the bound: `cut` is
the number of uploads under way, over all kills, and `size + cut × chunk` what they may have cost.

A kill is a process that the signal ended: one that was done before it arrived is none.
"""

from __future__ import annotations

import asyncio
import random
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from registry_push.model import Manifest
from registry_push.model.manifest import DOCKER_MANIFEST
from tests.support.line import Line
from tests.support.stores import make_mixed_store

from .attempts import PATIENCE, Attempt, Meter, MiB, Stop, points, start
from .registries import Kind, Running, running

# An estimate: 75 requests with heads of about 350 bytes for 1 GB in chunks of 32 MiB, and manifests below 4 kB.
HEADS: Final = 64 * 1024
# Of a model: one large blob, some in the middle, some small ones, which go in one PUT.
_SHARES: Final = (0.56, 0.16, 0.12, 0.08, 0.04, 0.007, 0.006, 0.005, 0.004)
NAME: Final = "kill/mixed"


@dataclass(frozen=True, slots=True)
class Model:
    """What is pushed, from `store`."""

    store: Path
    manifest: Manifest

    @classmethod
    def make(cls, store: Path, size: int) -> Model:
        """A model of about `size` bytes."""
        name = make_mixed_store(store, [int(size * share) for share in _SHARES], name=NAME)
        return cls(store, Manifest.parse(store.joinpath("manifests", *name.path_parts).read_bytes()))

    @property
    def size(self) -> int:
        """Bytes of its blobs."""
        return sum(blob.size for blob in self.manifest.blobs)

    def file(self, hexadecimal: str) -> Path:
        """The blob with this digest."""
        return self.store / "blobs" / f"sha256-{hexadecimal}"


@dataclass(frozen=True, slots=True)
class Case:
    """All that decides a run. `chunk` in bytes, None for the command's own choice; `rate` in bytes a second."""

    kind: Kind
    stop: Stop
    seed: int
    rate: float
    chunk: int | None

    def points(self, size: int) -> list[int]:
        """At which bytes on the line the signal is sent: one, sometimes two or three."""
        return points(self._draw("points"), size)

    def second(self, number: int) -> int:
        """How many bytes after Ctrl-C the second one comes."""
        return self._draw(f"second {number}").randrange(MiB)

    @property
    def bounded(self) -> bool:
        """Whether a kill may cost no more than a chunk: where the session survives it, or no body was cut."""
        return self.kind.keeps_sessions or not self.stop.cuts

    def _draw(self, what: str) -> random.Random:
        return random.Random(f"{self.seed} {self.kind.word} {self.stop.word} {what}")


@dataclass(slots=True)
class Run:
    """What came of a case. `faults` are breaches of what is promised, in words; `wrong` those in what was committed."""

    case: Case
    size: int
    chunk: int
    sent: int = 0
    kills: int = 0
    starts: int = 0
    cut: int = 0  # uploads under way at the kills, together
    lost: int = 0  # sessions with acknowledged bytes that the command said were lost
    faults: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    ended: bool = False

    @property
    def bound(self) -> int:
        """What may have been sent."""
        return self.size + self.kills * self.chunk + self.starts * HEADS

    @property
    def kept(self) -> bool:
        """Whether the bound was kept."""
        return self.sent <= self.bound

    @property
    def kept_for_each(self) -> bool:
        """Whether no kill has cost more than a chunk of each blob under way."""
        return self.sent <= self.size + self.cut * self.chunk + self.starts * HEADS

    @property
    def well(self) -> bool:
        """Whether it ended, and nothing else that is promised was broken, but for the bound."""
        return self.ended and not self.faults and not self.wrong

    @property
    def line(self) -> str:
        """For people."""
        over = [] if self.kept or not self.case.bounded else [f"{self.sent - self.bound} bytes over the bound"]
        what = "; ".join([*self.faults, *self.wrong, *over]) or "well"
        again = (self.sent - self.size) / self.chunk
        chunk = "" if self.case.chunk else " (own chunks)"
        sent = f"sent {self.sent / self.size:.3f} × size, {again:.2f} chunks again"
        return (
            f"{self.case.kind.value}, {self.case.stop.value}, seed {self.case.seed}{chunk}: "
            f"{self.kills} kills of {self.cut} uploads, {sent}, {self.lost} sessions lost: {what}"
        )


async def run(case: Case, model: Model, folder: Path) -> Run:
    """Does the run in `folder`, which it leaves to be removed."""
    done = Run(case, model.size, case.chunk or 32 * MiB)
    with running(case.kind, folder / "registry") as registry, Line(registry.host, rate=case.rate) as line:
        await _push(case, model, registry, line, folder, done)
        done.sent = line.up
        done.wrong += await asyncio.to_thread(wrong_blobs, registry, model)
        if done.ended:
            done.wrong += _missing(registry, model)
    if registry.received is not None and registry.received > done.sent:
        done.faults.append(f"the registry received {registry.received} bytes of bodies, the line gave {done.sent}")
    if case.chunk is None and registry.largest:
        done.chunk = registry.largest
    return done


async def _push(case: Case, model: Model, registry: Running, line: Line, folder: Path, done: Run) -> None:
    points = case.points(model.size)
    finished: set[str] = set()
    under_way: set[str] = set()
    for number in range(len(points) + 1):
        attempt = await _start(case, model, line, folder, points[number : number + 1], number)
        done.starts += 1
        if attempt is None:
            done.faults.append(f"start {done.starts} did not end in {PATIENCE:.0f} s")
            return
        again = attempt.digests("blob_started") & finished
        silent = attempt.begun_at_zero() & under_way - attempt.said_to_be_lost()
        done.faults += [f"{digest[:12]} was finished and begun again" for digest in sorted(again)]
        done.faults += [f"{digest[:12]} was begun anew, and nothing said" for digest in sorted(silent)]
        done.lost += len(attempt.said_to_be_lost())
        if attempt.code == 0:
            done.ended = True
            return
        if attempt.code != case.stop.code or number == len(points):
            done.faults.append(f"start {done.starts} ended with {attempt.code}: {attempt.err or attempt.events[-1:]}")
            return
        done.kills += 1
        done.cut += len(attempt.digests("blob_started") - attempt.digests("blob_done"))
        finished |= attempt.digests("blob_done") | {each for each in registry.committed() if model.file(each).exists()}
        under_way = attempt.acknowledged(case.chunk) - finished
        if fetched(registry, "manifests/latest") is not None:
            done.faults.append("the manifest was there before the push was done")


async def _start(
    case: Case, model: Model, line: Line, folder: Path, points: Sequence[int], number: int
) -> Attempt | None:
    """Starts the push, with a signal at the point if there is one, and returns how it ended."""
    chunk = ["--chunk-size", str(case.chunk)] if case.chunk else []
    arguments = [
        "push", NAME, "--models", str(model.store), "--to", f"{line.host}/", "--json",
        "--state-dir", str(folder / "state"), *chunk,
    ]  # fmt: skip
    return await start(arguments, folder, Meter.up(line), case.stop, points, lambda: case.second(number))


def _missing(registry: Running, model: Model) -> list[str]:
    """What of the model is not in the repository as it should be, by the registry's own answers."""
    blobs = [blob for blob in model.manifest.blobs if fetched(registry, f"blobs/{blob.digest}", "HEAD") is None]
    wrong = [f"{blob.digest} is not in the repository" for blob in blobs]
    if fetched(registry, "manifests/latest") != model.manifest.raw:
        wrong.append("the manifest is not the source's")
    return wrong


def wrong_blobs(registry: Running, model: Model) -> list[str]:
    """What was committed, and is not the source's, byte for byte."""
    wrong = []
    for hexadecimal, path in registry.committed().items():
        source = model.file(hexadecimal)
        if hexadecimal == model.manifest.digest.hex:
            continue
        if not source.exists():
            wrong.append(f"{hexadecimal} is none of the model's")
        elif not _equal(path, source):
            wrong.append(f"{hexadecimal} has other bytes than the source's")
    return wrong


def _equal(one: Path, other: Path) -> bool:
    """Whether the files are the same, byte for byte."""
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb", buffering=0) as first, other.open("rb", buffering=0) as second:
        while piece := first.read(MiB):
            if piece != second.read(len(piece)):
                return False
    return True


def fetched(registry: Running, path: str, method: str = "GET") -> bytes | None:
    """What the registry itself answers, past the line; None for 404."""
    request = urllib.request.Request(f"http://{registry.host}/v2/{NAME}/{path}", method=method)
    request.add_header("Accept", DOCKER_MANIFEST)
    try:
        with urllib.request.urlopen(request) as answer:
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 404:
                return None
            raise
