"""`Stores`: the stores of one copy. The only switch over the kinds of places."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, Self

from msgspec import Struct
from msgspec.structs import replace

from ..content.oci.archive import OCIArchive
from ..content.oci.archive_writer import OCIArchiveWriter
from ..content.oci.layout import OCILayout
from ..content.oci.volume_set import VolumeSet, archive_at, joined_path
from ..content.oci.volume_writer import VolumeWriter
from ..content.ollama.fresh import FreshBlobs
from ..content.ollama.paths import root_to_write
from ..content.ollama.source import open_store
from ..content.ollama.target import OllamaTarget
from ..errors import StoreNotFound, UsageError
from ..model import LocalReference, ModelName, Reference
from ..model.mapping import CopyTarget, model_name
from ..model.name import DEFAULT_TAG
from ..model.place import ArchivePlace, CatalogPlace, LayoutPlace, OllamaPlace, Place, RegistryPlace
from ..registry.catalog import Listing
from ..registry.registries import Registries
from ..registry.repository import Repository
from ..settings import Settings
from ..transfer.dry_run import CheckableTarget
from ..transfer.job import AnyJob
from .catalog_source import CatalogSource
from .sources import CopySource, LayoutSource, OllamaSource, RepositorySource

# As Debian calls the home of a user without one.
_NO_STORE: Final = Path("/nonexistent")

ArchiveTarget = OCIArchiveWriter | VolumeWriter


class Writers(Struct, frozen=True):
    """How layouts and archives are written."""

    layout: Callable[[Path, asyncio.Event], OCILayout] = lambda path, stop: OCILayout(path, stop=stop)
    archive: Callable[[Path, asyncio.Event], ArchiveTarget] = lambda path, stop: OCIArchiveWriter(path, stop=stop)


class Stores:
    """Opens each store once. An async context manager, which closes them at its end."""

    def __init__(
        self, settings: Settings, registries: Registries, stop: asyncio.Event, writers: Writers | None = None
    ) -> None:
        self._settings = settings
        self._registries = registries
        self._stop = stop
        self._held = AsyncExitStack()
        self._layouts: dict[str, OCILayout] = {}
        self._archives: dict[str, ArchiveTarget] = {}
        self._writers = writers or Writers()
        self._models: dict[ModelName, OllamaTarget] = {}  # without their tags
        self._fresh: FreshBlobs | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._held.aclose()

    def source(self, place: Place) -> CopySource:
        """Return the source. Raises `StoreNotFound`, `Unreadable`."""
        match place:
            case OllamaPlace(name):
                return OllamaSource(open_store(self._settings), name)
            case RegistryPlace(reference):
                return RepositorySource(self._registries.repository(reference), reference)
            case LayoutPlace(path, ref):
                return LayoutSource(OCILayout(Path(path)), f"oci:{path}", ref)
            case ArchivePlace(path, ref):
                return LayoutSource(self.archive(Path(path)), f"oci-archive:{path}", ref)

    def repository(self, reference: Reference) -> Repository:
        """Return the repository of `reference`."""
        return self._registries.repository(reference)

    async def repositories(self, place: CatalogPlace) -> Listing:
        """Return the repositories of the registry at `place`, or of the part of it. Raises as `Catalog.every`."""
        return await self._registries.catalog(place).every(place.prefix)

    def catalog(self, place: CatalogPlace) -> CatalogSource:
        """Return all that a registry lists at `place`."""

        def opened(reference: Reference) -> RepositorySource:
            return RepositorySource(self._registries.repository(reference), reference)

        return CatalogSource(place, self._registries.catalog(place), opened)

    def archive(self, path: Path) -> OCIArchive | VolumeSet:
        """Return the archive to be read, or the set of volumes that `path` stands for."""
        archive = archive_at(path)
        self._held.push_async_exit(archive)
        return archive

    def volumes(self, places: Sequence[LayoutPlace | ArchivePlace]) -> VolumeSet:
        """Return all of `places` as one source."""
        carriers: list[OCIArchive | OCILayout] = []
        for place in places:
            if isinstance(place, LayoutPlace):
                carriers.append(OCILayout(Path(place.path)))
            else:
                found = archive_at(Path(place.path))
                carriers += found.carriers if isinstance(found, VolumeSet) else [found]
        joined = VolumeSet(joined_path([each.path for each in carriers]), carriers)
        self._held.push_async_exit(joined)
        return joined

    def target(self, reference: Reference | LocalReference) -> CheckableTarget:
        """Return the target."""
        if isinstance(reference, Reference):
            return self._registries.repository(reference)
        kind, _, path = reference.repository.partition(":")
        match kind:
            case "oci":
                return self._layouts.setdefault(path, self._writers.layout(Path(path), self._stop))
            case "oci-archive":
                return self._archive(path)
            case _:
                return self._in_store(model_name(reference))

    def check_target(self, target: CopyTarget) -> None:
        """Raise `UsageError` if nothing can be written to `target`, whatever it is."""
        if isinstance(target, ArchivePlace | LayoutPlace) and (store := self._store_around(target.path)) is not None:
            raise UsageError(
                f"{target.path} is inside the Ollama store {store}, where Ollama deletes what is not its own",
                hint="name a folder outside of it",
            )
        if isinstance(target, ArchivePlace):
            self._archive(target.path)

    async def prepare(self, target: CopyTarget) -> None:
        """Open the resources that are needed while `target` is written."""
        if isinstance(target, OllamaPlace):
            self._fresh = await self._held.enter_async_context(FreshBlobs(self._root))

    def expect(self, jobs: Sequence[AnyJob]) -> None:
        """Tell archives what will be put into them."""
        for archive in self._archives.values():
            names = [(job.manifest, ref.tag or DEFAULT_TAG) for job in jobs for ref in job.references]
            attached = [each for job in jobs for each in job.referrers]
            listed = [child for job in jobs for child in job.children]
            listed += [child for each in attached for child in each.children]
            by_digest = [(child, str(child.digest)) for child in listed]
            archive.expect([*names, *((each.manifest, each.ref) for each in attached), *by_digest])

    async def finish(self) -> None:
        """Complete archives, which appear whole or not at all. Raises as `OCIArchiveWriter.finish`."""
        for archive in self._archives.values():
            await archive.finish()

    def _archive(self, path: str) -> ArchiveTarget:
        """Return the new archive. Raises `UsageError` if there is something at its path."""
        if path not in self._archives:
            archive = self._writers.archive(Path(path), self._stop)
            archive.check_is_new()
            self._held.push_async_exit(archive)
            self._archives[path] = archive
        return self._archives[path]

    def _in_store(self, name: ModelName) -> OllamaTarget:
        """Return the model in the local store, which is created if there is none."""
        model = replace(name, tag=DEFAULT_TAG)
        if model not in self._models:
            self._models[model] = OllamaTarget(self._root, name, fresh=self._fresh, stop=self._stop)
        return self._models[model]

    def _store_around(self, path: str) -> Path | None:
        """Return the local store, if `path` is in it or is its folder. One that is not there has nothing in it."""
        if not (self._root / "manifests").is_dir():
            return None
        return self._root if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self._root)) else None

    @property
    def _root(self) -> Path:
        return local_store(self._settings)


def local_store(settings: Settings) -> Path:
    """Return the local Ollama store to write to, whether it exists or not."""
    return root_to_write(settings.models, settings.environ.get("OLLAMA_MODELS"), settings.home)


def store_to_record(settings: Settings) -> Path:
    """As `local_store`, for the record of a run; a user without a home, who names no store, uses none in this run."""
    try:
        return local_store(settings)
    except StoreNotFound:
        return _NO_STORE
