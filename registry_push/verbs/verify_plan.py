"""What is verified at one place: its models, each with its manifests, as the jobs of a copy that only hashes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ..content.base import BlobBody
from ..content.hashing_target import BrokenBody, HashingTarget, Verified, broken_by
from ..content.oci.archive import OCIArchive
from ..content.oci.volume_set import MissingVolumes, VolumeSet
from ..errors import (
    BlobMissing,
    ContentDamaged,
    IntegrityError,
    ManifestCorrupt,
    ModelNotFound,
    RegistryPushError,
    SourceChanged,
    StoreNotFound,
    StrayFile,
    UnsupportedManifest,
)
from ..events import ModelFailed
from ..model import Descriptor, Digest, LocalReference, Manifest, ModelName, Reference
from ..model.broken_blob import BrokenBlob, described
from ..model.manifest import MANIFEST_TYPES, MAX_CHILDREN_BYTES
from ..model.mapping import AnyName
from ..model.place import LAYOUT_PREFIXES, ArchivePlace, LayoutPlace, OllamaPlace, Place, RegistryPlace
from ..model.referrers import is_attached
from ..text.hint import Hint
from ..transfer.job import AnyJob, AnyReference, Job, PartialJob
from . import verify_hints
from .referrers import referrers_of
from .sources import CopySource, LayoutSource, OllamaSource

# What a store on this machine is called in the references of its models.
_OLLAMA: Final = "ollama"


class MovedError(SourceChanged):
    """The model that was found damaged is not there any more; `replaced`: another is, under its name."""

    def __init__(self, message: str, *, replaced: bool = False) -> None:
        super().__init__(message)
        self.replaced = replaced


class Item(Struct, frozen=True):
    """A manifest to verify. `entry` describes it, where its digest is known by more than its own content."""

    name: AnyName
    reference: AnyReference
    entry: Descriptor | None = None

    @property
    def called(self) -> str:
        """The name, for messages."""
        return self.name.short if isinstance(self.name, ModelName) else str(self.name)


def is_damage(error: RegistryPushError) -> bool:
    """Return whether `error` says that content is damaged or missing, not that it could not be looked at."""
    return isinstance(error, BlobMissing | IntegrityError) and not isinstance(error, UnsupportedManifest | StrayFile)


class PlacePlan:
    """Finds out what there is at the place that `source` reads; `at` is what is known of it.

    `BlobSource` of the copy: what can't be opened has a body that can't be read, so that the target remembers it.
    """

    def __init__(self, source: CopySource, at: Verified) -> None:
        self.source = source
        self.at = at

    async def open(self, blob: Descriptor) -> BlobBody:
        """Return the body of `blob`."""
        try:
            return await self.source.open(blob)
        except (BlobMissing, IntegrityError) as error:
            return BrokenBody(blob.size, error)

    async def check(self, manifest: Manifest) -> None:
        """Do nothing: every blob is read."""

    async def lacks(self) -> Sequence[MissingVolumes]:
        """Return the volumes that are missing, of a set or beside one volume."""
        layout = self.source.layout if isinstance(self.source, LayoutSource) else None
        if isinstance(layout, OCIArchive):
            layout = VolumeSet(layout.path, [layout])
        return await layout.lacks() if isinstance(layout, VolumeSet) else ()

    async def items(self) -> list[Item | ModelFailed]:
        """Return what is there. Raises `ModelNotFound` if that is nothing, `StoreNotFound`, `ArchiveCorrupt`."""
        if isinstance(self.source, OllamaSource):
            return [*map(_of_store, await self.source.every_name())]
        if isinstance(self.source, LayoutSource) and self.source.ref is None:
            index = await self.source.layout.index()
            named = [ref for ref in index.refs if not is_attached(ref.rpartition(":")[2])]
            return [await self._in_layout(LocalReference(self.at.repository, ref)) for ref in named]
        found: list[Item | ModelFailed] = []
        for name in await self.source.names():
            if isinstance(name, LocalReference):
                found.append(await self._in_layout(name))
            else:
                found.append(name if isinstance(name, ModelFailed) else Item(name, _reference(name)))
        return found

    async def others(self, jobs: Sequence[AnyJob], items: Sequence[Item]) -> list[Item]:
        """Return the manifests of a layout that none of `jobs` has, and none of `items` is."""
        if not isinstance(self.source, LayoutSource) or self.source.ref is not None:
            return []
        known = {manifest.digest for job in jobs for manifest in job.manifests}
        known |= {item.entry.digest for item in items if item.entry is not None}
        index = await self.source.layout.index()
        found = {
            entry.digest: entry
            for entry in index.readable()
            if entry.media_type in MANIFEST_TYPES and entry.digest not in known
        }
        others = []
        for digest, entry in found.items():
            name = LocalReference(self.at.repository, digest=digest)
            others.append(Item(name, name, entry))
        return others

    async def job(self, item: Item) -> AnyJob:
        """Return the copy of `item`. Raises `ContentDamaged`, `ModelNotFound`, and what keeps it from being read."""
        manifest = await self._manifest(item)
        children = await self._children(manifest)
        try:
            about = await self.source.about(manifest.digest)
            referrers = await referrers_of(self.source, (manifest, *children), about, kind=None, required=None)
        except (BlobMissing, IntegrityError) as error:
            raise _damaged(item, error) from error
        job = Job(item.name, manifest, (item.reference,), children, referrers)
        left_out = await self._left_out()
        return PartialJob.of(job, left_out) if left_out else job

    async def _left_out(self) -> frozenset[Digest]:
        """Return what an export has left out, which is no damage."""
        return await self.source.layout.left_out() if isinstance(self.source, LayoutSource) else frozenset()

    def target(self, item: Item, job: AnyJob, *, is_last: bool) -> HashingTarget:
        """Return the target that verifies `job`. `is_last`: that the model is replaced meanwhile is an error."""

        async def look_again() -> None:
            try:
                await self._look_again(item, job.manifest)
            except MovedError as error:
                if error.replaced and is_last:
                    raise SourceChanged(error.message) from None
                raise

        def hint(broken: Sequence[BrokenBlob]) -> Hint:
            return verify_hints.for_blobs(item.name, broken, tried=self.at.mender is not None)

        return HashingTarget(self.at, item.called, content_of(job), hint=hint, look_again=look_again)

    async def _in_layout(self, name: LocalReference) -> Item:
        assert isinstance(self.source, LayoutSource), "only layouts have such names"
        entry = None
        if name.tag is not None:
            try:
                entry = (await self.source.layout.index()).named(name.tag)
            except ManifestCorrupt:  # as reading it says again
                entry = None
        return Item(name, name, entry)

    async def _resolve(self, item: Item) -> Manifest:
        match self.source, item.name:
            case OllamaSource() as source, ModelName() as name:
                return await source.store.resolve(name)  # a stub too: its config can be verified
            case LayoutSource() as source, LocalReference(digest=digest) if digest is not None:
                return await source.layout.resolve(str(digest))
            case source, name:
                return await source.resolve(name)

    async def _manifest(self, item: Item) -> Manifest:
        try:
            return await self._resolve(item)
        except (BlobMissing, IntegrityError) as error:
            if not is_damage(error):
                raise
            if item.entry is None:
                raise _damaged(item, error) from error
            broken = await self._mended(broken_by(error, item.entry, is_manifest=True))
        if broken is None:
            return await self._resolve(item)
        raise ContentDamaged(
            f"{item.called} is damaged: {described([broken], 1)}",
            hint=verify_hints.for_blobs(item.name, [broken], tried=self.at.mender is not None),
            broken=(broken,),
        )

    async def _mended(self, broken: BrokenBlob) -> BrokenBlob | None:
        """Note `broken`, and mend it if that can be tried; return it if it is still so."""
        findings, mended = self.at.findings, None
        if self.at.mender is not None:
            mended = await self.at.mender.mend(broken)
        if isinstance(mended, int):
            findings.mended[broken.blob.digest] = broken
            return None
        findings.broken[broken.blob.digest] = mended or broken
        return mended or broken

    async def _children(self, manifest: Manifest) -> tuple[Manifest, ...]:
        """Return the manifests of a list that are whole; the others are noted."""
        try:
            return await self.source.children(manifest)
        except (BlobMissing, IntegrityError, ModelNotFound) as error:
            if isinstance(error, UnsupportedManifest):
                raise
        found: list[Manifest] = []
        for entry in manifest.manifests:
            alone = replace(manifest, manifests=(entry,))
            try:
                found += await self.source.children(alone)
            except (BlobMissing, IntegrityError, ModelNotFound) as error:
                blob = Descriptor(entry.media_type, entry.digest, entry.size or 0)
                if await self._mended(broken_by(error, blob, is_manifest=True)) is None:
                    found += await self.source.children(alone)
            if sum(len(each.raw) for each in found) > MAX_CHILDREN_BYTES:
                raise manifest.too_large()
        return tuple(found)

    async def _look_again(self, item: Item, manifest: Manifest) -> None:
        """Raise `MovedError` if `manifest` is not there any more: then what was missing of it is no damage."""
        try:
            now = await self._resolve(item)
        except (ModelNotFound, StoreNotFound):
            raise MovedError(f"{item.called} was removed while it was verified") from None
        except RegistryPushError:
            return
        if now.digest != manifest.digest:
            raise MovedError(f"{item.called} was replaced while it was verified", replaced=True)


def content_of(job: AnyJob) -> tuple[Digest, ...]:
    """Return the digests of all that `job` needs besides its own manifest."""
    listed = [entry.digest for each in job.manifests for entry in each.manifests]
    return tuple(dict.fromkeys((*listed, *(blob.digest for blob in job.blobs))))


def repository_of(place: Place) -> str:
    """Return what the place is called in references and events; several places of one store are one."""
    match place:
        case OllamaPlace():
            return _OLLAMA
        case RegistryPlace(reference):
            return f"{reference.host}/{reference.repository}"
        case LayoutPlace(path):
            return f"oci:{path}"
        case ArchivePlace(path):
            return f"oci-archive:{path}"


def place_called(repository: str) -> str:
    """Return the place that is called `repository`, as it is written."""
    if repository == _OLLAMA:
        return "ollama:"
    return repository if repository.startswith(LAYOUT_PREFIXES) else f"registry:{repository}"


def names_one(place: Place) -> bool:
    """Return whether one model was named, which is missed if it is not there."""
    match place:
        case OllamaPlace(name):
            return name is not None
        case RegistryPlace(reference):
            return reference.tag is not None or reference.digest is not None
        case LayoutPlace(_, ref) | ArchivePlace(_, ref):
            return ref is not None


def _damaged(item: Item, error: RegistryPushError) -> ContentDamaged:
    what = error.message.removeprefix(f"{item.called}: ")
    return ContentDamaged(f"{item.called} is damaged: {what}", hint=verify_hints.for_manifest(item.name), url=error.url)


def _of_store(name: ModelName) -> Item:
    return Item(name, LocalReference(_OLLAMA, name.short))


def _reference(name: AnyName) -> AnyReference:
    assert isinstance(name, Reference), "the others are a store's or a layout's"
    return name
