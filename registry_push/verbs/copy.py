"""Copy: manifests and their content from any store to any other."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ..content.base import Target
from ..errors import ModelNotFound, RegistryPushError, StoreNotFound
from ..events import ModelFailed, Sink, ignore
from ..http.proxies import Proxies
from ..model.mapping import AnyName, CopyTarget, parse_copy_target
from ..model.place import (
    ArchivePlace,
    CatalogPlace,
    OllamaPlace,
    SourcePlace,
    names_host,
    parse_source,
    place_meant,
)
from ..model.referrers import is_attached
from ..model.tag_filter import TagFilter
from ..registry.registries import Registries
from ..settings import Settings
from ..state.copy_details import CopyDetails
from ..state.copy_record import CopyRecord
from ..transfer.copy import Copier
from ..transfer.dry_run import CheckableTarget, DryRun, marked
from ..transfer.job import AnyReference
from ..transfer.kept_tags import KeptTags
from ..transfer.report import Report
from .beginning import Beginning
from .catalog_source import CatalogSource, listed
from .copy_options import CopyOptions
from .copy_plan import CopyPlan, where_each_goes
from .copy_request import check_places, check_tag_filter
from .shared import Shared, sharing
from .sources import CopySource
from .stores import Stores, Writers, store_to_record
from .tag_filtering import Filtered, wants_failed, warn_of_attached

# What was done, by the verb.
OUTCOMES: Final = {"copy": "copied", "pull": "pulled", "export": "exported", "import": "imported"}

TargetOf = Callable[[AnyReference], CheckableTarget]


async def copy(
    source: str,
    target: str,
    *,
    tags: Sequence[str] = (),
    referrers: str | None = None,
    require_referrer: str | None = None,
    tag_filter: TagFilter | None = None,
    dry_run: bool = False,
    settings: Settings | None = None,
    sink: Sink = ignore,
    stop: asyncio.Event | None = None,
) -> Report:
    """Copy the place `source` to the place `target`: one model, a repository with all its tags, a store or a registry.

    Each of `tags` is set beside the main one. `referrers`: `all`, `none` or an artifact type; by default they are
    copied with manifests that are new at the target. Of several tags only those that `tag_filter` takes are copied, and
    what is about them. A manifest that the target has already costs two requests. Raises a `RegistryPushError` for what
    concerns the whole copy; if one manifest fails, the others are copied nevertheless. But an archive appears with all
    models or not at all; the same copy continues an incomplete one. Cancelling is safe. Once `stop` is set, chunks
    under way are finished, nothing new is begun, and `Interrupted` is raised.
    """
    to = parse_copy_target(target)
    options = CopyOptions.of(tags, referrers, require_referrer, to)
    places = [parse_source(source)]
    check_tag_filter(tag_filter, places[0], source)
    variant = Variant(details=CopyDetails(tag_filter=tag_filter)) if tag_filter not in (None, TagFilter()) else _PLAIN
    try:
        return await copy_each(
            places, to, options, variant=variant, dry_run=dry_run, settings=settings, sink=sink, stop=stop
        )
    except (StoreNotFound, ModelNotFound) as error:
        if isinstance(places[0], OllamaPlace) and names_host(source):  # a user may have meant the registry
            error.hint = f"to copy it from the registry, write registry:{source.removeprefix('ollama:')}"
        elif isinstance(places[0], OllamaPlace) and (meant := place_meant(source)) is not None:
            error.hint = f"to copy what is in an archive, write {meant}"
        raise


def _each_of(stores: Stores, places: Sequence[SourcePlace]) -> Sequence[CopySource | CatalogSource]:
    return [stores.catalog(each) if isinstance(each, CatalogPlace) else stores.source(each) for each in places]


async def _as_planned(_: CopyPlan, __: TargetOf) -> None:
    """Check nothing else."""


def _as_it_is(_: AnyReference, target: CheckableTarget) -> CheckableTarget:
    return target


class Variant(Struct, frozen=True):
    """How a command differs from a plain copy.

    `verb` and `details` are recorded, to resume it. `writers` make the layouts and archives that are written, `sources`
    opens what is read, and `before` looks at the plan before anything is written: it may change it, or raise. `target`
    wraps the target of each model.
    """

    verb: str = "copy"
    writers: Writers | None = None
    sources: Callable[[Stores, Sequence[SourcePlace]], Sequence[CopySource | CatalogSource]] = _each_of
    before: Callable[[CopyPlan, TargetOf], Awaitable[None]] = _as_planned
    target: Callable[[AnyReference, CheckableTarget], CheckableTarget] = _as_it_is
    details: CopyDetails = CopyDetails()


_PLAIN: Final = Variant()


async def copy_each(
    places: Sequence[SourcePlace],
    to: CopyTarget,
    options: CopyOptions,
    *,
    variant: Variant = _PLAIN,
    dry_run: bool = False,
    settings: Settings | None = None,
    sink: Sink = ignore,
    stop: asyncio.Event | None = None,
) -> Report:
    """As `copy`, from each of `places`; `variant` is how it differs."""
    settings, stop = settings or Settings(), stop or asyncio.Event()
    check_places(settings.username, places, to)
    Proxies.of(settings.environ)  # raises for an unusable proxy before anything else is checked
    record = CopyRecord.of(
        variant.verb,
        store_to_record(settings),
        places,
        to,
        settings,
        tags=options.tags,
        referrers=options.referrers,
        details=variant.details,
    )
    if dry_run:
        settings, sink = dataclasses.replace(settings, state_dir=None), marked(sink)
    async with (
        sharing(settings, sink) as shared,
        Registries(settings, sink, shared.journal, stop, shared.means) as registries,
        Stores(settings, registries, stop, variant.writers) as stores,
    ):
        stores.check_target(to)
        if not dry_run:
            await stores.prepare(to)
        sources = variant.sources(stores, places)
        found, unnamed = await listed(sources)
        tag_filter = variant.details.tag_filter
        filtered = Filtered(found, tag_filter) if tag_filter is not None else None
        wanted = filtered.wanted if filtered is not None else _without_attached(found, options, sink)
        plan = CopyPlan(stores, settings, options, sink, all_or_nothing=isinstance(to, ArchivePlace))
        plan.leave_out([each for each in unnamed if tag_filter is None or wants_failed(tag_filter, each)])
        going, failed = where_each_goes(wanted, to, options.tags, named=len(wanted) == len(sources))
        plan.leave_out(failed)
        await plan.of(going)
        if filtered is not None:
            await filtered.follow(plan, going, options, sink)
        stores.expect(plan.jobs)
        await variant.before(plan, stores.target)
        begins = Beginning(shared.journal, record)
        copier = _copier(
            plan, stores, shared, begins, variant=variant, dry_run=dry_run, settings=settings, sink=sink, stop=stop
        )
        try:
            report = await copier.copy(plan.jobs)
            if report.error is None and not dry_run:
                await stores.finish()
        except RegistryPushError as error:
            begins.end([error])
            raise
        models = (*plan.settled, *report.models)
        begins.end([model.error for model in models if isinstance(model, ModelFailed)])
    report = Report(tuple(replace(model, dry_run=dry_run) for model in models), OUTCOMES[variant.verb])
    report.refuse_interrupted("copied content is kept")
    return report


def _without_attached(
    found: Sequence[tuple[AnyName, CopySource]], options: CopyOptions, sink: Sink
) -> list[tuple[AnyName, CopySource]]:
    """Return `found` without the tags that signatures and the like have, if those are to stay behind."""
    if options.wants_any or len(found) == 1:
        return list(found)
    wanted = [(name, source) for name, source in found if not is_attached((name.tag or "").rpartition(":")[2])]
    if options.only_counts:
        warn_of_attached(len(found) - len(wanted), sink)
    return wanted


async def carry_out_again(record: CopyRecord, *, settings: Settings, sink: Sink, stop: asyncio.Event) -> Report:
    """Continue the recorded copy. Raises as `copy`."""
    to, settings = parse_copy_target(record.target), record.settings(settings)
    options = CopyOptions.of(record.tags, record.referrers, None, to)
    places = [parse_source(source) for source in record.sources]
    variant = Variant(record.verb, details=record.details)
    return await copy_each(places, to, options, variant=variant, settings=settings, sink=sink, stop=stop)


def _copier(
    plan: CopyPlan,
    stores: Stores,
    shared: Shared,
    begins: Beginning,
    *,
    variant: Variant,
    dry_run: bool,
    settings: Settings,
    sink: Sink,
    stop: asyncio.Event,
) -> Copier:
    def target_of(reference: AnyReference) -> Target:
        opened = variant.target(reference, stores.target(reference))
        if settings.no_clobber:
            opened = KeptTags(opened, plan.tags[reference])
        return DryRun(opened) if dry_run else opened

    return Copier(
        plan.source_of,
        target_of,
        plan.telling(sink),
        journal=shared.journal,
        stop=stop,
        pauses=shared.means.transport.pauses,
        in_flight=shared.places,
        recheck=settings.recheck,
        mounts=settings.mount == "auto",
        begins=begins,
    )
