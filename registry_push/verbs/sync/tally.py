"""`Counted`: a target that notes what is put into it, so that a copy that fails can say what it has done."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct, field

from ...content.base import BlobBody, Placed
from ...events import BlobCounts, Placement
from ...model import Descriptor, Manifest
from ...transfer.dry_run import WrappedTarget


class Tally(Struct):
    """What was done for one tag: bytes sent, blobs sent and mounted, and the names of the manifests that were put."""

    bytes: int = 0
    sent: int = 0
    mounted: int = 0
    refs: set[str] = field(default_factory=set)

    def add(self, placed: Placed) -> None:
        """Count a blob."""
        self.bytes += placed.sent
        self.sent += placed.placement is Placement.UPLOADED
        self.mounted += placed.placement is Placement.MOUNTED

    @property
    def blobs(self) -> BlobCounts:
        """The blobs. Those that were there already are not known of a copy that has failed."""
        return BlobCounts(self.sent, self.mounted)


class Counted(WrappedTarget, frozen=True):
    """Adds what is put to `tally`."""

    tally: Tally

    async def put(self, blob: Descriptor, body: BlobBody, *, candidates: Collection[str] = ()) -> Placed:
        """As the wrapped target."""
        placed = await self.target.put(blob, body, candidates=candidates)
        self.tally.add(placed)
        return placed

    async def put_manifest(self, manifest: Manifest, ref: str) -> None:
        """As the wrapped target."""
        await self.target.put_manifest(manifest, ref)
        self.tally.refs.add(ref)
