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
    RemoteMismatch,
    UsageError,
    unwrapped,
)
from ..events import Event, ModelDone, ModelFailed, RunStarted, Sink, TagSet, Warned
from ..model import Digest, Manifest, ModelName
from ..model.mapping import AnyName, CopyTarget, Mapped, mapped
from ..model.place import ArchivePlace, Below, Exactly, LayoutPlace, OllamaPlace
from ..settings import Settings
from ..transfer.job import AnyJob, AnyReference, Job, Referrer
from .copy_options import CopyOptions
from .referrers import attached_ref, referrers_of
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
    if len(wanted) > 1 and _names_one(to):
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
            failed.append(ModelFailed(_called(name), None, error.of_model(_in_ollama(name))))
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


class CopyPlan:
    """What has to be copied. Found out in parallel, with HEAD at the source and at the target before any GET.

    Each blob of the run that follows comes from where its manifest was read, even if another source names it too.
    """

    def __init__(
        self, stores: Stores, settings: Settings, options: CopyOptions, sink: Sink, *, all_or_nothing: bool
    ) -> None:
        self._stores = stores
        self._options = options
        self._sink = sink
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
        is_only_one = len(wanted) == 1 and not self.settled
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def looked_at(each: Mapped, source: CopySource) -> AnyJob | ModelDone | ModelFailed:
            async with at_once:
                try:
                    return await self._look(each, source)
                except RegistryPushError as error:
                    if is_only_one or self._all_or_nothing:
                        raise error.of_model(_in_ollama(each.name)) from error.__cause__
                    return ModelFailed(_called(each.name), each.references[0], error.of_model(_in_ollama(each.name)))

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
                    _called(each.name),
                    each.references[0],
                    digest,
                    uploaded=0,
                    mounted=0,
                    present=None,
                    sent=0,
                    tags=tags,
                )
        manifest, about = await self._read(each, source, digest)
        if digest not in (None, manifest.digest) and await source.digest_of(each.name) != manifest.digest:
            raise RemoteMismatch(f"the source gave {manifest.digest} for {each.name}, whose digest is {digest}")
        children = await source.children(manifest)
        referrers = await self._referrers(each, source, (manifest, *children), about)
        self._sources[each.references[0]] = source
        return Job(each.name, manifest, each.references, children, referrers, before)

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

    async def _read(
        self, each: Mapped, source: CopySource, digest: Digest | None
    ) -> tuple[Manifest, tuple[str, ...] | None]:
        """Return the manifest, and the referrers of `digest`, if it is known and they matter. Asks for both at once."""
        if digest is None or not self._options.asks_for_referrers:
            return await source.resolve(each.name), None
        async with beside(source.about(digest)) as asking:
            manifest = await source.resolve(each.name)
            return manifest, await asking if manifest.digest == digest else None

    async def _referrers(
        self, each: Mapped, source: CopySource, manifests: Sequence[Manifest], about: tuple[str, ...] | None
    ) -> tuple[Referrer, ...]:
        """Return what is copied with the manifest; `about` is what the source has already said to be about it."""
        options = self._options
        if about is None and options.asks_for_referrers:
            about = await source.about(manifests[0].digest)
        if options.only_counts and (count := len(about or ())):
            what = f"{count} {'referrer' if count == 1 else 'referrers'} of {_called(each.name)}"
            self._sink(Warned(f"{what} left behind: an Ollama store has no place for them"))
        if not options.wants_any and options.required is None:
            return ()
        found = await referrers_of(source, manifests, about or (), kind=options.kind, required=options.required)
        if not options.wants_any:
            return ()
        return tuple(replace(one, ref=attached_ref(each.references[0], one.ref)) for one in found)

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


def _called(name: AnyName) -> str:
    return name.short if isinstance(name, ModelName) else str(name)
