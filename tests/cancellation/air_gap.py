"""One run of `export`, `import` or `verify --repair`: stopped at random points, started again until it is done.

The points are drawn from what an uninterrupted run does: bytes that it reads and writes, and steps such as a rename
(`dying.py`), every one as likely as any other of its kind. `written` are the bytes of content that all starts together
have written, and `again` those that were more than an uninterrupted run writes. Promised is that a stop has no more
than one blob written again:

    written ≤ whole + kills × largest blob + starts × HEADS

To a registry it is what the line has carried. A docker-registry loses the uploads that are under way when the command
is killed, which may be several, so that `largest` is not held against it: the figures are told. What a killed process
was writing at that moment is not counted, at most a megabyte in each thread.

After each kill the target is looked at as a stranger would, and `verify` has to say the same of it.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from registry_push.model import Manifest
from tests.support.command import command, start_command
from tests.support.line import Line

from .attempts import PATIENCE, Attempt, MiB, Stop
from .carried import Exported, Imported, Mended, MendedArchive, Written
from .dying import Counts, Point
from .kills import HEADS, NAME, Model
from .registries import Kind
from .targets import Store, repository

_MODULE: Final = "tests.cancellation.dying"
# Steps of a run that writes no files of its own.
_FEW: Final = 10


class Way(Enum):
    """What is stopped."""

    EXPORT = "export into an archive"
    SPLIT = "export into volumes"
    IMPORT = "import into a store"
    UPLOAD = "import to docker-registry 2.8"
    MEND_STORE = "repair of a store"
    MEND_LAYOUT = "repair of a layout"
    MEND_ARCHIVE = "repair of an archive"

    @property
    def word(self) -> str:
        """For the command line."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Case:
    """All that decides a run; `at` instead of the seed's own points, one after the other."""

    way: Way
    stop: Stop
    seed: int
    at: tuple[Point, ...] = ()

    @property
    def bounded(self) -> bool:
        """Whether a kill may cost no more than a blob: where the target keeps what it has."""
        return self.way is not Way.UPLOAD

    def points(self, whole: Counts) -> list[Point]:
        """Where the starts are stopped: one, sometimes two or three; every second one before a step."""
        if self.at:
            return list(self.at)
        draw = random.Random(f"{self.seed} {self.way.word} {self.stop.word} points")
        points = []
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            is_step = draw.random() < 0.5 and whole.steps > _FEW
            at = draw.randrange(whole.steps if is_step else whole.bytes)
            second = draw.randrange(MiB) if self.stop is Stop.TWICE else None
            points.append(Point(at, is_step, int(self.stop.number), second))
        return points


@dataclass(slots=True)
class Run:
    """What came of a case. `faults` are breaches of what is promised, in words; `wrong` those at the target."""

    case: Case
    whole: int  # bytes that an uninterrupted run writes
    largest: int
    written: int = 0
    kills: int = 0
    starts: int = 0
    at: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    ended: bool = False

    @property
    def again(self) -> int:
        """Bytes that were written more than once."""
        return max(0, self.written - self.whole)

    @property
    def kept(self) -> bool:
        """Whether no kill had more than one blob written again."""
        return self.again <= self.kills * self.largest + self.starts * HEADS

    @property
    def well(self) -> bool:
        """Whether it ended, and nothing else that is promised was broken, but for the bound."""
        return self.ended and not self.faults and not self.wrong

    @property
    def line(self) -> str:
        """For people."""
        over = [f"{self.again} bytes written again"] if self.case.bounded and not self.kept else []
        what = "; ".join([*self.faults, *self.wrong, *over]) or "well"
        return (
            f"{self.case.way.value}, {self.case.stop.value}, seed {self.case.seed}: {self.kills} kills"
            f" ({', '.join(self.at)}), written {self.written / max(1, self.whole):.3f} × whole,"
            f" {self.again / self.largest:.3f} blobs again: {what}"
        )


class Stock:
    """What is carried: the model, and all that uninterrupted runs make of it, in `folder`. Made once."""

    def __init__(self, model: Model, folder: Path) -> None:
        self.model = model
        self.folder = folder
        self.split = int(model.size / 2.6)  # so that the largest blob is cut
        self._whole: dict[Way, tuple[Counts, int]] = {}
        layers = sorted(model.manifest.layers, key=lambda blob: -blob.size)
        self.damaged = [blob.digest for blob in (layers[0], layers[2], layers[4])]
        self.cut, self.gone = layers[1].digest, layers[3].digest

    @property
    def archive(self) -> Path:
        """The model in one file."""
        return self.folder / "archive" / "model.tar"

    @property
    def volumes(self) -> list[Path]:
        """And in several."""
        return sorted((self.folder / "volumes").glob("*.tar"))

    @property
    def layout(self) -> Path:
        """And in a folder."""
        return self.folder / "layout"

    def make(self) -> None:
        """Export it."""
        for to in (["archive/model.tar"], ["volumes/model.tar", "--split", str(self.split)], ["layout"]):
            arguments = ["export", NAME, "--models", str(self.model.store), "--to", str(self.folder / to[0]), *to[1:]]
            done = asyncio.run(command(*arguments, home=self.folder))
            assert done.code == 0, done.err
        manifest = (self.layout / "blobs/sha256" / self.model.manifest.digest.hex).read_bytes()
        assert Manifest.parse(manifest).digest == self.model.manifest.digest

    async def whole(self, way: Way) -> tuple[Counts, int]:
        """What an uninterrupted run counts, and what it writes."""
        if way not in self._whole:
            folder = self.folder / f"whole-{way.word}"
            with ExitStack() as stack:
                stage = stack.enter_context(_stage(way, self, folder))
                attempt = await _start(stage, folder, None)
                assert attempt is not None and attempt.code == 0 and not stage.written.lacking(), attempt
                counts = Counts.of(folder / "counts")
                self._whole[way] = counts, stage.line.up if stage.line else counts.written
            shutil.rmtree(folder)
        return self._whole[way]


@dataclass(frozen=True, slots=True)
class _Stage:
    arguments: list[str]
    written: Written
    line: Line | None = None


@contextmanager
def _stage(way: Way, stock: Stock, folder: Path) -> Iterator[_Stage]:
    """What a run is given, and what it writes."""
    folder.mkdir(parents=True)
    store, model, mend = str(stock.model.store), folder / "models", f"oci-archive:{stock.folder}/volumes/model.tar"
    files = [str(path) for path in stock.volumes]
    match way:
        case Way.EXPORT:
            to = folder / "to"
            arguments = ["export", NAME, "--models", store, "--to", str(to / "model.tar")]
            yield _Stage(arguments, Exported(to, stock.archive.parent, "model.tar"))
        case Way.SPLIT:
            to = folder / "to"
            arguments = ["export", NAME, "--models", store, "--to", str(to / "model.tar"), "--split", str(stock.split)]
            yield _Stage(arguments, Exported(to, stock.volumes[0].parent, "model.v001.tar"))
        case Way.IMPORT:
            arguments = ["import", *files, "--models", str(model), "--to", "ollama:"]
            yield _Stage(arguments, Imported(Store(model), stock.model, "ollama:"))
        case Way.UPLOAD:
            with repository(Kind.DOCKER, folder / "registry") as there, Line(there.registry.host) as line:
                arguments = ["import", *files, "--to", f"registry:{line.host}/"]
                spelt = f"registry:{there.registry.host}/{NAME}:latest"
                yield _Stage(arguments, Imported(there, stock.model, spelt), line)
        case Way.MEND_STORE:
            shutil.copytree(stock.model.store, model)
            damaged = _damage(model / "blobs", "sha256-", stock)
            arguments = ["verify", "ollama:", "--models", str(model), "--repair", mend]
            yield _Stage(arguments, Mended(model, stock.model.store, "blobs", damaged, "ollama:"))
        case Way.MEND_LAYOUT:
            shutil.copytree(stock.layout, folder / "layout")
            damaged = _damage(folder / "layout/blobs/sha256", "", stock)
            spelt = f"oci:{folder / 'layout'}"
            arguments = ["verify", spelt, "--repair", mend]
            yield _Stage(arguments, Mended(folder / "layout", stock.layout, "blobs/sha256", damaged, spelt))
        case Way.MEND_ARCHIVE:
            archive = folder / "model.tar"
            shutil.copy(stock.archive, archive)
            _damage_archive(archive, stock)
            arguments = ["verify", f"oci-archive:{archive}", "--repair", mend]
            yield _Stage(arguments, MendedArchive(archive, stock.archive, [each.hex for each in stock.damaged]))


def flip(path: Path, at: int) -> None:
    """Change one bit of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))


def _damage(blobs: Path, prefix: str, stock: Stock) -> list[str]:
    """Flip bits in some blobs, cut one off and remove another; return their names."""
    for digest in stock.damaged:
        path = blobs / f"{prefix}{digest.hex}"
        flip(path, path.stat().st_size // 3)
    cut = blobs / f"{prefix}{stock.cut.hex}"
    with cut.open("r+b") as file:
        file.truncate(cut.stat().st_size // 2)
    (blobs / f"{prefix}{stock.gone.hex}").unlink()
    return [f"{prefix}{digest.hex}" for digest in (*stock.damaged, stock.cut, stock.gone)]


def _damage_archive(archive: Path, stock: Stock) -> None:
    with tarfile.open(archive, "r:") as opened:
        members = {member.name: member for member in opened}
    for digest in stock.damaged:
        member = members[f"blobs/sha256/{digest.hex}"]
        flip(archive, member.offset_data + member.size // 3)


async def run(case: Case, stock: Stock, folder: Path) -> Run:
    """Does the run in `folder`, which it leaves to be removed."""
    counts, whole = await stock.whole(case.way)
    done = Run(case, whole, max(blob.size for blob in stock.model.manifest.blobs))
    with _stage(case.way, stock, folder) as stage:
        points: list[Point | None] = [*case.points(counts), None]
        for point in points:
            await _one(case, stage, folder, point, done)
            if done.ended or done.faults:
                break
        if stage.line is not None:
            done.written = stage.line.up
        if done.ended:
            done.wrong += stage.written.lacking()
    return done


async def _one(case: Case, stage: _Stage, folder: Path, point: Point | None, done: Run) -> None:
    before = stage.written.broken()
    attempt = await _start(stage, folder, point)
    done.starts += 1
    done.written += Counts.of(folder / "counts").written
    if attempt is None:
        done.faults.append(f"start {done.starts} did not end in {PATIENCE:.0f} s")
        return
    if attempt.code == 0:
        done.ended = True
        return
    if point is None or attempt.code != case.stop.code:
        done.faults.append(f"start {done.starts} ended with {attempt.code}: {attempt.err or attempt.events[-1:]}")
        return
    done.kills += 1
    done.at.append(f"{'step' if point.is_step else 'byte'} {point.at}")
    wrong = stage.written.wrong()
    broken = stage.written.broken()
    wrong += [f"{each} was mended before" for each in broken - before]
    wrong += await _disagreement(stage, folder, broken)
    done.wrong += [f"after kill {done.kills}: {each}" for each in wrong]
    # A run that was killed after its last step has done all, and an export is not done twice.
    done.ended = stage.written.place is not None and isinstance(stage.written, Exported)


async def _disagreement(stage: _Stage, folder: Path, broken: set[str]) -> list[str]:
    """What `verify` says other than we."""
    place = stage.written.place
    if place is None:
        return []
    models = [stage.arguments[stage.arguments.index("--models") + 1]] if place.startswith("ollama:") else []
    said = await command("verify", place, "--json", *(["--models", *models] if models else []), home=folder)
    last = said.events[-1]
    found = {each["digest"].partition(":")[2] for each in last.get("blobs", ())}
    if said.code != (7 if broken else 0) or found != broken:
        return [f"verify ended with {said.code}: {sorted(found)}, not {sorted(broken)}: {last.get('message')}"]
    return []


async def _start(stage: _Stage, folder: Path, point: Point | None) -> Attempt | None:
    variables = {"DYING_COUNTS": str(folder / "counts"), **(point.variables() if point else {})}
    (folder / "counts").unlink(missing_ok=True)
    process = await start_command(*stage.arguments, "--json", home=folder, module=_MODULE, **variables)
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
        return None
    assert process.returncode is not None
    events = [json.loads(each) for each in out.decode().splitlines() if each.endswith("}")]
    return Attempt(process.returncode, events, err.decode())
