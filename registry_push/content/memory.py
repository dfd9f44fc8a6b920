"""`MemoryStore`: a store that forgets. For tests and small uses."""

from __future__ import annotations

from ..errors import BlobCorrupt, BlobMissing, ManifestRefused, ModelNotFound, printable
from ..events import Placement
from ..model import Descriptor, Digest, Manifest
from .base import BlobBody
from .body import BytesBody


class MemoryStore:
    """Blobs, manifests and tags in dictionaries. Implements `Source[str]` and `Target`."""

    def __init__(self) -> None:
        self.blobs: dict[Digest, bytes] = {}
        self.manifests: dict[Digest, Manifest] = {}
        self.tags: dict[str, Digest] = {}

    async def resolve(self, ref: str) -> Manifest:
        """The manifest under the tag `ref`. Raises `ModelNotFound`."""
        digest = self.tags.get(ref)
        if digest is None:
            raise ModelNotFound(f"there is no {printable(repr(ref), limit=140)} in memory")
        return self.manifests[digest]

    async def open(self, blob: Descriptor) -> BytesBody:
        """The body of `blob`. Raises `BlobMissing`, and `BlobCorrupt` where its size is another."""
        content = self.blobs.get(blob.digest)
        if content is None:
            raise BlobMissing(f"{blob.digest} is not in memory")
        if len(content) != blob.size:
            raise BlobCorrupt(f"{blob.digest} has {len(content)} bytes, not {blob.size}")
        return BytesBody(content)

    async def exists(self, blob: Descriptor) -> bool:
        """Whether the blob is here."""
        return blob.digest in self.blobs

    async def push(self, blob: Descriptor, body: BlobBody) -> Placement:
        """Puts the blob here. Raises `BlobCorrupt`, and what the body raises. Cancelling leaves nothing."""
        if await self.exists(blob):
            return Placement.PRESENT
        content = b"".join([piece async for piece in body.open(0, body.size)])
        if len(content) != blob.size or Digest.of(content) != blob.digest:
            raise BlobCorrupt(f"what came for {blob.digest} is something else")
        self.blobs[blob.digest] = content
        return Placement.UPLOADED

    async def tag(self, manifest: Manifest, tag: str) -> None:
        """Puts the manifest under `tag`. Raises `ManifestRefused` if content it names is not here."""
        missing = [str(blob.digest) for blob in manifest.blobs if blob.digest not in self.blobs]
        missing += [str(child.digest) for child in manifest.manifests if child.digest not in self.manifests]
        if missing:
            raise ManifestRefused(f"the manifest for {printable(tag)} names what is not here: {', '.join(missing)}")
        self.manifests[manifest.digest] = manifest
        self.tags[tag] = manifest.digest
