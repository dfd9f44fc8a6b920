"""Scenes of `sync`: a source and two targets that go wrong, and a user who runs the same plan until all is well."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from pathlib import Path
from typing import Final

from registry_push.embedded import (
    Basic,
    EmbeddedRegistry,
    Exchange,
    Fault,
    Options,
    Quirks,
    Token,
    What,
)
from registry_push.errors import RegistryPushError, TooManyDeletions
from registry_push.events import BlobDone, Event, Placement, TagSettled, as_json, error_fields
from registry_push.protocol.upload.chunks import SINGLE_PUT
from registry_push.settings import Settings
from registry_push.verbs.sync.report import entry_of
from registry_push.verbs.sync.sync import SyncOptions, sync
from registry_push.verbs.sync.totals import SyncReport

from ..support import leaks
from ..support.secrets import PASSWORD
from .ledger import Broken, End, Ledger
from .promises import DOCUMENTED, fingerprint
from .sources import SourceFault, SourceFaults
from .stage import KILLED, SETTLED
from .sync_promises import MANIFEST, Row, SyncJudge, Target, check_totals, repository_of
from .sync_scene import SyncScene
from .sync_world import Shown, World, fill, shown_at

_USERS: Final = {"me": PASSWORD}
# A user gives up at last; every schedule is over long before.
_MOST_RUNS: Final = 60
_PLACED: Final = (Placement.UPLOADED, Placement.MOUNTED)


@dataclass(frozen=True, slots=True)
class SyncOutcome:
    """How it went: the codes of all runs (None: killed), the faults that happened, and the actions told."""

    codes: tuple[int | None, ...]
    fired: tuple[Fault | SourceFault, ...]
    actions: tuple[str, ...] = ()


@dataclass
class Part:
    """One repository of a registry, by its log."""

    host: str
    log: list[Exchange]
    has_storage: bool = False
    storage_log: list[Exchange] = field(default_factory=list)


@dataclass
class SyncUser:
    """Syncs again and again, each time in what could be a new process."""

    scene: SyncScene
    folder: Path
    world: World
    judge: SyncJudge
    source: EmbeddedRegistry
    targets: tuple[EmbeddedRegistry, EmbeddedRegistry]
    settings: Settings
    shown: list[Shown]
    ends: list[dict[str, list[End]]] = field(default_factory=lambda: [{}, {}])
    report: SyncReport | None = None
    error: RegistryPushError | None = None
    rows: list[Row] = field(default_factory=list)
    is_quiet: bool = True  # nothing has gone wrong in the last run
    wrote: bool = False  # something was written at a target in the last run

    async def sync(self, *, kill_at: int = 0, stop_at: int = 0) -> int | None:
        """One run, judged; its exit code, None if it was killed at its `kill_at`-th event."""
        stop, code, seen = asyncio.Event(), KILLED, 0
        events: list[Event] = []
        failures: list[tuple[TagSettled, tuple[int, int]]] = []
        cut: list[tuple[int, int]] = []
        self.report = self.error = None
        document = self.folder / "report.json"
        document.unlink(missing_ok=True)

        def sink(event: Event) -> None:
            nonlocal seen
            seen += 1
            events.append(event)
            if isinstance(event, TagSettled) and event.error is not None:
                failures.append((event, self._turns))
            if seen == kill_at:
                cut.append(self._turns)
                task.cancel()
            if seen == stop_at:
                stop.set()

        asked = len(self.source.log)
        began = tuple(len(each.log) for each in self.targets)
        options = SyncOptions(
            delete=self.scene.max_delete is not None,
            max_delete=self.scene.max_delete,
            fail_fast=self.scene.fail_fast,
            report=document,
        )
        task = asyncio.create_task(
            sync(self.folder / "plan.toml", options, settings=self.settings, sink=sink, stop=stop)
        )
        try:
            self.report = await task
            self.error = self.report.error
            code = self.error.exit_code if self.error is not None else 0
        except RegistryPushError as error:
            raise Broken(f"P6: sync raised, and has no report: {error!r}") from error
        except asyncio.CancelledError:
            pass
        turns = cut[0] if code is KILLED else self._turns
        await asyncio.sleep(SETTLED)  # no time passes: see clock.py
        logs = [each.log[first:] for each, first in zip(self.targets, began, strict=True)]
        self._note_ends(code, turns, failures)
        before, self.shown = self.shown, [shown_at(root) for root in self.judge.roots]
        told = [entry_of(each) for each in events if isinstance(each, TagSettled)]
        hosts = [each.host for each in self.targets]
        self.rows = [Row.of(each, self.source.host, hosts) for each in told]
        self._check_document(document, code)
        found = [Target(*each) for each in zip(before, self.shown, logs, strict=True)]
        is_cut_short = code in (KILLED, 130) or (
            self.scene.fail_fast and any(row.code is not None for row in self.rows)
        )
        self.judge.hides_referrers = any(
            each.fault is not None
            and each.fault.what is What.PORTAL
            and "/referrers/" in each.target
            and each.status == 200
            for each in self.source.log[asked:]
        )
        self.judge.check_rows(self.rows, found, finished=not is_cut_short, killed=code is KILLED)
        if code is not KILLED:
            placed = Counter(
                each.repository for each in events if isinstance(each, BlobDone) and each.placement in _PLACED
            )
            self.judge.check_counts(self.rows, found, placed, finished=not is_cut_short)
        self.judge.check_targets(self.shown)
        self._check_deletions(found)
        self._check_manners(code, [*map(as_json, events)])
        self.wrote = any(each.method not in ("GET", "HEAD") for log in logs for each in log)
        if self.judge.flaws:
            raise Broken("\n".join(self.judge.flaws))
        self._check_resent()
        return code

    @property
    def _turns(self) -> tuple[int, int]:
        first, second = (
            max((turn for each in one.log for turn in (each.began, each.ended)), default=0) for one in self.targets
        )
        return first, second

    def _note_ends(
        self, code: int | None, turns: tuple[int, int], failures: list[tuple[TagSettled, tuple[int, int]]]
    ) -> None:
        """How the run ended for each repository: where its first tag failed, it broke off."""
        for place, settled in enumerate(self._turns):
            failed: dict[str, list[End]] = {}
            for event, at in failures:
                if event.target is not None and event.target.host == self.targets[place].host and event.error:
                    end = End(at[place], settled, event.error.exit_code)
                    failed.setdefault(event.target.repository, []).append(end)
            for repository in {repository_of(each) for each in self.targets[place].log}:
                whole = End(turns[place], settled, KILLED if code is KILLED else 0)
                self.ends[place].setdefault(repository, []).extend([*failed.get(repository, []), whole])

    def _check_resent(self) -> None:
        """P2, repository by repository; not if the state is lost, which costs bandwidth (P4)."""
        if self.scene.forgets:
            shutil.rmtree(self.folder / "state", ignore_errors=True)
            return
        one_request = min(self.scene.chunk, SINGLE_PUT)
        for place, registry in enumerate(self.targets):
            quirks = self.scene.quirks if place == 0 else Quirks()
            for repository, ends in self.ends[place].items():
                log = [each for each in registry.log if repository_of(each) == repository]
                Ledger(Part(registry.host, log), self.world.contents, one_request, quirks).read(ends)

    def _check_document(self, document: Path, code: int | None) -> None:
        """The file of the report is what was told, or there is none."""
        if code is KILLED:
            if document.exists():
                json.loads(document.read_text())
            return
        assert self.report is not None
        written = json.loads(document.read_text())
        hosts = [each.host for each in self.targets]
        rows = [Row.of(each, self.source.host, hosts) for each in written["entries"]]
        if sorted(map(str, rows)) != sorted(map(str, self.rows)):
            self.judge.flaws.append(
                f"report: {sorted(map(str, rows))} are written, and told {sorted(map(str, self.rows))}"
            )
        self.rows = rows
        self.judge.flaws += check_totals(rows, written["totals"])
        has_failed = any(row.action == "failed" for row in rows)
        if has_failed and self.error is None:
            self.judge.flaws.append("P7: success, and a tag has failed")
        if (
            self.error is not None
            and not has_failed
            and code not in (130,)
            and not isinstance(self.error, TooManyDeletions)
        ):
            self.judge.flaws.append(f"P6: {self.error!r}, and no tag has failed")

    def _check_deletions(self, targets: list[Target]) -> None:
        gone = [tag for each in targets for tag in each.before.tags if tag not in each.after.tags]
        most = self.scene.max_delete or 0
        if isinstance(self.error, TooManyDeletions):
            doomed = [
                tag in each.before.tags for each, tags in zip(targets, self.world.doomed, strict=True) for tag in tags
            ]
            if gone or sum(doomed) <= most:
                self.judge.flaws.append(f"P5: {gone} are gone, and {sum(doomed)} were to go: {self.error.message}")
        elif len(gone) > most:
            self.judge.flaws.append(f"P5: {len(gone)} tags are gone: {gone}")

    def _check_manners(self, code: int | None, events: list[object]) -> None:
        """P3 and P6: codes and next steps, and who we are is told to nobody else."""
        flaws = self.judge.flaws
        if code is not None and code not in {*DOCUMENTED, 8}:
            flaws.append(f"P6: it ended with {code}: {self.error!r}")
        failed = self.report.failed if self.report is not None else ()
        for error in (self.error, *(each.error for each in failed)):
            if error is not None and not error.next_step:
                flaws.append(f"P6: no next step: {type(error).__name__}: {error}")
            if error is not None and error.exit_code not in {*DOCUMENTED, 8}:
                flaws.append(f"P6: {error.exit_code}: {error!r}")
        shown = json.dumps([*events, *([error_fields(self.error)] if self.error is not None else [])], default=str)
        for registry in (self.source, *self.targets):
            flaws += [f"P3: {secret!r} was repeated to us, and shown" for secret in registry.echoed if secret in shown]
            flaws += [f"P6: an answer was waited for that never ended: {fault}" for fault in registry.endured]
            for each in registry.log:
                if each.authorization is not None and each.headers["Host"] != registry.host:
                    flaws.append(f"P3: {each.authorization} was sent to {each.headers['Host']}")
        flaws += [
            f"P5: {each.method} {each.target} at the source"
            for each in self.source.log
            if each.method not in ("GET", "HEAD")
        ]
        if self.settings.state_dir is not None:
            flaws += [f"P3: {leak}" for leak in leaks.current().in_journals(self.settings.state_dir)]


def _options(scene: SyncScene, place: int, hook: object) -> Options:
    auth = {"open": None, "basic": Basic(_USERS), "token": Token(users=_USERS)}[scene.auth]
    return Options(
        on_cut=scene.on_cut,
        auth=auth,
        hook=hook,  # type: ignore[arg-type]
        faults=scene.schedules[place],
        quirks=scene.quirks if place == 1 else Quirks(),
    )


@asynccontextmanager
async def staged(scene: SyncScene, folder: Path) -> AsyncIterator[tuple[SyncUser, SourceFaults]]:
    """The scene's user, before a source and two targets that are filled."""
    world = World.of_seed(scene.seed, scene.sizes)
    roots = folder / "first", folder / "second"
    for root in (folder / "source", *roots):
        root.mkdir()
    world.fill_source(folder / "source")
    for root, before in zip(roots, world.before, strict=True):
        fill(root, before)
    judge = SyncJudge(world, roots, scene.max_delete is not None)
    read = {digest: versions[0] for digest, versions in world.contents.items()}
    faults = SourceFaults(scene.faults, read, b"", "", False, scene.auth != "open", armed=True)

    def manifest_at(path: str) -> tuple[bytes, str] | None:
        found = MANIFEST.match(path)
        if found is None:
            return None
        known = {str(digest): image for digest, image in world.images.items()}
        image = world.source.get((found[1], found[2])) or known.get(found[2])
        return (image.manifest.raw, image.manifest.media_type) if image is not None else None

    faults.manifest_at = manifest_at
    async with (
        EmbeddedRegistry(folder / "source", _options(scene, 0, faults.hook)) as source,
        EmbeddedRegistry(roots[0], _options(scene, 1, judge.hook(0))) as first,
        EmbeddedRegistry(roots[1], _options(scene, 2, judge.hook(1))) as second,
    ):
        (folder / "plan.toml").write_text(world.plan(source.host, first.host, second.host))
        settings = Settings(
            home=folder,
            models=folder / "models",
            state_dir=folder / "state",
            chunk_size=scene.chunk,
            jobs=scene.jobs,
            timeout=30,
        )
        if scene.auth != "open":
            settings = _with_logins(settings, folder, source.host, first.host, second.host)
        shown = [shown_at(root) for root in roots]
        yield SyncUser(scene, folder, world, judge, source, (first, second), settings, shown), faults


def _with_logins(settings: Settings, folder: Path, *hosts: str) -> Settings:
    login = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    file = folder / "auth.json"
    file.write_text(json.dumps({"auths": {host: {"auth": login} for host in hosts}}))
    file.chmod(0o600)
    return replace(settings, authfile=file)


async def perform_sync(scene: SyncScene, folder: Path) -> SyncOutcome:
    """Plays the scene to its end. Raises `Broken` where a promise was not kept."""
    async with staged(scene, folder) as (user, faults):
        before = fingerprint(folder / "source")
        kills, stops = chain(scene.kills, repeat(0)), chain(scene.stops, repeat(0))
        codes: list[int | None] = []
        actions: list[str] = []
        was_done = False
        registries = (user.source, *user.targets)

        def fired() -> list[Fault | SourceFault]:
            return [*(fault for each in registries for fault in each.fired), *(fault for _, fault in faults.fired)]

        def went_wrong() -> int:
            """How many answers were wrong so far, and how many bodies were too long."""
            return len(fired()) + sum(
                each.fault is not None or each.status == 413 for one in registries for each in one.log
            )

        while len(codes) < _MOST_RUNS:
            faults.run, count = len(codes), went_wrong()
            kill_at, stop_at = next(kills), next(stops)
            code = await user.sync(kill_at=kill_at, stop_at=stop_at)
            codes.append(code)
            actions += [row.action for row in user.rows]
            if fingerprint(folder / "source") != before:
                raise Broken("P5: the source was written to")
            is_quiet = went_wrong() == count and code not in (KILLED, 130)
            is_done = code == 0 or (
                isinstance(user.error, TooManyDeletions) and all(row.code is None for row in user.rows)
            )
            if is_quiet and not is_done:
                raise Broken(
                    f"P6: {user.error!r} in a run in which nothing went wrong\n" + "\n".join(map(str, user.rows))
                )
            if is_quiet and codes[-2:-1] == [code] and was_done:
                _expect_nothing(user)
                break
            was_done = is_done and not user.judge.hides_referrers  # the next run copies what was hidden
            if code not in (KILLED, 130) and _is_limited(user):
                break  # it will be said again however often it is asked
        else:
            raise Broken(f"it never ended: {codes}, at last {user.error!r}")
        return SyncOutcome(tuple(codes), tuple(fired()), tuple(actions))


def _is_limited(user: SyncUser) -> bool:
    """Whether what fails does so for good: bodies are longer than a target takes."""
    codes = {row.code for row in user.rows if row.code is not None}
    limits = any(fault.what is What.LIMIT for each in user.targets for fault in each.fired)
    return limits and codes == {5}


def _expect_nothing(user: SyncUser) -> None:
    """A run after one that went well, in which nothing goes wrong, writes nothing."""
    changed_ = [str(row) for row in user.rows if row.action not in ("present", "kept", "skipped", "left")]
    if changed_ or (user.wrote and not any(row.action == "left" for row in user.rows)):
        raise Broken(f"P2: a second run has written: {changed_}")
    for place, wanted in enumerate(user.world.wanted):
        for tag, each in wanted.items():
            if not each.kept and user.shown[place].tags.get(tag) != each.image.digest:
                raise Broken(f"P7: success, and {':'.join(tag)} is not there")
