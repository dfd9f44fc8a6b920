"""`MemoryStore`: a store in memory, for tests and small uses."""

from __future__ import annotations

from collections.abc import Collection

from ..errors import BlobCorrupt, BlobMissing, ManifestRefused, ModelNotFound, printable
from ..events import Placement
from ..model import Descriptor, Digest, Manifest
from .base import BlobBody, Placed, Traits
from .body import BytesBody


class MemoryStore:
    """Blobs, manifests and tags in dictionaries. Implements `Source[str]`, `TagLister` and `Target`."""

    origin = "memory:"
    name = "memory"

    def __init__(self) -> None:
        self.blobs: dict[Digest, bytes] = {}
        self.manifests: dict[Digest, Manifest] = {}
        self.digests: dict[str, Digest] = {}  # by tag or by digest

    async def resolve(self, ref: str) -> Manifest:
        """Return the manifest under the tag `ref`. Raises `ModelNotFound`."""
        digest = self.digests.get(ref)
        if digest is None:
            raise ModelNotFound(f"there is no {printable(repr(ref), limit=140)} in memory")
        return self.manifests[digest]

    async def open(self, blob: Descriptor) -> BytesBody:
        """Return the body of `blob`. Raises `BlobMissing`, and `BlobCorrupt` if its size is another."""
        content = self.blobs.get(blob.digest)
        if content is None:
            raise BlobMissing(f"{blob.digest} is not in memory")
        if len(content) != blob.size:
            raise BlobCorrupt(f"{blob.digest} has {len(content)} bytes, not {blob.size}")
        return BytesBody(content)

    @property
    def traits(self) -> Traits:
        """Nothing is waited for."""
        return Traits()

    def expect_blobs(self, count: int) -> None:
        """Do nothing: there is nothing to prepare."""

    async def prepare(self) -> None:
        """Do nothing: there is nothing to prepare."""

    async def tags(self) -> tuple[str, ...]:
        """Return every tag."""
        return tuple(ref for ref in self.digests if ":" not in ref)

    async def exists(self, blob: Descriptor) -> bool:
        """Return whether the blob is here."""
        return blob.digest in self.blobs

    async def put(self, blob: Descriptor, body: BlobBody, *, candidates: Collection[str] = ()) -> Placed:
        """Put the blob here. Raises `BlobCorrupt`, and what the body raises. Cancelling leaves nothing."""
        if await self.exists(blob):
            return Placed(Placement.PRESENT)
        content = b"".join([piece async for piece in body.open(0, body.size)])
        if len(content) != blob.size or Digest.of(content) != blob.digest:
            raise BlobCorrupt(f"the content received for {blob.digest} is something else")
        self.blobs[blob.digest] = content
        return Placed(Placement.UPLOADED, blob.size)

    async def put_manifest(self, manifest: Manifest, ref: str) -> None:
        """Put the manifest under `ref`. Raises `ManifestRefused` if content it names is not here."""
        missing = [str(blob.digest) for blob in manifest.blobs if blob.digest not in self.blobs]
        missing += [str(child.digest) for child in manifest.manifests if child.digest not in self.manifests]
        if missing:
            raise ManifestRefused(f"the manifest for {printable(ref)} names what is not here: {', '.join(missing)}")
        self.manifests[manifest.digest] = manifest
        self.digests[ref] = manifest.digest

    async def digest_of(self, ref: str) -> Digest | None:
        """Return the digest of the manifest under `ref`."""
        return self.digests.get(ref)

    async def lists(self, referrer: Manifest) -> bool:
        """Return whether `referrer` is here."""
        return referrer.digest in self.manifests
