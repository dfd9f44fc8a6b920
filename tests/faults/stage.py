"""Scenes drawn from seeds: a store, a kind of registry, a schedule of faults, and a user who tries again."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import chain, repeat
from pathlib import Path
from typing import Final

from registry_push.embedded import (
    Basic,
    EmbeddedRegistry,
    Fault,
    Kinds,
    Ollama,
    OnCut,
    Options,
    Quirks,
    Schedule,
    Token,
    What,
)
from registry_push.embedded.faults import NO_FAULTS
from registry_push.embedded.sample import CONFIG_TYPE, LAYER_TYPE, Layer, config, encoded, write_model
from registry_push.errors import RegistryPushError
from registry_push.events import BlobProgress, Event, Sink, as_json, error_fields
from registry_push.model import Digest, ModelName
from registry_push.protocol.upload.chunks import SINGLE_PUT
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.push import push

from ..support import leaks
from ..support.secrets import PASSWORD
from .ledger import Broken, End
from .promises import Judge, fingerprint

NAME: Final = ModelName.parse("me/scene:latest")
REPOSITORY: Final = "me/scene"
_USERS: Final = {"me": PASSWORD}
# A user gives up at last; every schedule is over long before.
MOST_PUSHES: Final = 45
KILLED: Final = None
# Longer than the server waits for what is under way, in seconds.
SETTLED: Final = 20.0


class Damage(Enum):
    """What is wrong at the source, until it is mended."""

    FLIPPED = "a bit of a blob is flipped"
    SHORT = "a blob's file is a byte short"
    MISSING = "a blob's file is missing"
    FLIPPED_WHILE_SENT = "a bit of a blob is flipped while it is sent"


@dataclass(frozen=True, slots=True)
class Scene:
    """What a seed stands for."""

    seed: int = 0
    schedule: Schedule = NO_FAULTS
    on_cut: OnCut = OnCut.KEEP
    ollama: bool = False
    direct: bool = False  # tensors, which go whole to Ollama's storage
    redirects: int = 3  # of three parts, how many go to the storage
    auth: str = "open"
    relative: bool = False
    chunk: int = 65_536
    sizes: tuple[int, ...] = (400_000,)
    jobs: int = 1
    damage: Damage | None = None
    kills: tuple[int, ...] = ()  # the progress events at which the pushes are killed, the first push's first
    stops: tuple[int, ...] = ()  # … and at which they are told to stop
    quirks: Quirks = field(default_factory=Quirks)

    @classmethod
    def of_seed(cls, seed: int, kinds: Kinds = Kinds.OLD) -> Scene:
        """The same seed gives the same scene, and with the same `kinds` the same faults."""
        dice = random.Random(f"scene {seed}")
        ollama, auth = dice.random() < 0.3, dice.choice(("open", "open", "basic", "token", "token"))
        chunk = dice.choice((65_536, 65_536, 100_000, 200_000, 3_000_000))
        sizes = [chunk * dice.randint(2, 9 if chunk < 1 << 20 else 3) + dice.choice((0, 1, 2, 777))]
        if dice.random() < 0.5:
            sizes.append(chunk * dice.randint(1, 4) + dice.randint(1, 9))
        return cls(
            seed,
            Schedule.of_seed(seed, ollama=ollama, signed=auth == "token", kinds=kinds),
            dice.choice(list(OnCut)),
            ollama,
            dice.random() < 0.3,
            dice.choice((0, 1, 3, 3)),
            auth,
            dice.random() < 0.3,
            chunk,
            tuple(sizes),
            dice.choice((1, 2, 8)),
            dice.choice(list(Damage)) if dice.random() < 0.25 else None,
            tuple(dice.randint(1, 12) for _ in range(dice.choice((0, 0, 1, 3)))),
            tuple(dice.randint(1, 12) for _ in range(dice.choice((0, 0, 1)))),
        )

    @property
    def portal_answers(self) -> int:
        """How many answers come from captive portals; each may end one push."""
        return sum(fault.times for fault in self.schedule.faults if fault.what is What.PORTAL)

    def __str__(self) -> str:
        kind = "Ollama's registry" if self.ollama else f"a registry ({self.on_cut.name} on a cut)"
        parts = [f"{kind}, {self.auth}, chunks of {self.chunk}, blobs of {self.sizes}, {self.jobs} at once"]
        parts += [f"{self.redirects}/3 of parts redirected, direct: {self.direct}"] if self.ollama else []
        parts += [self.damage.value] if self.damage else []
        parts += [f"killed at {self.kills}"] if self.kills else []
        parts += [f"told to stop at {self.stops}"] if self.stops else []
        return "; ".join(parts) + f"\n{self.schedule}"


@dataclass
class Source:
    """A store with one model, and what is done to it."""

    root: Path
    layers: list[Layer]
    contents: dict[Digest, list[bytes]] = field(default_factory=dict)

    @classmethod
    def write(cls, root: Path, sizes: tuple[int, ...], *, seed: int = 0, tensors: bool = False) -> Source:
        """Random blobs of `sizes`, and a few small ones."""
        dice = random.Random(f"store {seed}")
        kind = LAYER_TYPE + ("tensor" if tensors else "model")
        layers = [Layer(kind, dice.randbytes(size)) for size in sizes]
        layers += [Layer(LAYER_TYPE + "template", b"{{ .Prompt }} of a scene"), Layer(LAYER_TYPE + "params", b"{}\n")]
        write_model(root, NAME, config(), layers)
        every = [*layers, Layer(CONFIG_TYPE, encoded(config()))]
        return cls(root, layers, {layer.descriptor.digest: [layer.content] for layer in every})

    @property
    def manifest(self) -> bytes:
        return self.root.joinpath("manifests", *NAME.path_parts).read_bytes()

    @property
    def target(self) -> Digest:
        """The blob that gets damaged."""
        return self.layers[0].descriptor.digest

    @property
    def file(self) -> Path:
        return self.root / "blobs" / self.target.path_name

    def damage(self, how: Damage) -> None:
        whole = self.contents[self.target][0]
        flipped = whole[: len(whole) * 3 // 4] + bytes([whole[len(whole) * 3 // 4] ^ 1])
        flipped += whole[len(flipped) :]
        match how:
            case Damage.MISSING:
                self.file.unlink()
            case Damage.SHORT:
                self.file.write_bytes(whole[:-1])
            case _:
                self.contents[self.target] = [whole, flipped]
                with self.file.open("r+b") as file:  # in place: who has it open sees it
                    file.write(flipped)

    @property
    def version(self) -> int:
        """When the file of the target was last written to; 0 if it is not there."""
        return self.file.stat().st_mtime_ns if self.file.is_file() else 0

    @property
    def is_whole(self) -> bool:
        return self.file.is_file() and self.file.read_bytes() == self.contents[self.target][0]

    def mend(self) -> None:
        self.file.write_bytes(self.contents[self.target][0])


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went: the codes of all pushes (None: killed), and the faults that happened."""

    codes: tuple[int | None, ...]
    fired: tuple[Fault, ...]


class User:
    """Pushes one model to one registry, again and again, each time in what could be a new process."""

    def __init__(self, source: Source, registry: EmbeddedRegistry, judge: Judge, settings: Settings) -> None:
        self.source = source
        self.registry = registry
        self.judge = judge
        self.settings = settings
        self.ends: list[End] = []
        self.events: list[Event] = []
        self.error: RegistryPushError | None = None
        self._version = source.version

    async def push(
        self, *, kill_at: int = 0, stop_at: int = 0, on_progress: Callable[[BlobProgress], None] | None = None
    ) -> int | None:
        """One push, judged; its exit code, None if it was killed at its `kill_at`-th progress."""
        code = await self.push_unjudged(kill_at=kill_at, stop_at=stop_at, on_progress=on_progress)
        self.judge.check_resent(self.registry, self.ends)
        return code

    async def push_unjudged(
        self, *, kill_at: int = 0, stop_at: int = 0, on_progress: Callable[[BlobProgress], None] | None = None
    ) -> int | None:
        """As `push`, but P2 is not asked for: the notes are lost, and that costs bandwidth (P4)."""
        stop, moved = asyncio.Event(), 0
        self.events, self.error = [], None
        killed_at: list[int] = []
        expected, was = [fingerprint(self.source.root)], self.source.version
        if self.ends and was != self._version:  # written to between two pushes
            self.ends[-1] = replace(self.ends[-1], rewritten=self.source.target)

        def sink(event: Event) -> None:
            nonlocal moved
            self.events.append(event)
            if isinstance(event, BlobProgress):
                moved += 1
                if moved == kill_at:
                    killed_at.append(self._turn)
                    task.cancel()
                if moved == stop_at:
                    stop.set()
                if on_progress is not None:
                    on_progress(event)
                    expected.append(fingerprint(self.source.root))

        task = asyncio.create_task(self.work(sink, stop))
        code: int | None = 0
        try:
            report = await task
            self.error = report.error
        except RegistryPushError as error:
            self.error = error
        except asyncio.CancelledError:
            code = KILLED
        code = self.error.exit_code if self.error is not None else code
        if fingerprint(self.source.root) != expected[-1]:
            self.judge.flaws.append("P5: the source was written to")
        turn = killed_at[0] if code is KILLED else self._turn
        await asyncio.sleep(SETTLED)  # no time passes: see clock.py
        self._version = self.source.version
        rewritten = self.source.target if self._version != was else None
        self.ends.append(End(turn, self._turn, code, rewritten))
        if self.settings.state_dir is not None:
            self.judge.flaws += [f"P3: {leak}" for leak in leaks.current().in_journals(self.settings.state_dir)]
        self.judge.after_push(self.registry, code, self.error, self._shown)
        if code == 0 and not self.source.is_whole and self.registry_lacked_it:
            raise Broken("P7: success with a corrupt blob")
        return code

    async def work(self, sink: Sink, stop: asyncio.Event) -> Report:
        """What the user does."""
        return await push([NAME.short], to=f"{self.registry.host}/", settings=self.settings, sink=sink, stop=stop)

    @property
    def _shown(self) -> str:
        """All that the last push has told."""
        shown = [as_json(event) for event in self.events]
        return json.dumps([*shown, error_fields(self.error)] if self.error is not None else shown)

    @property
    def registry_lacked_it(self) -> bool:
        """Whether the damaged blob is not whole at the target: with it there, there is nothing to read here."""
        return not self.judge.has(self.source.target)

    @property
    def _turn(self) -> int:
        storage = self.registry.storage_log if self.registry.has_storage else []
        return max((turn for each in [*self.registry.log, *storage] for turn in (each.began, each.ended)), default=0)


def options_of(scene: Scene, judge: Judge) -> Options:
    """The registry of the scene."""
    auth = {"open": None, "basic": Basic(_USERS), "token": Token(users=_USERS)}[scene.auth]
    ollama = Ollama(redirect=lambda first, _: (first // scene.chunk) % 3 < scene.redirects, direct=scene.direct)
    return Options(
        on_cut=scene.on_cut,
        relative_locations=scene.relative,
        auth=auth,
        hook=judge.watch,
        ollama=ollama if scene.ollama else None,
        faults=scene.schedule,
        quirks=scene.quirks,
    )


def settings_of(scene: Scene, folder: Path) -> Settings:
    """The user's settings in the scene."""
    return Settings(
        home=folder,
        models=folder / "models",
        state_dir=folder / "state",
        username="me" if scene.auth != "open" else None,
        password=_USERS["me"] if scene.auth != "open" else None,
        dialect="ollama" if scene.ollama else "auto",
        chunk_size=scene.chunk,
        jobs=scene.jobs,
        timeout=30,
    )


@asynccontextmanager
async def staged(scene: Scene, folder: Path) -> AsyncIterator[User]:
    """The scene's user, before a store and a registry. Nothing is damaged yet."""
    source = Source.write(folder / "models", scene.sizes, seed=scene.seed, tensors=scene.direct)
    one_request = min(scene.chunk, SINGLE_PUT)
    judge = Judge(folder / "registry", REPOSITORY, source.manifest, one_request, source.contents, quirks=scene.quirks)
    async with EmbeddedRegistry(folder / "registry", options_of(scene, judge)) as registry:
        yield User(source, registry, judge, settings_of(scene, folder))


async def perform(scene: Scene, folder: Path) -> Outcome:
    """Plays the scene to its end. Raises `Broken` where a promise was not kept."""
    async with staged(scene, folder) as user:
        source, flips = user.source, scene.damage is Damage.FLIPPED_WHILE_SENT
        if scene.damage is not None and not flips:
            source.damage(scene.damage)

        def flip(event: BlobProgress) -> None:
            nonlocal flips
            if flips and event.digest == source.target:
                flips = False
                source.damage(Damage.FLIPPED_WHILE_SENT)

        codes: list[int | None] = []
        kills, stops = chain(scene.kills, repeat(0)), chain(scene.stops, repeat(0))
        while len(codes) < MOST_PUSHES + scene.portal_answers:
            code = await user.push(kill_at=next(kills), stop_at=next(stops), on_progress=flip if flips else None)
            codes.append(code)
            if code == 0:
                break
            if code in (3, 7) and not source.is_whole:
                source.mend()
            elif code == 5:
                _expect_refusal(scene, user)
                if any(fault.what is What.LIMIT for fault in user.registry.fired):
                    break  # it will be said again however often it is asked
        else:
            raise Broken(f"it never ended: {codes}, at last {user.error!r}")
        return Outcome(tuple(codes), tuple(user.registry.fired))


def _expect_refusal(scene: Scene, user: User) -> None:
    """5 is for what will be refused however often it is asked: bodies over what the registry takes, and no registry."""
    fired = user.registry.fired
    if any(fault.what is What.LIMIT and fault.limit < max(scene.chunk, 1 << 20) for fault in fired):
        return
    if any(fault.what is What.PORTAL or (fault.what is What.ECHO and fault.status == 400) for fault in fired):
        return
    # A session at another origin, where nobody may sign in, is a proxy's mistake, and named as one.
    if any(fault.what is What.LOCATION and fault.form in ("elsewhere", "changed") for fault in fired):
        return
    # Who says twice that this offset is wrong, and that it is right, means the size.
    if sum(fault.what is What.OFFSET for fault in fired) < 2:
        raise Broken(f"P6: 5 without a reason for good: {user.error!r}")
