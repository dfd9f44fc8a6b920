"""`LayoutReader`: an image layout as a source, wherever its `index.json` and its blobs are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ...errors import (
    BlobCorrupt,
    BlobMissing,
    InvalidDigest,
    ManifestCorrupt,
    ModelNotFound,
    RegistryPushError,
    UnsupportedDigest,
    printable,
)
from ...model import Descriptor, Digest, Manifest
from ...model.export_document import ExportDocument
from ...model.manifest import MANIFEST_TYPES
from ...model.referrers import is_attached
from ..threads import in_thread
from .index import LayoutIndex, has_name
from .subjects import referrers_in

# At most so many missing blobs are named in a message.
_SHOWN: Final = 3
COPY_AGAIN: Final = "copy it again from where it came"


class LayoutReader(ABC):
    """Implements `Checker`, `TagLister` and, but for `open`, `Source[str | None]`. Subclasses know where bytes are."""

    path: Path

    async def resolve(self, ref: str | None) -> Manifest:
        """Return the manifest that `ref` names, by name or by digest; None: the only one there is.

        Raises `StoreNotFound`, `ModelNotFound`, `BlobMissing`, `ManifestCorrupt`, `Unreadable`.
        """
        with _not_ollamas():
            index = await self.index()
            entry = await self._only(index) if ref is None else self._listed(index, ref)
            return await (self.manifest(entry) if entry is not None else in_thread(self._unlisted, index, ref or ""))

    async def full_name(self, ref: str) -> str:
        """Return the name that `ref` is short for, as `me/tiny` is for `registry.ollama.ai/me/tiny:latest`.

        If it is short for none, return it as it is. Raises `ModelNotFound` if it is for several; and as `tags`.
        """
        with _not_ollamas():
            names = (await self.index()).meant_by(ref)
        if len(names) > 1:
            some = printable(", ".join(names[:8]), limit=900) + (", …" if len(names) > 8 else "")
            what = f"{printable(repr(ref), limit=140)} is short for {len(names)} models in {self.path}"
            raise ModelNotFound(what, hint=f"name one of them: {some}")
        return names[0] if names else ref

    async def manifest(self, entry: Descriptor) -> Manifest:
        """Return the manifest that `entry` describes. Raises as `resolve`."""
        raw = await self._raw_manifest(entry.digest)
        if len(raw) != entry.size or Digest.of(raw) != entry.digest:
            raise _other_content(entry.digest, self.path)
        return Manifest.parse(raw, media_type=entry.media_type)

    async def children(self, manifest: Manifest) -> tuple[Manifest, ...]:
        """Return the manifests that a list names, none if `manifest` is no list.

        Raises `BlobMissing`, `BlobCorrupt`, `ManifestCorrupt`, `Unreadable`, `Unavailable`.
        """
        with _not_ollamas():
            return await in_thread(manifest.children, lambda entry: self._read_blob(entry.digest))

    async def check(self, manifest: Manifest) -> None:
        """Raise one error for all blobs of `manifest` that are missing or of another size. No content is read.

        Raises `BlobMissing`, `BlobCorrupt`, `Unreadable`, `Unavailable`.
        """
        await in_thread(self._check, manifest.blobs)

    async def left_out(self) -> frozenset[Digest]:
        """Return the blobs that an export has left out, since its receiver has them, and that are not here.

        Raises `ArchiveCorrupt`, `Unreadable`.
        """
        return await in_thread(self._left_out)

    def exports(self) -> Sequence[ExportDocument]:
        """Return the documents of the exports that wrote this, if there are any.

        Blocks on the disk. Raises as `left_out`.
        """
        return ()

    def _left_out(self) -> frozenset[Digest]:
        wanted = {digest for each in self.exports() for digest in each.requires}
        return frozenset(digest for digest in wanted if self._size(digest) is None)

    async def exists(self, blob: Descriptor) -> bool:
        """Return whether the blob is here, in its full size."""
        return await in_thread(self._size, blob.digest) == blob.size

    async def tags(self) -> tuple[str, ...]:
        """Return every name that a manifest has here. Raises `StoreNotFound`, `ManifestCorrupt`, `Unreadable`."""
        with _not_ollamas():
            return (await self.index()).refs

    async def index(self) -> LayoutIndex:
        """Return what `index.json` says. Raises `StoreNotFound`, `ManifestCorrupt`, `Unreadable`."""
        return await in_thread(self._read_index)

    async def _raw_manifest(self, digest: Digest) -> bytes:
        return await in_thread(self._read_blob, digest)

    @property
    @abstractmethod
    def origin(self) -> str:
        """The layout, as places are written."""

    @abstractmethod
    def _read_index(self) -> LayoutIndex: ...

    @abstractmethod
    def _read_blob(self, digest: Digest) -> bytes:
        """Return all of a manifest.

        Raises `BlobMissing`, `BlobCorrupt`, `ManifestCorrupt`, `Unreadable`, `Unavailable`.
        """

    @abstractmethod
    def _size(self, digest: Digest) -> int | None:
        """Return the bytes of the blob `digest`; None if it is not here."""

    def _check(self, blobs: Sequence[Descriptor]) -> None:
        missing: list[RegistryPushError] = []
        corrupt: list[RegistryPushError] = []
        for blob in blobs:
            size = self._size(blob.digest)
            if size is None:
                missing.append(self._missing(blob.digest))
            elif size != blob.size:
                corrupt.append(self._misfit(blob, size))
        broken = missing or corrupt
        if not broken:
            return
        if len(broken) == 1:
            raise broken[0]
        shown = "; ".join(error.message for error in broken[:_SHOWN]) + ("; …" if len(broken) > _SHOWN else "")
        what = "missing" if missing else "damaged"
        raise type(broken[0])(f"{len(broken)} of {len(blobs)} blobs are {what}: {shown}", hint=COPY_AGAIN)

    def _missing(self, digest: Digest) -> BlobMissing:
        return BlobMissing(f"{digest} is not in {self.path}", hint=COPY_AGAIN)

    def _misfit(self, blob: Descriptor, size: int) -> BlobCorrupt:
        return BlobCorrupt(f"{blob.digest} in {self.path} has {size} bytes, not {blob.size}", hint=COPY_AGAIN)

    def _listed(self, index: LayoutIndex, ref: str) -> Descriptor | None:
        found = index.named(ref)
        if found is None:
            with suppress(InvalidDigest):
                found = index.with_digest(Digest.parse(ref))
        return found

    def _unlisted(self, index: LayoutIndex, ref: str) -> Manifest:
        """Return the manifest with the digest `ref`, which only a list names, or nothing."""
        try:
            digest = Digest.parse(ref)
            raw = self._read_blob(digest)
        except UnsupportedDigest:
            raise
        except (InvalidDigest, BlobMissing) as error:
            known = printable(", ".join(index.refs[:8]), limit=300) or "nothing by name"
            what = f"there is no {printable(repr(ref), limit=140)} in {self.path}"
            raise ModelNotFound(what, hint=f"it has {known}") from error
        if Digest.of(raw) != digest:
            raise _other_content(digest, self.path)
        return Manifest.parse(raw)

    async def models(self) -> tuple[str, ...]:
        """Return what to ask for: the name of each manifest, the digest of one without; none that are about others.

        One manifest under several names is returned once, by its digest. Raises as `tags`.
        """
        with _not_ollamas():
            return await self._models()

    async def _models(self) -> tuple[str, ...]:
        index = await self.index()
        meant = [str(digest) for digest in await self._meant(index)]
        if len(meant) == 1:
            return tuple(meant)
        named = {str(entry.get("digest")) for entry in index.entries if has_name(entry)}
        names = [ref for ref in index.refs if not is_attached(ref.rpartition(":")[2])]
        return (*names, *(digest for digest in meant if digest not in named))

    async def _meant(self, index: LayoutIndex) -> dict[Digest, Descriptor]:
        """Return the manifests in the index; if there are several, without those that are about another one."""
        manifests = {entry.digest: entry for entry in index.readable() if entry.media_type in MANIFEST_TYPES}
        if len(manifests) < 2:
            return manifests
        attached = {each for digests in (await referrers_in(self)).values() for each in digests}
        named = [index.named(ref) for ref in index.refs if is_attached(ref.rpartition(":")[2])]
        attached |= {entry.digest for entry in named if entry is not None}
        return {digest: entry for digest, entry in manifests.items() if digest not in attached}

    async def _only(self, index: LayoutIndex) -> Descriptor:
        manifests = await self._meant(index)
        if not manifests:
            index.refuse_unsupported()
        if len(manifests) != 1:
            known = printable(", ".join((await self.models())[:8]), limit=900)
            form = "REF" if index.refs else "/:DIGEST"
            hint = f"name one, as in {self.origin}:{form}; it has {known}".replace(":/:", "/:") if known else None
            raise ModelNotFound(f"{self.path} has {len(manifests)} manifests, not one", hint=hint)
        return next(iter(manifests.values()))


def _other_content(digest: Digest, path: Path) -> ManifestCorrupt:
    return ManifestCorrupt(f"the content of {digest} in {path} has another digest or size", hint=COPY_AGAIN)


@contextmanager
def _not_ollamas() -> Iterator[None]:
    """Give an error of a damaged layout a next step that does not ask Ollama, which can't fetch what is there."""
    try:
        yield
    except RegistryPushError as error:
        error.of_model(None)
        raise
