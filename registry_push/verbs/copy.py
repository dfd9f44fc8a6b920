"""Copy: manifests and what they name from any store to any other."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Final, Self

from msgspec.structs import replace

from ..content.base import BlobBody, Target
from ..errors import NameCollision, RegistryPushError, UsageError, unwrapped
from ..events import Event, ModelDone, ModelFailed, RunStarted, Sink, TagSet, ignore
from ..model import Descriptor, Digest, Manifest, ModelName
from ..model.mapping import AnyName, CopyTarget, Mapped, mapped, parse_copy_target
from ..model.place import ArchivePlace, Below, Exactly, LayoutPlace, OllamaPlace, Place, parse_readable
from ..registry.registries import Registries
from ..settings import Settings
from ..transfer.copy import Copier, Report
from ..transfer.dry_run import CheckableTarget, DryRun, marked
from ..transfer.job import AnyJob, AnyReference, Job
from ..transfer.kept_tags import KeptTags
from .shared import sharing
from .sources import CopySource
from .stores import Stores

# Manifests that are asked for at once.
_AT_ONCE: Final = 8


async def copy(
    source: str,
    target: str,
    *,
    tags: Sequence[str] = (),
    dry_run: bool = False,
    settings: Settings | None = None,
    sink: Sink = ignore,
    stop: asyncio.Event | None = None,
) -> Report:
    """Copy `source` to `target`, places both: one model, a repository with all its tags, or a whole store.

    Each of `tags` is set beside the main one. What is at the target with the same digest costs two requests. Raises an
    error of the tree for what concerns all of it; one manifest that fails does not keep the others back. But an archive
    appears with all of the models or not at all; what there was of it is continued by the same copy. Cancelling is
    safe. Once `stop` is set, chunks under way are finished, nothing new is begun, and `Interrupted` is raised.
    """
    return await copy_each(
        [parse_readable(source)],
        parse_copy_target(target),
        tags=tags,
        dry_run=dry_run,
        settings=settings,
        sink=sink,
        stop=stop,
    )


async def copy_each(
    places: Sequence[Place],
    to: CopyTarget,
    *,
    tags: Sequence[str] = (),
    dry_run: bool = False,
    settings: Settings | None = None,
    sink: Sink = ignore,
    stop: asyncio.Event | None = None,
) -> Report:
    """As `copy`, from each of `places`."""
    settings, stop = settings or Settings(), stop or asyncio.Event()
    if dry_run:
        settings, sink = dataclasses.replace(settings, state_dir=None), marked(sink)
    async with (
        sharing(settings, sink) as shared,
        Registries(settings, sink, shared.journal, stop, shared.means) as registries,
        Stores(settings, registries, stop) as stores,
    ):
        stores.check_target(to)
        if not dry_run:
            await stores.prepare(to)
        wanted = [(each, source) for source in map(stores.source, places) for each in await source.names()]
        plan = await _Plan(stores, settings, all_or_nothing=isinstance(to, ArchivePlace)).of(_mapped(wanted, to, tags))
        stores.expect(plan.jobs)

        def target_of(reference: AnyReference) -> Target:
            opened: CheckableTarget = stores.target(reference)
            if settings.no_clobber:
                opened = KeptTags(opened, plan.digests[reference])
            return DryRun(opened) if dry_run else opened

        copier = Copier(
            plan,
            target_of,
            plan.telling(sink),
            shared.journal,
            stop,
            settings.recheck,
            shared.places,
            shared.means.transport.pauses,
        )
        report = await copier.copy(plan.jobs)
        if report.error is None and not dry_run:
            await stores.finish()
    models = (*plan.settled, *report.models)
    return Report(tuple(replace(model, dry_run=dry_run) for model in models), "copied")


def _mapped(
    wanted: Sequence[tuple[AnyName, CopySource]], to: CopyTarget, tags: Sequence[str]
) -> list[tuple[Mapped, CopySource]]:
    """Where each goes, with its source. Raises `UsageError`, `NameCollision`."""
    if len(wanted) > 1 and _names_one(to):
        raise UsageError(
            f"{len(wanted)} models can't all become one",
            hint="to keep their names, end the target with a slash (HOST/PATH/), or name a store: ollama:, oci:DIR",
        )
    if len(wanted) > 1 and tags:
        raise UsageError("--tag is for one model, and several are copied", hint="copy them one by one")
    found, taken = [(mapped(name, to, tags), source) for name, source in wanted], dict[AnyReference, AnyName]()
    for each, _ in found:
        for reference in each.references:
            other = taken.setdefault(reference, each.name)
            if other != each.name:
                raise NameCollision(
                    f"{other} and {each.name} would both become {reference}", hint="copy them one by one"
                )
    return found


def _names_one(to: CopyTarget) -> bool:
    match to:
        case Below():
            return False
        case Exactly(reference):
            return reference.tag is not None
        case OllamaPlace(name):
            return name is not None
        case LayoutPlace(_, ref) | ArchivePlace(_, ref):
            return ref is not None


class _Plan:
    """What is to be copied, found out side by side: HEAD at the source and at the target before any GET.

    The source of the run that follows: each blob comes from where its manifest was read.
    """

    def __init__(self, stores: Stores, settings: Settings, *, all_or_nothing: bool) -> None:
        self._stores = stores
        self._all_or_nothing = all_or_nothing
        self._recheck = settings.recheck
        self._sources: dict[Digest, CopySource] = {}  # by blob, and by manifest
        self.jobs: list[AnyJob] = []
        self.settled: list[ModelDone | ModelFailed] = []  # what is there already, and what could not be read
        self.digests: dict[AnyReference, Digest] = {}

    async def of(self, wanted: Sequence[tuple[Mapped, CopySource]]) -> Self:
        """Look at all of `wanted`.

        Raises the error of a model that can't be read if it is the only one, or if all or nothing is to be copied: then
        the jobs are in one order whatever the source's is, so that the same models give the same bytes.
        """
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def looked_at(each: Mapped, source: CopySource) -> AnyJob | ModelDone | ModelFailed:
            async with at_once:
                try:
                    return await self._look(each, source)
                except RegistryPushError as error:
                    if len(wanted) == 1 or self._all_or_nothing:
                        raise error.of_model(_called(each)) from error.__cause__
                    return ModelFailed(_called(each), each.references[0], error.of_model(_called(each)))

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(looked_at(each, source)) for each, source in wanted]
        except BaseExceptionGroup as error:
            raise unwrapped(error) from None
        for task in tasks:
            match task.result():
                case ModelDone() | ModelFailed() as settled:
                    self.settled.append(settled)
                case job:
                    self.jobs.append(job)
                    self.digests |= dict.fromkeys(job.references, job.manifest.digest)
        if self._all_or_nothing:
            self.jobs.sort(key=lambda job: str(job.target))
        return self

    async def open(self, blob: Descriptor) -> BlobBody:
        """As `Source.open`."""
        return await self._sources[blob.digest].open(blob)

    async def check(self, manifest: Manifest) -> None:
        """As `Checker.check`."""
        await self._sources[manifest.digest].check(manifest)

    async def _look(self, each: Mapped, source: CopySource) -> AnyJob | ModelDone:
        digest = None if self._recheck else await source.digest_of(each.name)
        if digest is not None:
            before = [await self._stores.target(ref).digest_of(ref.tag or "") for ref in each.references]
            if all(there == digest for there in before):
                tags = tuple(TagSet(ref.tag or "", digest) for ref in each.references)
                return ModelDone(
                    _called(each), each.references[0], digest, uploaded=0, mounted=0, present=0, sent=0, tags=tags
                )
        manifest = await source.resolve(each.name)
        job = Job(each.name, manifest, each.references, await source.children(manifest))
        for each_manifest in (manifest, *job.children):
            self._sources[each_manifest.digest] = source
        self._sources |= dict.fromkeys((blob.digest for blob in job.blobs), source)
        return job

    def telling(self, sink: Sink) -> Sink:
        """A sink that also tells what was there, and what could not be read, when the run has begun."""

        def told(event: Event) -> None:
            if not isinstance(event, RunStarted):
                sink(event)
                return
            sink(replace(event, models=event.models + len(self.settled)))
            for model in self.settled:
                sink(model)

        return told


def _called(each: Mapped) -> str:
    return each.name.short if isinstance(each.name, ModelName) else str(each.name)
