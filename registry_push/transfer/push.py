"""Push: models from the local Ollama store to registries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from ..errors import Interrupted, ModelNotFound, NotARegistry, Unavailable, UsageError
from ..events import BlobStarted, Event, ModelFailed, ModelStarted, Sink, Warned, ignore
from ..model import ModelName, Reference
from ..model.place import Destination, Exactly, parse_destination
from ..registry.connections import Registries
from ..registry.proxies import Proxies
from ..settings import Settings
from ..stores.ollama import OllamaStore, open_store, privacy_warnings
from .copy import Copier, Report
from .dry_run import DryRun
from .ends import ModelTarget
from .journal import Journal
from .kept_tags import KeptTags
from .orders import Order
from .plan import PlannedModel, check_collisions, targets_of
from .shared import Shared, sharing

# What may end so and be gone on with later. A captive portal has taken nothing away.
_PASSING = Unavailable | NotARegistry | Interrupted
_GLOB_CHARACTERS = frozenset("*?[")


async def push(
    models: Sequence[str],
    *,
    to: str | None = None,
    tags: Sequence[str] = (),
    every: bool = False,
    dry_run: bool = False,
    settings: Settings | None = None,
    sink: Sink = ignore,
    stop: asyncio.Event | None = None,
) -> Report:
    """Pushes `models` (names or globs; all there are with `every`) to `to`, or to the registry in each name.

    Nothing is sent before every model is found, its manifest read and its target's name settled. One model that fails
    does not keep the others back: the report says of each how it ended. Raises an error of the tree for what concerns
    all of them. Cancelling is safe. Once `stop` is set, chunks under way are finished, nothing new is begun, and
    `Interrupted` is raised.
    """
    settings = settings or Settings()
    Proxies.of(settings.environ)  # one that can't be used is told before anything else is looked at
    store = open_store(settings)
    plan = await planned(store, models, to=to, tags=tags, every=every, sink=sink)
    return await carry_out(store, plan, settings=settings, dry_run=dry_run, sink=sink, stop=stop)


async def carry_out(
    store: OllamaStore,
    plan: Sequence[PlannedModel],
    *,
    settings: Settings,
    dry_run: bool = False,
    sink: Sink = ignore,
    stop: asyncio.Event | None = None,
) -> Report:
    """Does what is planned; see `push`. What is begun is noted, until it is done or can't be gone on with."""
    _check_login(settings, plan)
    if dry_run:
        settings = replace(settings, state_dir=None)
    async with sharing(settings, sink) as shared:
        orders = [Order.of(store.root, model, settings) for model in plan]
        noting = _Noting(sink, shared.journal, dict(zip((model.target for model in plan), orders, strict=True)))
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

    def __init__(self, sink: Sink, journal: Journal | None, orders: dict[Reference, Order]) -> None:
        self._sink = sink
        self._journal = journal
        self._orders = orders
        self._models: dict[str, list[Order]] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case ModelStarted(target=target):
                self._models.setdefault(target.repository, []).append(self._orders[target])
            case BlobStarted(repository=repository) if self._journal is not None:
                self._journal.begin(self._models.pop(repository, ()))
        self._sink(event)


async def push_planned(
    plan: Sequence[PlannedModel],
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

        def target_of(reference: Reference) -> ModelTarget:
            repository = registries.repository(reference)
            target = KeptTags(repository, digests[reference]) if settings.no_clobber else repository
            return DryRun(target) if dry_run else target

        copier = Copier(
            store,
            target_of,
            registries.origin,
            sink,
            settings.jobs,
            shared.journal,
            stop,
            settings.recheck,
            shared.places,
            shared.means.transport.pauses,
        )
        return await copier.copy(plan)


async def planned(
    store: OllamaStore,
    models: Sequence[str],
    *,
    to: str | None = None,
    tags: Sequence[str] = (),
    every: bool = False,
    sink: Sink = ignore,
) -> list[PlannedModel]:
    """What goes where. Raises `UsageError`, `ModelNotFound`, and what reading a manifest raises."""
    if every == bool(models):
        raise UsageError("name the models to push, or give --all for every one", hint="see them: registry-push list")
    destination = parse_destination(to) if to is not None else None
    names = await _chosen(store, models, every=every, sink=sink)
    _check_target(names, destination)
    targets = [(name, targets_of(name, destination, tags)) for name in names]
    check_collisions(targets)
    return [await planned_model(store, name, references, sink) for name, references in targets]


async def _chosen(store: OllamaStore, models: Sequence[str], *, every: bool, sink: Sink) -> list[ModelName]:
    if every:
        listing = await store.listing()
        for problem in listing.problems:
            sink(Warned(problem))
        if not listing.models:
            raise ModelNotFound(f"the store {store.root} has no models")
        return [model.name for model in listing.models]
    names: dict[ModelName, None] = {}
    for text in models:
        text = text.removeprefix("ollama:")
        found = await store.match(text) if _GLOB_CHARACTERS & {*text} else [ModelName.parse(text)]
        names.update(dict.fromkeys(found))
    return list(names)


def _check_target(names: Sequence[ModelName], destination: Destination | None) -> None:
    if isinstance(destination, Exactly) and len(names) > 1:
        reference = destination.reference
        raise UsageError(
            f"{len(names)} models can't all become {reference}",
            hint=f"to keep their names, end the target with a slash: --to {reference.host}/{reference.repository}/",
        )


def _check_login(settings: Settings, plan: Sequence[PlannedModel]) -> None:
    hosts = sorted({model.target.host for model in plan})
    if settings.username is not None and len(hosts) > 1:
        raise UsageError(
            f"--username is one registry's login, and the models go to {', '.join(hosts)}",
            hint="push to one registry at a time, or log in with: docker login HOST",
        )


async def planned_model(
    store: OllamaStore, name: ModelName, references: tuple[Reference, ...], sink: Sink
) -> PlannedModel:
    """One model on its way. Raises what reading its manifest raises, and `NothingToPush` for a cloud stub."""
    manifest = await store.resolve(name)
    await store.refuse_stub(manifest)
    for warning in privacy_warnings(manifest):
        sink(Warned(f"{name.short}: {warning}"))
    return PlannedModel(name, manifest, references, await store.children(manifest))
