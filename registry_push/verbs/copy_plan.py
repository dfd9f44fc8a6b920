"""`CopyPlan`: the work of a copy, determined before the first byte moves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Self

from msgspec.structs import replace

from ..beside import beside
from ..errors import (
    InvalidName,
    NameCollision,
    NameNotMappable,
    RegistryPushError,
    UsageError,
    unwrapped,
)
from ..events import Event, ModelDone, ModelFailed, RunStarted, Sink, TagSet
from ..model import Digest, ModelName
from ..model.mapping import AnyName, CopyTarget, Mapped, mapped
from ..model.place import OllamaPlace
from ..settings import Settings
from ..transfer.job import AnyJob, AnyReference
from .copy_options import CopyOptions
from .copy_request import names_one_model
from .job_reader import JobReader, called
from .sources import CopySource
from .stores import Stores

# Manifests that are asked for at once.
_AT_ONCE: Final = 8


def where_each_goes(
    wanted: Sequence[tuple[AnyName, CopySource]], to: CopyTarget, tags: Sequence[str], *, named: bool
) -> tuple[list[tuple[Mapped, CopySource]], list[ModelFailed]]:
    """Return where each goes, with its source; and those whose names are not allowed there.

    Raises `UsageError`, `NameCollision`; and what is wrong with a name, if they were all `named`, or none is allowed.
    """
    if len(wanted) > 1 and names_one_model(to):
        raise UsageError(
            f"{len(wanted)} models can't all become one",
            hint="to keep their names, end the target with a slash (HOST/PATH/), or name a store: ollama:, oci:DIR",
        )
    if len(wanted) > 1 and tags:
        raise UsageError("--tag is for one model, and several are copied", hint="copy them one by one")
    found, failed, taken = list[tuple[Mapped, CopySource]](), list[ModelFailed](), dict[object, AnyName]()
    for name, source in wanted:
        try:
            found.append((mapped(name, to, tags), source))
        except (InvalidName, NameNotMappable) as error:
            if named:
                raise
            failed.append(ModelFailed(called(name), None, error.of_model(_in_ollama(name))))
    if failed and not found:
        raise failed[0].error
    for each, _ in found:
        for reference in each.references:
            # Names that differ only in case are one name to a store.
            key = str(reference).lower() if isinstance(to, OllamaPlace) else reference
            other = taken.setdefault(key, each.name)
            if other != each.name:
                raise NameCollision(
                    f"{other} and {each.name} would both become {reference}", hint="copy them one by one"
                )
    return found, failed


class CopyPlan:
    """What has to be copied. Found out in parallel, with HEAD at the source and at the target before any GET.

    Each blob of the run that follows comes from where its manifest was read, even if another source names it too.
    """

    def __init__(
        self, stores: Stores, settings: Settings, options: CopyOptions, sink: Sink, *, all_or_nothing: bool
    ) -> None:
        self._stores = stores
        self._options = options
        self._reader = JobReader(options, sink)
        self._all_or_nothing = all_or_nothing
        self._recheck = settings.recheck
        self._keeps_tags = settings.no_clobber
        self._sources: dict[AnyReference, CopySource] = {}  # by main reference
        self.jobs: list[AnyJob] = []
        self.settled: list[ModelDone | ModelFailed] = []  # models that are there already, or could not be read
        self.tags: dict[AnyReference, dict[str, Digest]] = {}  # by main reference, what each job sets

    async def of(self, wanted: Sequence[tuple[Mapped, CopySource]]) -> Self:
        """Plan the copy of all of `wanted`.

        Raises the error of a model that can't be read if it is the only one, those that were left out counted too, or
        if all or nothing has to be copied. In that case the jobs are sorted, so that the same models result in the same
        bytes.
        """
        is_only_one = len(wanted) == 1 and not self.settled and not self.jobs
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def looked_at(each: Mapped, source: CopySource) -> AnyJob | ModelDone | ModelFailed:
            async with at_once:
                try:
                    return await self._look(each, source)
                except RegistryPushError as error:
                    if is_only_one or self._all_or_nothing:
                        raise error.of_model(_in_ollama(each.name)) from error.__cause__
                    return ModelFailed(called(each.name), each.references[0], error.of_model(_in_ollama(each.name)))

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
                    # When the turn of others comes, the answer is old; and tags that are not moved are looked at twice.
                    is_new = is_only_one and not self._keeps_tags
                    self.jobs.append(job if is_new else replace(job, before=None))
                    self.tags[job.target] = job.tags
        if self._all_or_nothing:
            self.jobs.sort(key=lambda job: str(job.target))
        return self

    def leave_out(self, failed: Sequence[ModelFailed]) -> None:
        """Report `failed` with the others. Raises the first one's error if all or nothing has to be copied."""
        if failed and self._all_or_nothing:
            raise failed[0].error
        self.settled += failed

    def source_of(self, job: AnyJob) -> CopySource:
        """Return the source of `job`."""
        return self._sources[job.target]

    async def _look(self, each: Mapped, source: CopySource) -> AnyJob | ModelDone:
        digest, before = None, None
        if not (self._recheck or self._options.looks_always):
            digest, before = await self._compared(each, source)
            if before is not None and {*before.values()} == {digest}:
                assert digest is not None
                tags = tuple(TagSet(ref.tag or "", digest) for ref in each.references)
                return ModelDone(
                    called(each.name),
                    each.references[0],
                    digest,
                    uploaded=0,
                    mounted=0,
                    present=None,
                    sent=0,
                    tags=tags,
                )
        job = await self._reader.job(each, source, digest, before)
        self._sources[each.references[0]] = source
        return job

    async def _compared(
        self, each: Mapped, source: CopySource
    ) -> tuple[Digest | None, dict[str, Digest | None] | None]:
        """Return the digest that the source has, and those that the target has, by tag. Asks both at once.

        What goes wrong at the source is raised first; if it does not know the digest, the target does not matter.
        """
        async with beside(self._there(each)) as asking:
            digest = await source.digest_of(each.name)
            return digest, None if digest is None else await asking

    async def _there(self, each: Mapped) -> dict[str, Digest | None]:
        return {ref.tag or "": await self._stores.target(ref).digest_of(ref.tag or "") for ref in each.references}

    def telling(self, sink: Sink) -> Sink:
        """Return a sink that, when the run begins, also reports the models that are settled."""

        def told(event: Event) -> None:
            if not isinstance(event, RunStarted):
                sink(event)
                return
            sink(replace(event, models=event.models + len(self.settled)))
            for model in self.settled:
                sink(model)

        return told


def _in_ollama(name: AnyName) -> str | None:
    return name.short if isinstance(name, ModelName) else None
