"""Push: models from the local Ollama store to registries."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from ..content.base import Target
from ..content.ollama.source import OllamaStore, open_store
from ..errors import Interrupted, NotAllowed, NotARegistry, Unavailable, UsageError
from ..events import Event, ModelDone, ModelFailed, RunStarted, Sink, ignore
from ..http.proxies import Proxies
from ..model import LocalReference, Reference
from ..model.renaming import Renaming
from ..registry.registries import Registries
from ..settings import Settings
from ..state.push_record import PushRecord
from ..text.hint import Login, step
from ..transfer.copy import Copier
from ..transfer.job import AnyJob, PushJob
from ..transfer.report import Report
from .selection import Selection, planned
from .shared import Shared, sharing

if TYPE_CHECKING:
    from ..transfer.dry_run import CheckableTarget

# Errors after which a push may be continued later. A captive portal has not removed anything.
PASSING: Final = Unavailable | NotARegistry | Interrupted
# Errors after which work that was begun is not forgotten: it can be continued with a login, too.
KEEPING: Final = PASSING | NotAllowed


async def push(
    models: Sequence[str],
    *,
    to: str | None = None,
    tags: Sequence[str] = (),
    every: bool = False,
    exclude: Sequence[str] = (),
    rename: Sequence[str] = (),
    lowercase: bool = False,
    dry_run: bool = False,
    settings: Settings | None = None,
    sink: Sink = ignore,
    stop: asyncio.Event | None = None,
) -> Report:
    """Push `models` (names or globs; all models with `every`) to `to`, or to the registry in each name.

    Models that match `exclude`, or a glob of `models` with a `!` before it, are not pushed. `rename` has rules as
    `--rename` takes them; `lowercase` makes the target's path lower case.

    Nothing is sent before every model is found, its manifest read and its target's name determined. If one model fails,
    the others are pushed nevertheless, also if a glob or `every` has found one that can't be pushed: the report has the
    result of each. Raises a `RegistryPushError` for what concerns all of them, and for a named model that can't be
    pushed. Cancelling is safe. Once `stop` is set, chunks under way are finished, nothing new is begun, and
    `Interrupted` is raised.
    """
    settings = settings or Settings()
    Proxies.of(settings.environ)  # raises for an unusable proxy before anything else is checked
    selection = Selection(models, every, exclude, Renaming.parse(rename, lowercase=lowercase))
    told = sink
    if dry_run:
        from ..transfer.dry_run import marked

        told = marked(sink)
    store = open_store(settings)
    plan = await planned(store, selection, to=to, tags=tags, sink=told)
    told = _telling(told, plan.left_out)
    if plan.models:
        report = await carry_out(store, plan.models, settings=settings, dry_run=dry_run, sink=told, stop=stop)
    else:
        told(RunStarted(0, 0, 0))
        report = Report(())
    ended: list[ModelDone | ModelFailed] = [*report.models, *plan.left_out]
    return Report(tuple(replace(model, dry_run=dry_run) for model in ended))


def _telling(sink: Sink, left_out: Sequence[ModelFailed]) -> Sink:
    """Return a sink that reports, when the run begins, which models were left out."""

    def told(event: Event) -> None:
        if not isinstance(event, RunStarted):
            sink(event)
            return
        sink(replace(event, models=event.models + len(left_out)))
        for model in left_out:
            sink(model)

    return told if left_out else sink


async def carry_out(
    store: OllamaStore,
    plan: Sequence[PushJob],
    *,
    settings: Settings,
    dry_run: bool = False,
    sink: Sink = ignore,
    stop: asyncio.Event | None = None,
) -> Report:
    """Push what is planned; see `push`. Each push is recorded until it is done or can't be continued."""
    _check_login(settings, plan)
    if dry_run:
        settings = dataclasses.replace(settings, state_dir=None)
    async with sharing(settings, sink) as shared:
        records = {job.target: PushRecord.of(store.root, job.name, job.references, settings) for job in plan}

        def begins(job: AnyJob) -> None:
            """Record a push once something is found to be missing there; with nothing to do, nothing is written."""
            if shared.journal is not None and isinstance(job.target, Reference):
                shared.journal.begin(records[job.target])

        report = await push_planned(
            plan, store, shared, dry_run=dry_run, settings=settings, sink=sink, stop=stop, begins=begins
        )
        for record, model in zip(records.values(), report.models, strict=True):
            goes_on = isinstance(model, ModelFailed) and isinstance(model.error, KEEPING)
            if shared.journal is not None and not goes_on:
                shared.journal.end(record)
    report.refuse_interrupted("what the registry has acknowledged is kept")
    return report


async def push_planned(
    plan: Sequence[PushJob],
    store: OllamaStore,
    shared: Shared,
    *,
    dry_run: bool = False,
    settings: Settings,
    sink: Sink,
    stop: asyncio.Event | None = None,
    begins: Callable[[AnyJob], None] = lambda _: None,
) -> Report:
    """Push what was planned, sharing resources with other runs of this process.

    Stopped models are in the report as `Interrupted`, and nothing is recorded to be continued.
    """
    stop = stop or asyncio.Event()
    tags = {model.target: model.tags for model in plan}
    async with Registries(settings, sink, shared.journal, stop, shared.means) as registries:

        def target_of(reference: Reference | LocalReference) -> Target:
            assert isinstance(reference, Reference), "a push goes to registries"
            target: CheckableTarget = registries.repository(reference)
            if settings.no_clobber:
                from ..transfer.kept_tags import KeptTags

                target = KeptTags(target, tags[reference])
            if dry_run:
                from ..transfer.dry_run import DryRun

                target = DryRun(target)
            return target

        copier = Copier(
            lambda _: store,
            target_of,
            sink,
            journal=shared.journal,
            stop=stop,
            pauses=shared.means.transport.pauses,
            in_flight=shared.places,
            recheck=settings.recheck,
            mounts=settings.mount == "auto",
            begins=begins,
        )
        return await copier.copy(plan)


def _check_login(settings: Settings, plan: Sequence[PushJob]) -> None:
    hosts = sorted({model.target.host for model in plan})
    if settings.username is not None and len(hosts) > 1:
        raise UsageError(
            f"--username is one registry's login, and the models go to {', '.join(hosts)}",
            hint=step("push to one registry at a time, or log in with: ", Login()),
        )
