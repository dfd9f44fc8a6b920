"""Scenes of `copy` and `pull`: a registry that is read from and goes wrong, a target, and a user who tries again."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from pathlib import Path
from typing import Final

from registry_push.embedded import Basic, EmbeddedRegistry, Options, Quirks, Token, What
from registry_push.errors import RegistryPushError
from registry_push.events import BlobProgress, Event, Sink
from registry_push.model import Manifest
from registry_push.protocol.upload.chunks import SINGLE_PUT
from registry_push.settings import DEFAULT_RETRIES, Settings
from registry_push.transfer.report import Report
from registry_push.verbs.copy import copy
from registry_push.verbs.pull import pull
from registry_push.verbs.push import push

from ..support import leaks
from ..support.secrets import PASSWORD
from . import sources
from .ledger import Broken
from .promises import Judge, fingerprint
from .reading_promises import check_requests, check_resumed, check_store, held_in
from .sources import SourceFault, SourceFaults, faults_of_seed
from .stage import KILLED, MOST_PUSHES, NAME, REPOSITORY, SETTLED, Scene, Source, User, options_of, settings_of

_USERS: Final = {"me": PASSWORD}
# Seconds, after which there is no time left to try again.
_LONG: Final = ("300", "99999999999999999999")


@dataclass(frozen=True, slots=True)
class ReadingScene:
    """What a seed stands for. `target` is a registry, whose faults are in its schedule; None: an Ollama store."""

    seed: int = 0
    faults: tuple[SourceFault, ...] = ()
    redirects: bool = False
    auth: str = "open"
    target: Scene | None = None
    sizes: tuple[int, ...] = (400_000,)
    chunk: int = 65_536
    jobs: int = 1
    kills: tuple[int, ...] = ()  # the progress events at which the runs are killed, the first run's first
    stops: tuple[int, ...] = ()  # … and at which they are told to stop

    @classmethod
    def pull_of_seed(cls, seed: int) -> ReadingScene:
        """The same seed gives the same scene."""
        dice = random.Random(f"pull {seed}")
        sizes = [dice.randint(1, 900_000)]
        if dice.random() < 0.5:
            sizes.append(dice.randint(1, 3_000_000))
        redirects = dice.random() < 0.4
        return cls(
            seed,
            faults_of_seed(seed, redirects=redirects),
            redirects,
            dice.choice(("open", "basic", "token")),
            None,
            tuple(sizes),
            jobs=dice.choice((1, 2, 8)),
            kills=tuple(dice.randint(1, 6) for _ in range(dice.choice((0, 0, 1, 3)))),
            stops=tuple(dice.randint(1, 6) for _ in range(dice.choice((0, 0, 1)))),
        )

    @classmethod
    def copy_of_seed(cls, seed: int) -> ReadingScene:
        """As `pull_of_seed`. Every other target does nothing wrong, so that the source alone is looked at."""
        dice = random.Random(f"copy {seed}")
        target, redirects = replace(Scene.of_seed(seed), damage=None), dice.random() < 0.4
        if dice.random() < 0.5:
            target = Scene(seed, auth=target.auth, chunk=target.chunk, sizes=target.sizes, jobs=target.jobs)
        return cls(
            seed,
            faults_of_seed(seed, redirects=redirects),
            redirects,
            target.auth,
            target,
            target.sizes,
            target.chunk,
            target.jobs,
            tuple(dice.randint(1, 12) for _ in range(dice.choice((0, 0, 1, 3)))),
            tuple(dice.randint(1, 12) for _ in range(dice.choice((0, 0, 1)))),
        )

    def __str__(self) -> str:
        where = "into a store" if self.target is None else f"to {self.target}"
        redirects = ", redirected to a storage" if self.redirects else ""
        return "\n  ".join(
            [
                f"from a registry ({self.auth}{redirects}), blobs of {self.sizes}, {self.jobs} at once, "
                f"killed at {self.kills}, told to stop at {self.stops}, {where}",
                "the source:",
                *map(str, self.faults),
            ]
        )


@dataclass(frozen=True, slots=True)
class ReadingOutcome:
    """How it went: the codes of all runs (None: killed), and the faults of the source that happened."""

    codes: tuple[int | None, ...]
    fired: tuple[SourceFault, ...]


class CopyUser(User):
    """Copies to a registry. What it says of the target is judged as for a push."""

    source_host: str

    async def work(self, sink: Sink, stop: asyncio.Event) -> Report:
        """As `User.work`."""
        tag = f"{REPOSITORY}:latest"
        return await copy(
            f"registry:{self.source_host}/{tag}",
            f"registry:{self.registry.host}/{tag}",
            settings=self.settings,
            sink=sink,
            stop=stop,
        )


@dataclass
class PullUser:
    """Pulls into a store, again and again."""

    host: str
    settings: Settings
    manifest: Manifest
    flaws: list[str] = field(default_factory=list)
    error: RegistryPushError | None = None

    async def pull(self, *, kill_at: int = 0, stop_at: int = 0) -> int | None:
        """One pull, judged; its exit code, None if it was killed at its `kill_at`-th progress."""
        stop, moved = asyncio.Event(), 0
        code: int | None = 0
        self.error = None

        def sink(event: Event) -> None:
            nonlocal moved
            if isinstance(event, BlobProgress):
                moved += 1
                if moved == kill_at:
                    task.cancel()
                if moved == stop_at:
                    stop.set()

        name = f"{self.host}/{REPOSITORY}:latest"
        task = asyncio.create_task(pull([name], name=NAME.short, settings=self.settings, sink=sink, stop=stop))
        try:
            self.error = (await task).error
        except RegistryPushError as error:
            self.error = error
        except asyncio.CancelledError:
            code = KILLED
        await asyncio.sleep(SETTLED)  # what it has asked has come to the server
        return self._judged(self.error.exit_code if self.error is not None else code)

    def _judged(self, code: int | None) -> int | None:
        assert self.settings.models is not None and self.settings.state_dir is not None
        self.flaws += check_store(self.settings.models, self.manifest, is_done=code == 0)
        self.flaws += [f"P3: {leak}" for leak in leaks.current().in_journals(self.settings.state_dir)]
        if self.error is not None and not self.error.hint:
            self.flaws.append(f"P6: no next step: {self.error!r}")
        if self.flaws:
            raise Broken("\n".join(self.flaws))
        return code


@asynccontextmanager
async def source_of(scene: ReadingScene, folder: Path) -> AsyncIterator[tuple[EmbeddedRegistry, SourceFaults, Source]]:
    """A registry with one model, which goes wrong as soon as it is armed."""
    stored = Source.write(folder / "pushed", scene.sizes, seed=scene.seed)
    manifest = Manifest.parse(stored.manifest)
    contents = {digest: versions[0] for digest, versions in stored.contents.items()}
    is_signed = scene.auth != "open"
    faults = SourceFaults(scene.faults, contents, manifest.raw, manifest.media_type, scene.redirects, is_signed)
    auth = {"open": None, "basic": Basic(_USERS), "token": Token(users=_USERS)}[scene.auth]
    quirks = Quirks(storage_head=403 if scene.redirects else None)
    async with EmbeddedRegistry(folder / "source", Options(auth=auth, hook=faults.hook, quirks=quirks)) as registry:
        settings = replace(_settings(scene, folder), models=folder / "pushed", state_dir=None)
        report = await push([NAME.short], to=f"{registry.host}/", settings=settings)
        assert report.error is None
        registry.log.clear()
        faults.armed = True
        yield registry, faults, stored


def _settings(scene: ReadingScene, folder: Path) -> Settings:
    return settings_of(
        scene.target or Scene(auth=scene.auth, chunk=scene.chunk, sizes=scene.sizes, jobs=scene.jobs), folder
    )


def _with_logins(settings: Settings, folder: Path, *hosts: str) -> Settings:
    """The settings with a file of logins, if there is one: a name and a password are for one registry."""
    if settings.username is None:
        return settings
    login = base64.b64encode(f"{settings.username}:{settings.password}".encode()).decode()
    file = folder / "auth.json"
    file.write_text(json.dumps({"auths": {host: {"auth": login} for host in hosts}}))
    file.chmod(0o600)
    return replace(settings, username=None, password=None, authfile=file)


async def perform_pull(scene: ReadingScene, folder: Path) -> ReadingOutcome:
    """Plays the scene to its end. Raises `Broken` where a promise was not kept."""
    async with source_of(scene, folder) as (registry, faults, stored):
        before = fingerprint(folder / "source")
        models = folder / "models"
        user = PullUser(registry.host, _settings(scene, folder), Manifest.parse(stored.manifest))
        faults.look = lambda: check_store(models, user.manifest, is_done=False)
        kills, stops = chain(scene.kills, repeat(0)), chain(scene.stops, repeat(0))
        codes: list[int | None] = []
        held = held_in(models)
        while len(codes) < MOST_PUSHES:
            faults.run = len(codes)
            code = await user.pull(kill_at=next(kills), stop_at=next(stops))
            codes.append(code)
            if faults.seen:
                raise Broken("while it was under way: " + "\n".join(faults.seen))
            check_resumed(faults, held)
            check_requests(faults, len(user.manifest.blobs), others=0)
            held = held_in(models)
            if fingerprint(folder / "source") != before:
                raise Broken("P5: the source was written to")
            if code == 0:
                return ReadingOutcome(tuple(codes), tuple(fault for _, fault in faults.fired))
            _expect_code(code, user.error, faults)
        raise Broken(f"it never ended: {codes}, at last {user.error!r}")


async def perform_copy(scene: ReadingScene, folder: Path) -> ReadingOutcome:
    """As `perform_pull`."""
    assert scene.target is not None
    async with source_of(scene, folder) as (registry, faults, stored):
        before = fingerprint(folder / "source")
        one_request = min(scene.chunk, SINGLE_PUT)
        judge = Judge(folder / "target", REPOSITORY, stored.manifest, one_request, stored.contents)
        async with EmbeddedRegistry(folder / "target", options_of(scene.target, judge)) as target:
            settings = _with_logins(settings_of(scene.target, folder), folder, registry.host, target.host)
            user = CopyUser(stored, target, judge, settings)
            user.source_host = registry.host
            is_clean = not scene.target.schedule.faults
            kills, stops = chain(scene.kills, repeat(0)), chain(scene.stops, repeat(0))
            codes: list[int | None] = []
            refused = 0  # what the target said it had not
            while len(codes) < MOST_PUSHES + scene.target.portal_answers:
                faults.run, fired = len(codes), len(target.fired)
                code = await user.push(kill_at=next(kills), stop_at=next(stops))
                codes.append(code)
                denied, refused = refused, _refusals(target)
                if is_clean and refused == denied:
                    check_resumed(faults, None)
                blobs = len(Manifest.parse(stored.manifest).blobs)
                others = len(target.fired) - fired + refused - denied
                # What went to Ollama's registry in an earlier run is read again for the hashes of its parts.
                check_requests(faults, blobs, others=others + blobs * scene.target.ollama)
                if fingerprint(folder / "source") != before:
                    raise Broken("P5: the source was written to")
                if code == 0:
                    break
                if is_clean:
                    _expect_code(code, user.error, faults)
                if code == 5 and any(fault.what is What.LIMIT for fault in target.fired):
                    break  # it will be said again however often it is asked
            else:
                raise Broken(f"it never ended: {codes}, at last {user.error!r}")
            return ReadingOutcome(tuple(codes), tuple(fault for _, fault in faults.fired))


def _expect_code(code: int | None, error: RegistryPushError | None, faults: SourceFaults) -> None:
    """Each failure has the code of what has happened in its run, and what passes is got over.

    6 needs more trouble than there are tries, or more patience than a run has.
    """
    fired = faults.fired_in(faults.run)
    happened = {fault.what for fault in fired}
    denials = {sources.What.EXPIRED} if not faults.redirects else set()
    passing = [fault for fault in fired if fault.what in sources.PASSING]
    is_too_much = len(passing) > DEFAULT_RETRIES or any(fault.retry_after in _LONG for fault in passing)
    # Who has never answered is not asked a third time.
    is_silent = sum(fault.what is sources.What.LOST and fault.on is sources.On.HEAD for fault in fired) > 1
    reasons = {
        KILLED: True,
        130: True,
        3: sources.What.MISSING in happened,
        4: bool(denials & happened),
        5: sources.What.LOOP in happened,
        6: is_too_much or is_silent,
        7: bool(happened & {sources.What.CORRUPT, *sources.SPOILS, sources.What.UNSIZED}),
    }
    if not reasons.get(code):
        raise Broken(f"P6: {code} without a reason: {error!r}; what happened: {[str(fault) for fault in fired]}")


def _refusals(target: EmbeddedRegistry) -> int:
    """How often it has said that an upload is not where its client thinks."""
    return sum(each.status in (404, 416) and "/uploads/" in each.target for each in target.log)
