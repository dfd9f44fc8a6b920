"""Verify: all content of places, read and hashed; and repaired from another place."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from ..content.hashing import Hasher
from ..content.hashing_target import Findings, HashingTarget, Verified
from ..errors import (
    ArchiveCorrupt,
    ContentDamaged,
    ModelNotFound,
    RegistryPushError,
    StoreNotFound,
    StrayFile,
    unwrapped,
)
from ..events import Event, ManifestPushed, ModelDone, ModelFailed, RunStarted, Sink, Warned, ignore
from ..http.proxies import Proxies
from ..model import Digest
from ..model.place import OllamaPlace, Place, RegistryPlace, parse_readable, place_meant, spelt
from ..registry.registries import Registries
from ..settings import Settings
from ..transfer.copy import Copier
from ..transfer.job import AnyJob, AnyReference
from .repair import Repair, writer_at
from .stores import Stores
from .verify_plan import Item, MovedError, PlacePlan, content_of, is_damage, names_one, place_called, repository_of
from .verify_report import Finding, VerifyReport
from .verify_request import check_repair

# Manifests that are read at once.
_AT_ONCE: Final = 8


async def verify(
    places: Sequence[str],
    *,
    repair: str | None = None,
    settings: Settings | None = None,
    sink: Sink = ignore,
    stop: asyncio.Event | None = None,
) -> VerifyReport:
    """Read and hash all that the models at `places` are made of; fetch what is broken from the place `repair`.

    Nothing is written but what is repaired. Raises a `RegistryPushError` for what concerns a single place as a whole;
    if it is one of several, or a model, the others are verified nevertheless. Cancelling is safe. Once `stop` is set,
    no more is read, and `Interrupted` is raised.
    """
    parsed = list(dict.fromkeys(map(parse_readable, places)))
    mending = parse_readable(repair) if repair is not None else None
    if mending is not None:
        check_repair(parsed, mending)
    settings, stop = dataclasses.replace(settings or Settings(), state_dir=None), stop or asyncio.Event()
    Proxies.of(settings.environ)  # raises for an unusable proxy before anything else is checked
    hasher = Hasher(os.cpu_count() or 1)
    try:
        async with (
            Registries(settings, sink, stop=stop) as registries,
            Stores(settings, registries, stop) as stores,
        ):
            run = _Run(stores, hasher, sink, stop, mending=mending, said=repair or "")
            try:
                report = await run.verify(parsed)
            except (ModelNotFound, StoreNotFound) as error:
                if isinstance(parsed[0], OllamaPlace) and (meant := place_meant(places[0])) is not None:
                    error.hint = f"to verify an archive, write {meant}"
                raise
    finally:
        hasher.close()
    report.refuse_interrupted("nothing was changed" if mending is None else "what was repaired stays so")
    for model in report.failed:
        if isinstance(model.error, ContentDamaged):
            model.error.report = report
    return report


class _Run:
    """One verification. What is under way at a place is in `_stated`, `_items` and `_jobs`, by their references."""

    def __init__(
        self,
        stores: Stores,
        hasher: Hasher,
        sink: Sink,
        stop: asyncio.Event,
        *,
        mending: Place | None,
        said: str,
    ) -> None:
        self._stores = stores
        self._hasher = hasher
        self._sink = sink
        self._stop = stop
        self._mending = mending
        self._said = said
        self._stated: dict[str, Verified] = {}  # by repository: what several places of one store share
        self._items: dict[AnyReference, tuple[PlacePlan, Item]] = {}
        self._jobs: dict[AnyReference, AnyJob] = {}
        self._failed: dict[AnyReference, ModelFailed] = {}  # those whose manifests could not be read
        self._settled: list[ModelFailed] = []  # what can't even be named
        self._needed: dict[tuple[str, Digest], dict[str, None]] = {}  # by repository and digest, the models

    async def verify(self, places: Sequence[Place]) -> VerifyReport:
        """As `verify`."""
        for place in places:
            try:
                await self._plan(place)
            except RegistryPushError as error:
                if isinstance(error, ArchiveCorrupt):
                    error.hint = "export it again, or copy it again from where it came: it can't be repaired"
                elif len(places) == 1:
                    raise
                self._settled.append(ModelFailed(spelt(place, str), None, error))
        doubtful = self._doubtful()
        models = await self._hash(told_first=[each for ref, each in self._failed.items() if ref not in doubtful])
        moved = [(each.target, each.error) for each in models if isinstance(each, ModelFailed)]
        replaced = [target for target, error in moved if isinstance(error, MovedError) and error.replaced]
        models = [each for each in models if not _has_moved(each)]
        models += await self._once_more([*doubtful, *(each for each in replaced if each is not None)])
        ended = {model.target: model for model in (*models, *self._failed.values())}
        in_order = [ended[reference] for reference in self._items if reference in ended]
        return VerifyReport((*self._settled, *in_order), "verified", self._findings())

    async def _once_more(self, references: Sequence[AnyReference]) -> list[ModelDone | ModelFailed]:
        """Verify what is called so now: a program was writing when it was looked at."""
        if not references or self._stop.is_set():
            return []
        self._jobs.clear()
        items = [self._items[reference] for reference in references]
        for plan, item in items:
            self._failed.pop(item.reference, None)
            self._forget(plan, item)
        await self._read(items)
        for failed in [self._failed[reference] for reference in references if reference in self._failed]:
            self._sink(failed)
        models = await self._hash(is_last=True) if self._jobs else []
        return [each for each in models if not _has_moved(each)]

    async def _plan(self, place: Place) -> None:
        plan = self._opened(place)
        for lack in await plan.lacks():
            self._sink(Warned(lack.words, "bring them into one folder, and verify them as one: oci-archive:NAME.tar"))
        items = await plan.items()
        self._settled += [each for each in items if isinstance(each, ModelFailed)]
        named = [each for each in items if isinstance(each, Item)]
        await self._read([(plan, each) for each in named], is_named=names_one(place))
        jobs = [self._jobs[each.reference] for each in named if each.reference in self._jobs]
        others = await plan.others(jobs, named)
        if not items and not others:
            raise ModelNotFound(f"{spelt(place, str)} has no models")
        await self._read([(plan, each) for each in others])

    def _opened(self, place: Place) -> PlacePlan:
        source, repository = self._stores.source(place), repository_of(place)
        if repository not in self._stated:
            mender = None
            if self._mending is not None:
                origin, writer = self._stores.source(self._mending), writer_at(place, source, self._stop)
                mender = Repair(origin, self._said, writer, repository, self._sink)
            self._stated[repository] = Verified(
                repository=repository,
                is_remote=isinstance(place, RegistryPlace),
                findings=Findings(),
                hasher=self._hasher,
                sink=self._sink,
                stop=self._stop,
                mender=mender,
            )
        return PlacePlan(source, self._stated[repository])

    async def _read(self, items: Sequence[tuple[PlacePlan, Item]], *, is_named: bool = False) -> None:
        """Read the manifests of `items`: each becomes a job or a failure, unless it has gone since it was listed."""
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def read(plan: PlacePlan, item: Item) -> None:
            async with at_once:
                try:
                    job = await plan.job(item)
                except StrayFile as error:
                    self._sink(Warned(error.message, error.hint))
                except ModelNotFound as error:
                    if is_named:
                        raise
                    self._sink(Warned(f"{item.called} was removed meanwhile: {error.message}"))
                except RegistryPushError as error:
                    self._failed[item.reference] = ModelFailed(item.called, item.reference, error)
                    broken = error.broken if isinstance(error, ContentDamaged) else ()
                    self._note(plan, item, [each.blob.digest for each in broken])
                else:
                    self._jobs[item.reference] = job
                    self._note(plan, item, [*(each.digest for each in job.manifests), *content_of(job)])

        new = [(plan, item) for plan, item in items if item.reference not in self._jobs]
        self._items |= {item.reference: (plan, item) for plan, item in new}
        try:
            async with asyncio.TaskGroup() as group:
                for plan, item in new:
                    group.create_task(read(plan, item))
        except BaseExceptionGroup as error:
            raise unwrapped(error) from None

    def _note(self, plan: PlacePlan, item: Item, digests: Iterable[Digest]) -> None:
        for digest in digests:
            self._needed.setdefault((plan.at.repository, digest), {})[item.called] = None

    def _forget(self, plan: PlacePlan, item: Item) -> None:
        for (repository, _), models in self._needed.items():
            if repository == plan.at.repository:
                models.pop(item.called, None)

    def _doubtful(self) -> list[AnyReference]:
        """Return the models whose manifests may be half written: Ollama writes them in their place."""
        return [
            reference
            for reference, failed in self._failed.items()
            if is_damage(failed.error) and self._items[reference][1].entry is None
        ]

    async def _hash(
        self, *, told_first: Sequence[ModelFailed] = (), is_last: bool = False
    ) -> Sequence[ModelDone | ModelFailed]:
        """Hash what `_jobs` name. `is_last`: a model that was replaced again is not verified once more."""

        def told(event: Event) -> None:
            match event:
                case RunStarted() if is_last:
                    return
                case ManifestPushed():  # nothing was put
                    return
                case RunStarted():
                    left = [*self._settled, *told_first]
                    self._sink(replace(event, models=event.models + len(self._settled) + len(self._failed)))
                    for model in left:
                        self._sink(model)
                case ModelFailed(error=MovedError() as error):
                    self._forget(*self._items[_reference(event)])
                    if not error.replaced:
                        self._sink(Warned(error.message))
                case _:
                    self._sink(event)

        def target_of(reference: AnyReference) -> HashingTarget:
            plan, item = self._items[reference]
            return plan.target(item, self._jobs[reference], is_last=is_last)

        copier = Copier(lambda job: self._items[job.target][0], target_of, told, stop=self._stop)
        return (await copier.copy(list(self._jobs.values()))).models

    def _findings(self) -> tuple[Finding, ...]:
        """Return what is broken of the models that are there."""
        found = []
        for repository, at in self._stated.items():
            for several, is_repaired in ((at.findings.mended, True), (at.findings.broken, False)):
                for digest, broken in several.items():
                    if models := self._needed.get((repository, digest)):
                        found.append(Finding(place_called(repository), broken, tuple(models), is_repaired))
        return tuple(found)


def _reference(event: ModelFailed) -> AnyReference:
    assert event.target is not None, "it was begun"
    return event.target


def _has_moved(model: ModelDone | ModelFailed) -> bool:
    """Return whether the model was removed or replaced while it was verified."""
    return isinstance(model, ModelFailed) and isinstance(model.error, MovedError)
