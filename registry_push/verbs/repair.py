"""Repair: broken content of one place, fetched by its digest from another."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from ..content.base import BlobBody, Placed
from ..content.body import BytesBody
from ..content.hashing_target import unmended
from ..content.oci.archive import OCIArchive
from ..content.oci.mending import ArchiveMender, LayoutMender
from ..content.oci.volume_set import VolumeSet
from ..content.ollama.mending import OllamaMender
from ..content.progress import Progress
from ..errors import (
    ArchiveCorrupt,
    BlobMissing,
    IntegrityError,
    Interrupted,
    ModelNotFound,
    RegistryPushError,
)
from ..events import Sink
from ..model import Descriptor, Digest, Manifest, ModelName
from ..model.broken_blob import BrokenBlob
from ..model.place import ArchivePlace, LayoutPlace, OllamaPlace, Place, RegistryPlace
from ..transfer.watched import Watched
from .sources import CopySource, LayoutSource, OllamaSource

# Whatever model it is called, its blobs lie in one folder.
_ANY_MODEL = ModelName.parse("any")


class BlobWriter(Protocol):
    """What writes a blob instead of a broken one."""

    async def put(self, blob: Descriptor, body: BlobBody, *, candidates: Collection[str] = ()) -> Placed:
        """As `Target.put`."""
        ...


class Repair:
    """Fetches what is broken at a place, and nothing else, from `source`, which was written as `said`.

    `writer` replaces it at the place. `repository` is the place's name in events.
    """

    def __init__(self, source: CopySource, said: str, writer: BlobWriter, repository: str, sink: Sink) -> None:
        self._source = source
        self._said = said
        self._writer = writer
        self._repository = repository
        self._sink = sink

    async def mend(self, broken: BrokenBlob) -> BrokenBlob | int:
        """Return how many bytes were fetched; or `broken`, with the reason why it still is.

        Raises `Interrupted`. Cancelling is safe: what is replaced is replaced at once, and a large part is kept.
        """
        try:
            if broken.is_manifest:
                manifest = await self._manifest(broken.blob.digest)
                return (await self._writer.put(manifest.descriptor, BytesBody(manifest.raw))).sent
            body = await self._source.open(broken.blob)
            try:
                progress = Progress(self._sink, self._repository, broken.blob, begun=None)
                return (await self._writer.put(broken.blob, Watched(body, progress))).sent
            finally:
                await body.close()
        except Interrupted:
            raise
        except RegistryPushError as error:
            return unmended(broken, self._why(error))

    def _why(self, error: RegistryPushError) -> str:
        match error:
            case ArchiveCorrupt():
                return error.message
            case BlobMissing() | ModelNotFound():
                return f"{self._said} does not have it"
            case IntegrityError():
                return f"what {self._said} has of it is damaged too"
            case _:
                return error.message

    async def _manifest(self, digest: Digest) -> Manifest:
        if not isinstance(self._source, OllamaSource):
            return await self._source.manifest(str(digest))
        store = self._source.store
        for model in await store.models():
            try:
                manifest = await store.resolve(model.name)
                found = next(
                    (each for each in (manifest, *await store.children(manifest)) if each.digest == digest), None
                )
            except (BlobMissing, IntegrityError, ModelNotFound):
                continue
            if found is not None:
                return found
        raise ModelNotFound(f"{self._said} has no manifest {digest}")


def writer_at(place: Place, source: CopySource, stop: asyncio.Event) -> BlobWriter:
    """Return what writes blobs at `place`, whose content `source` reads."""
    match place:
        case OllamaPlace():
            assert isinstance(source, OllamaSource), "it is this place's"
            return OllamaMender(source.store.root, _ANY_MODEL, stop=stop)
        case LayoutPlace(path, _):
            return LayoutMender(Path(path), stop=stop)
        case ArchivePlace():
            assert isinstance(source, LayoutSource), "it is this place's"
            assert isinstance(source.layout, OCIArchive | VolumeSet), "it is this place's"
            return ArchiveMender(source.layout, stop)
        case RegistryPlace():
            raise AssertionError("it was refused")
