"""Push: models from the local Ollama store to registries."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

from msgspec.structs import replace

from ..content.base import Target
from ..content.ollama.source import OllamaStore, open_store
from ..errors import Interrupted, NotARegistry, Unavailable, UsageError
from ..events import BlobStarted, Event, ModelDone, ModelFailed, ModelStarted, RunStarted, Sink, ignore
from ..http.proxies import Proxies
from ..model import LocalReference, Reference
from ..model.renaming import Renaming
from ..registry.registries import Registries
from ..settings import Settings
from ..state.journal import Journal
from ..state.push_record import PushRecord
from ..transfer.copy import Copier, Report
from ..transfer.dry_run import DryRun, marked
from ..transfer.job import PushJob
from ..transfer.kept_tags import KeptTags
from .selection import Selection, planned
from .shared import Shared, sharing

# What may end so and be gone on with later. A captive portal has taken nothing away.
_PASSING = Unavailable | NotARegistry | Interrupted


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
    """Pushes `models` (names or globs; all there are with `every`) to `to`, or to the registry in each name.

    Those that match `exclude`, or a glob of `models` with a `!` before it, stay here. `rename` has rules as `--rename`
    takes them; `lowercase` puts the target's path in lower case.

    Nothing is sent before every model is found, its manifest read and its target's name settled. One model that fails
    does not keep the others back, and neither does one that a glob or `every` has found and that can't be pushed: the
    report says of each how it ended. Raises an error of the tree for what concerns all of them, and for a model that
    is named and can't be pushed. Cancelling is safe. Once `stop` is set, chunks under way are finished, nothing new is
    begun, and `Interrupted` is raised.
    """
    settings = settings or Settings()
    Proxies.of(settings.environ)  # one that can't be used is told before anything else is looked at
    selection = Selection(models, every, exclude, Renaming.parse(rename, lowercase=lowercase))
    told = marked(sink) if dry_run else sink
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
    """A sink that tells, when the run has begun, what was left out of it."""

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
    """Does what is planned; see `push`. What is begun is noted, until it is done or can't be gone on with."""
    _check_login(settings, plan)
    if dry_run:
        settings = dataclasses.replace(settings, state_dir=None)
    async with sharing(settings, sink) as shared:
        orders = [PushRecord.of(store.root, model.name, model.references, settings) for model in plan]
        noting = _Noting(sink, shared.journal, dict(zip((str(model.target) for model in plan), orders, strict=True)))
        report = await push_planned(plan, store, shared, dry_run=dry_run, settings=settings, sink=noting, stop=stop)
        for order, model in zip(orders, report.models, strict=True):
            goes_on = isinstance(model, ModelFailed) and isinstance(
                model.error, Unavailable | NotARegistry | Interrupted
            )
            if shared.journal is not None and not goes_on:
                shared.journal.end(order)
    if report.failed and all(isinstance(model.error, Interrupted) for model in report.failed):
        if len(report.failed) == 1:
            raise report.failed[0].error
        raise Interrupted("stopped; what the registry has acknowledged is kept")
    return report


class _Noting:
    """A sink that notes a push when the first of its bytes are sent, and passes on what it is told.

    A push of what is there already writes nothing: at its end, 40 ms of a journal's fsyncs are most of its time.
    """

    def __init__(self, sink: Sink, journal: Journal | None, orders: dict[str, PushRecord]) -> None:
        self._sink = sink
        self._journal = journal
        self._orders = orders
        self._models: dict[str, list[PushRecord]] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case ModelStarted(target=target):
                self._models.setdefault(target.repository, []).append(self._orders[str(target)])
            case BlobStarted(repository=repository) if self._journal is not None:
                self._journal.begin(self._models.pop(repository, ()))
        self._sink(event)


async def push_planned(
    plan: Sequence[PushJob],
    store: OllamaStore,
    shared: Shared,
    *,
    dry_run: bool = False,
    settings: Settings,
    sink: Sink,
    stop: asyncio.Event | None = None,
) -> Report:
    """Pushes what was planned, with what it shares with other runs of this process.

    What was stopped is in the report as `Interrupted`, and nothing is noted to be gone on with.
    """
    stop = stop or asyncio.Event()
    digests = {model.target: model.manifest.digest for model in plan}
    async with Registries(settings, sink, shared.journal, stop, shared.means) as registries:

        def target_of(reference: Reference | LocalReference) -> Target:
            assert isinstance(reference, Reference), "a push goes to registries"
            repository = registries.repository(reference)
            target = KeptTags(repository, digests[reference]) if settings.no_clobber else repository
            return DryRun(target) if dry_run else target

        copier = Copier(
            store,
            target_of,
            sink,
            shared.journal,
            stop,
            settings.recheck,
            shared.places,
            shared.means.transport.pauses,
        )
        return await copier.copy(plan)


def _check_login(settings: Settings, plan: Sequence[PushJob]) -> None:
    hosts = sorted({model.target.host for model in plan})
    if settings.username is not None and len(hosts) > 1:
        raise UsageError(
            f"--username is one registry's login, and the models go to {', '.join(hosts)}",
            hint="push to one registry at a time, or log in with: docker login HOST",
        )
