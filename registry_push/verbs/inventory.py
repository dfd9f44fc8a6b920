"""Inventory: what a place has, for `export --since`. Content is looked at and never read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ..content.ollama.paths import store_near
from ..errors import (
    BlobMissing,
    IntegrityError,
    ModelNotFound,
    NothingToPush,
    RegistryPushError,
    StoreNotFound,
    Unreadable,
    unwrapped,
)
from ..events import ModelFailed, Sink, Warned, ignore
from ..model import Descriptor, Digest, LocalReference, Manifest, ModelName, Reference
from ..model.inventory import Inventory, InventoryEntry
from ..model.mapping import AnyName
from ..model.place import (
    ArchivePlace,
    LayoutPlace,
    OllamaPlace,
    Place,
    RegistryPlace,
    names_host,
    parse_readable,
    place_meant,
    spelt,
)
from ..registry.registries import Registries
from ..settings import Settings
from .referrers import referrers_of
from .sources import CopySource, LayoutSource, OllamaSource
from .stores import Stores, local_store

# Manifests that are read at once: enough to hide a registry's round trips.
_AT_ONCE: Final = 8
# What is wrong with one model, and says nothing of the others.
_FLAWS: Final = (BlobMissing, ModelNotFound, IntegrityError, Unreadable)
_LEFT_OUT: Final = "what it lacks is not in the inventory, so that an export since then brings it"


async def inventory(place: str, *, settings: Settings, sink: Sink = ignore) -> Inventory:
    """Return what is at `place`: a store, a layout, an archive, a repository, or one model of them.

    Of a model that is not whole, the blobs that are there are listed, and `sink` is warned. A store or a repository
    that does not exist yet has nothing. For a registry, what a manifest names counts as there. Raises `UsageError`,
    `StoreNotFound` for a layout or an archive that is not there, `ModelNotFound` for a model that is not; and the first
    error, if there are models and nothing of them can be read. Cancelling is safe.
    """
    wanted, stop = parse_readable(place), asyncio.Event()
    whole = place if isinstance(wanted, LayoutPlace | ArchivePlace) else spelt(wanted, str)
    try:
        async with Registries(settings, sink, stop=stop) as registries, Stores(settings, registries, stop) as stores:
            try:
                source = stores.source(wanted)
                names = await _names(wanted, source, sink)
            except (StoreNotFound, ModelNotFound) as error:
                if not _is_fresh(wanted, settings):
                    raise
                sink(Warned(f"{error.message}: the inventory is empty"))
                return Inventory(whole)
            return await _Look(source, wanted, sink).at(names, whole)
    except (StoreNotFound, ModelNotFound) as error:
        if isinstance(wanted, OllamaPlace) and (meant := place_meant(place)) is not None:
            error.hint = f"for what is in an archive, write {meant}"
        elif isinstance(wanted, OllamaPlace) and not place.startswith("ollama:") and names_host(place):
            error.hint = f"for what is at the registry, write registry:{place}"
        raise


async def _names(place: Place, source: CopySource, sink: Sink) -> Sequence[AnyName]:
    """Return the manifests to look at, and warn of what can't be one. Raises as `CopySource.names`."""
    match place, source:
        case OllamaPlace(None), OllamaSource():
            listing = await source.listing()
            for problem in listing.problems:
                sink(Warned(problem))
            return [model.name for model in listing.models]
        case ((LayoutPlace(_, None) | ArchivePlace(_, None)), LayoutSource()):
            return await source.every()
        case _:
            found = await source.names()
            for each in found:
                if isinstance(each, ModelFailed):
                    sink(Warned(each.error.message, each.error.hint))
            return [each for each in found if not isinstance(each, ModelFailed)]


def _is_fresh(place: Place, settings: Settings) -> bool:
    """Return whether nothing is found because nothing was written to `place` yet."""
    match place:
        case OllamaPlace(None):
            root = local_store(settings)
            return not root.exists() or (root.is_dir() and store_near(root) is None)
        case RegistryPlace(reference):
            return not reference.is_ollama  # which has no lists of tags
        case _:
            return False


class _Found(Struct, frozen=True):
    """What there is of one model; `error` says why it is not whole. `was_read`: its manifest was."""

    entries: tuple[InventoryEntry, ...] = ()
    blobs: frozenset[Digest] = frozenset()
    error: RegistryPushError | None = None
    was_read: bool = True


class _Look:
    """Looks at the models of one place."""

    def __init__(self, source: CopySource, place: Place, sink: Sink) -> None:
        self._source = source
        self._sink = sink
        self._leaves_stubs_out = place == OllamaPlace(None)
        # The index of a layout has listed them already, and an Ollama store has none.
        is_whole_layout = isinstance(place, LayoutPlace | ArchivePlace) and place.ref is None
        is_ollamas = isinstance(place, RegistryPlace) and place.reference.is_ollama
        self._asks_about = not is_whole_layout and not is_ollamas and not isinstance(place, OllamaPlace)

    async def at(self, names: Sequence[AnyName], place: str) -> Inventory:
        """Return what there is of the models `names`. Warnings come in the order of the names."""
        found: dict[int, _Found] = {}
        left = iter(enumerate(names))

        async def look() -> None:
            for number, name in left:
                found[number] = await self._model(name)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(_AT_ONCE, len(names))):
                    group.create_task(look())
        except BaseExceptionGroup as error:
            raise unwrapped(error) from None
        models = [found[number] for number in range(len(names))]
        blobs = frozenset[Digest]().union(*(model.blobs for model in models))
        errors = [model.error for model in models if model.error is not None]
        if errors and not blobs and not any(model.was_read and not _is_closed(model.error) for model in models):
            raise errors[0]
        for name, model in zip(names, models, strict=True):
            if model.error is not None:
                self._sink(_warning(name, model.error))
        return Inventory(place, blobs, tuple(sorted({entry for model in models for entry in model.entries})))

    async def _model(self, name: AnyName) -> _Found:
        try:
            manifest = await self._source.resolve(name)
        except NothingToPush:  # a cloud stub, of which nothing is ever carried
            if not self._leaves_stubs_out:
                raise
            return _Found()
        except _FLAWS as error:
            return _Found(error=error, was_read=False)
        children, unread = await self._children(manifest)
        there, missing = await self._present((manifest, *children))
        lacks = unread or missing
        entries = (InventoryEntry(_shown(name, manifest), manifest.digest),) if lacks is None else ()
        found = _Found(entries, there.union(child.digest for child in children), lacks)
        return await self._with_referrers(name, (manifest, *children), found) if self._asks_about else found

    async def _children(self, manifest: Manifest) -> tuple[tuple[Manifest, ...], RegistryPushError | None]:
        """Return the manifests of a list that are there; and the error of the first that is not."""
        try:
            return await self._source.children(manifest), None
        except _FLAWS as error:
            first: RegistryPushError = error
        found = list[Manifest]()
        for entry in manifest.manifests:
            try:
                found += await self._source.children(replace(manifest, manifests=(entry,)))
            except _FLAWS:
                continue
        return tuple(found), first

    async def _present(self, manifests: Sequence[Manifest]) -> tuple[frozenset[Digest], RegistryPushError | None]:
        """Return the blobs that are there; and an error that says which are not."""
        there = set[Digest]()
        first: RegistryPushError | None = None
        for manifest in manifests:
            try:
                await self._source.check(manifest)
            except _FLAWS as error:
                first = first or error
                there.update([blob.digest for blob in manifest.blobs if await self._has(manifest, blob)])
            else:
                there.update(blob.digest for blob in manifest.blobs)
        return frozenset(there), first

    async def _has(self, manifest: Manifest, blob: Descriptor) -> bool:
        try:
            await self._source.check(replace(manifest, config=None, layers=(blob,)))
        except _FLAWS:
            return False
        return True

    async def _with_referrers(self, name: AnyName, manifests: Sequence[Manifest], found: _Found) -> _Found:
        """Return `found` with the signatures and the like of the manifests."""
        try:
            about = await self._source.about(manifests[0].digest)
            referrers = await referrers_of(self._source, manifests, about, kind=None, required=None)
        except _FLAWS as error:
            return replace(found, error=found.error or error)
        for each in referrers:
            there, lacks = await self._present((each.manifest, *each.children))
            entry = InventoryEntry(_referrer(name, each.ref), each.manifest.digest)
            found = replace(
                found,
                entries=(*found.entries, *(() if lacks is not None else (entry,))),
                blobs=found.blobs.union(there, (child.digest for child in each.children)),
                error=found.error or lacks,
            )
        return found


def _is_closed(error: RegistryPushError | None) -> bool:
    return isinstance(error, Unreadable)


def _warning(name: AnyName, error: RegistryPushError) -> Warned:
    named = name.short if isinstance(name, ModelName) else _shown(name)  # as errors of a store call it
    message = error.message if named in error.message else f"{named}: {error.message}"
    return Warned(message, error.hint if isinstance(error, Unreadable) else _LEFT_OUT)


def _shown(name: AnyName, manifest: Manifest | None = None) -> str:
    """Return the name in full, as users write it at its place; the digest for a manifest without one."""
    if isinstance(name, LocalReference):
        return name.tag or (str(manifest.digest) if manifest is not None else str(name))
    return str(name)


def _referrer(name: AnyName, ref: str) -> str:
    if not isinstance(name, Reference):
        return ref
    return str(name.at(digest=Digest.parse(ref)) if ref.startswith("sha256:") else name.at(tag=ref))
