"""Which models of the store are pushed where: by name, by glob, or all, minus those that are excluded.

A named model must be pushed, or it is an error. A model found by a glob or by `--all` does not stop the others: a cloud
stub or a stray file is skipped with a note, and one that can't be pushed is left out, as the report says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from ..content.ollama.names import is_glob, matching
from ..content.ollama.source import OllamaStore, privacy_warnings
from ..errors import (
    InvalidName,
    ModelNotFound,
    NameNotMappable,
    NothingToPush,
    RegistryPushError,
    StrayFile,
    Unavailable,
    UsageError,
    quoted,
)
from ..events import ModelFailed, Sink, Warned, ignore
from ..model import Manifest, ModelName, Reference
from ..model.place import LAYOUT_PREFIXES, Destination, Exactly, parse_destination
from ..model.reference import looks_like_host
from ..model.renaming import Renaming
from ..text.hint import Command, Setting, step
from ..transfer.job import PushJob, check_collisions, check_tags, targets_of

_NO_RENAMING: Final = Renaming()


class Selection(Struct, frozen=True):
    """The user's selection: names and globs (those with a `!` before them exclude), or `every` model."""

    models: Sequence[str] = ()
    every: bool = False
    exclude: Sequence[str] = ()
    renaming: Renaming = _NO_RENAMING

    @property
    def wanted(self) -> list[str]:
        """The names and globs without the excluded ones."""
        return [text.removeprefix("ollama:") for text in self.models if not text.startswith("!")]

    @property
    def unwanted(self) -> list[str]:
        """The globs that exclude."""
        found = [*(text[1:] for text in self.models if text.startswith("!")), *self.exclude]
        return [text.removeprefix("!").removeprefix("ollama:") for text in found]


class Plan(Struct, frozen=True):
    """What is pushed where, and the models that were found but can't be pushed, each with the reason."""

    models: tuple[PushJob, ...]
    left_out: tuple[ModelFailed, ...] = ()


async def planned(
    store: OllamaStore,
    selection: Selection,
    *,
    to: str | None = None,
    tags: Sequence[str] = (),
    sink: Sink = ignore,
) -> Plan:
    """Return the plan for what is selected.

    Raises `UsageError`, `ModelNotFound`, `Unavailable`, and what reading the manifest of a named model raises.
    """
    try:
        return await _planned(store, selection, to, tags, sink)
    except (InvalidName, ModelNotFound, NameNotMappable) as error:
        if to is None:
            _propose_target(error, selection.wanted)
        raise


async def _planned(store: OllamaStore, selection: Selection, to: str | None, tags: Sequence[str], sink: Sink) -> Plan:
    if selection.every == bool(selection.wanted):
        if selection.every:
            raise UsageError("--all and the names of models exclude each other", hint="leave one of them out")
        raise UsageError(
            "name the models to push, or give --all for every one", hint=step("see them: ", Command("list"))
        )
    destination = parse_destination(to) if to is not None else None
    check_tags(tags)
    chosen = await _chosen(store, selection, sink)
    finding = _Finding(store, sink)
    found = [name for name, is_named in chosen.items() if is_named or await finding.can_go(name)]
    _check_target(found, destination)
    for pattern in selection.renaming.idle(found):
        sink(Warned(f"the pattern {quoted(pattern)} of --rename matches none of the models"))
    targets: list[tuple[ModelName, tuple[Reference, ...]]] = []
    for name in found:
        try:
            references = targets_of(selection.renaming.renamed(name), destination, tags)
        except UsageError as error:
            _propose_lowercase(error, name, selection.renaming)
            if chosen[name]:
                raise
            finding.leave_out(name, error)
        else:
            targets.append((name, references))
    check_collisions(targets)
    models = []
    for name, references in targets:
        try:
            models.append(await planned_model(store, name, references, sink, finding.manifests.get(name)))
        except RegistryPushError as error:
            if chosen[name] or isinstance(error, Unavailable):
                raise
            finding.leave_out(name, error)
    if not models and not finding.left_out:
        raise NothingToPush(f"none of the models in {store.root} that match can be pushed")
    return Plan(tuple(models), tuple(finding.left_out))


async def planned_model(
    store: OllamaStore,
    name: ModelName,
    references: tuple[Reference, ...],
    sink: Sink,
    manifest: Manifest | None = None,
) -> PushJob:
    """Return the job of one model; read its `manifest` unless it was read before.

    Raises what reading it raises, and `NothingToPush` for a cloud stub.
    """
    try:
        if manifest is None:
            manifest = await store.resolve(name)
            await store.refuse_stub(manifest, name)
        children = await store.children(manifest)
    except RegistryPushError as error:
        raise error.of_model(name.short) from error.__cause__
    for warning in privacy_warnings(manifest):
        sink(Warned(f"{name.short}: {warning}"))
    return PushJob(name, manifest, references, children)


async def names_of(store: OllamaStore, selection: Selection, sink: Sink = ignore) -> list[ModelName]:
    """Return the selected models, without cloud stubs and stray files unless they are named.

    Raises `UsageError`, `InvalidName`, `ModelNotFound`, `Unavailable`.
    """
    found = []
    for name, is_named in (await _chosen(store, selection, sink)).items():
        if not is_named and (why := await _no_model(store, name)) is not None:
            sink(Warned(f"passed over: {why}"))
        else:
            found.append(name)
    return found


async def _no_model(store: OllamaStore, name: ModelName) -> str | None:
    """Return why `name` is nothing that can be copied; None if it is a model, be it a damaged one."""
    try:
        await store.refuse_stub(await store.resolve(name), name)
    except Unavailable:  # a shortage here says nothing about the model
        raise
    except (NothingToPush, StrayFile) as error:
        return error.message
    except RegistryPushError:
        return None
    return None


class _Finding:
    """Checks models that were found and not named, and keeps their manifests."""

    def __init__(self, store: OllamaStore, sink: Sink) -> None:
        self._store = store
        self._sink = sink
        self.manifests: dict[ModelName, Manifest] = {}
        self.left_out: list[ModelFailed] = []

    async def can_go(self, name: ModelName) -> bool:
        """Return whether there is something to push. Raises `Unavailable`."""
        try:
            manifest = await self._store.resolve(name)
            await self._store.refuse_stub(manifest, name)
        except Unavailable:  # a shortage here says nothing about the model
            raise
        except (NothingToPush, StrayFile) as error:
            self._sink(Warned(f"passed over: {error.message}"))
            return False
        except RegistryPushError as error:
            self.leave_out(name, error)
            return False
        self.manifests[name] = manifest
        return True

    def leave_out(self, name: ModelName, error: RegistryPushError) -> None:
        """Note why the model can't be pushed."""
        self.left_out.append(ModelFailed(name.short, None, error.of_model(name.short)))


async def _chosen(store: OllamaStore, selection: Selection, sink: Sink) -> dict[ModelName, bool]:
    """Return the selected models, and whether each was named."""
    chosen: dict[ModelName, bool] = {}
    if selection.every:
        listing = await store.listing()
        for problem in listing.problems:
            sink(Warned(problem))
        if not listing.models:
            raise ModelNotFound(f"the store {store.root} has no models")
        chosen = {model.name: False for model in listing.models}
    for text in selection.wanted:
        if is_glob(text):
            chosen = dict.fromkeys(await store.match(text), False) | chosen
        else:
            chosen[ModelName.parse(text)] = True
    for pattern in selection.unwanted:
        excluded = matching(pattern, chosen)
        if not excluded:
            sink(Warned(f"nothing is excluded by {pattern}: it matches none of the models asked for"))
        for name in excluded:
            del chosen[name]
    if not chosen:
        raise UsageError("all models asked for are excluded", hint=step("see what is there: ", Command("list")))
    return chosen


def _propose_target(error: RegistryPushError, wanted: Sequence[str]) -> None:
    """Propose `--to` for a second name that is a registry's, as `docker tag` and `cp` take it."""
    last = wanted[-1] if len(wanted) > 1 else ""
    if last.startswith(LAYOUT_PREFIXES):
        error.hint = f"a layout or an archive is written by copy: registry-push copy ollama:{wanted[0]} {last}"
        return
    host = last.partition("://")[2].partition("/")[0] or last.partition("/")[0]
    if looks_like_host(host) and last in error.message:
        target = f"{last.rstrip('/')}/" if last.rstrip("/").endswith(host) else last
        try:
            parse_destination(target)
        except UsageError as refused:
            error.hint = refused.next_step
        else:
            error.hint = step("leave that name out; to push there: ", Setting("to", target))


def _propose_lowercase(error: UsageError, name: ModelName, renaming: Renaming) -> None:
    has_capitals = (name.namespace, name.model) != (name.namespace.lower(), name.model.lower())
    if isinstance(error, NameNotMappable) and has_capitals and not renaming.lowercase:
        before = error.next_step.parts if error.next_step is not None else ()
        error.hint = step(*before, "; or, for all of them: ", Setting("lowercase"))


def _check_target(names: Sequence[ModelName], destination: Destination | None) -> None:
    if isinstance(destination, Exactly) and len(names) > 1:
        reference = destination.reference
        raise UsageError(
            f"{len(names)} models can't all become {reference}",
            hint=step(
                "to keep their names, end the target with a slash: ",
                Setting("to", f"{reference.host}/{reference.repository}/"),
            ),
        )
