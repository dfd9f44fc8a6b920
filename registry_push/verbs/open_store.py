"""`open_store`: a store of any kind, for programs to read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..content.base import BlobBody
from ..errors import ModelNotFound, quoted
from ..events import ModelFailed, Sink, ignore
from ..model import Descriptor, LocalReference, Manifest, ModelName
from ..model.mapping import AnyName
from ..model.place import parse_readable
from ..registry.registries import Registries
from ..settings import Settings
from .sources import CopySource
from .stores import Stores


class OpenStore:
    """What is at a place: an Ollama store, a repository, a layout or an archive; or one model of it."""

    def __init__(self, source: CopySource) -> None:
        self._source = source

    async def names(self) -> tuple[str, ...]:
        """Return the names of all manifests: models as Ollama shows them, tags of a repository, names in a layout."""
        return tuple(map(_shown, await self._names()))

    async def _names(self) -> list[AnyName]:
        """Return what can be asked for; a registry may list what is no tag."""
        return [each for each in await self._source.names() if not isinstance(each, ModelFailed)]

    async def resolve(self, name: str | None = None) -> Manifest:
        """Return the manifest called `name`, one of `names`; None: the only one.

        Raises `ModelNotFound`, `ManifestCorrupt`.
        """
        found = {_shown(each): each for each in await self._names()}
        if name is None and len(found) == 1:
            return await self._source.resolve(next(iter(found.values())))
        if name is None or name not in found:
            wanted = f"there is no {quoted(name)} here" if name is not None else f"there are {len(found)} manifests"
            raise ModelNotFound(wanted, hint=f"name one of: {', '.join(list(found)[:8])}")
        return await self._source.resolve(found[name])

    async def children(self, manifest: Manifest) -> tuple[Manifest, ...]:
        """Return the manifests that `manifest` lists; none if it is no list.

        Raises `BlobMissing`, `ManifestCorrupt`.
        """
        return await self._source.children(manifest)

    async def open(self, blob: Descriptor) -> BlobBody:
        """Return the content of `blob`, read from any offset by `body.open(offset, length)`; close it with
        `body.close()`.

        The content is not hashed. Raises `BlobMissing`, at the latest when it is read.
        """
        return await self._source.open(blob)


@asynccontextmanager
async def open_store(place: str, *, settings: Settings, sink: Sink = ignore) -> AsyncIterator[OpenStore]:
    """Open the store at `place` for reading. Raises `StoreNotFound`, `UsageError`; cancelling is safe."""
    stop = asyncio.Event()
    async with Registries(settings, sink, stop=stop) as registries, Stores(settings, registries, stop) as stores:
        yield OpenStore(stores.source(parse_readable(place)))


def _shown(name: AnyName) -> str:
    match name:
        case ModelName():
            return name.short
        case LocalReference(_, tag):
            return tag or ""
        case _:
            return str(name.digest) if name.digest is not None else name.tag or ""
