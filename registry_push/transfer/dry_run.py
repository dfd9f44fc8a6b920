"""A target that is only asked, and never written."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from ..content.base import BlobBody, Placed, Target, Traits
from ..events import Placement, Sink
from ..model import Descriptor, Digest, Manifest


class CheckableTarget(Target, Protocol):
    """A target that can be asked whether it is one."""

    async def check_is_there(self) -> None:
        """Raise `RegistryPushError` if it is no target."""
        ...

    async def read_digest(self, ref: str, *, doubt_absence: bool = True) -> Digest | None:
        """As `digest_of`, but find out even if the target does not say: None means that there is no such manifest.

        With `doubt_absence`, check in a second way that there is none.
        """
        ...


class WrappedTarget(Struct, frozen=True):
    """A target that passes everything on to another; subclasses change a part of it."""

    target: CheckableTarget

    @property
    def origin(self) -> str:
        """The wrapped target's."""
        return self.target.origin

    @property
    def name(self) -> str:
        """The wrapped target's."""
        return self.target.name

    @property
    def traits(self) -> Traits:
        """The wrapped target's."""
        return self.target.traits

    def expect_blobs(self, count: int) -> None:
        """As the wrapped target."""
        self.target.expect_blobs(count)

    async def prepare(self) -> None:
        """As the wrapped target."""
        await self.target.prepare()

    async def check_is_there(self) -> None:
        """As the wrapped target."""
        await self.target.check_is_there()

    async def exists(self, blob: Descriptor) -> bool:
        """As the wrapped target."""
        return await self.target.exists(blob)

    async def digest_of(self, ref: str) -> Digest | None:
        """As the wrapped target."""
        return await self.target.digest_of(ref)

    async def read_digest(self, ref: str, *, doubt_absence: bool = True) -> Digest | None:
        """As the wrapped target."""
        return await self.target.read_digest(ref, doubt_absence=doubt_absence)

    async def lists(self, referrer: Manifest) -> bool:
        """As the wrapped target."""
        return await self.target.lists(referrer)

    async def put(self, blob: Descriptor, body: BlobBody, *, candidates: Collection[str] = ()) -> Placed:
        """As the wrapped target."""
        return await self.target.put(blob, body, candidates=candidates)

    async def put_manifest(self, manifest: Manifest, ref: str) -> None:
        """As the wrapped target."""
        await self.target.put_manifest(manifest, ref)


class DryRun(WrappedTarget, frozen=True):
    """Passes reads on, and only reports writes. `sent` is what would be sent."""

    @property
    def traits(self) -> Traits:
        """As the wrapped target, but no upload is opened to ask for a blob."""
        return replace(self.target.traits, mounts_itself=False)

    async def digest_of(self, ref: str) -> Digest | None:
        """As the wrapped target. If it has no such manifest, make sure that it is a registry at all."""
        digest = await self.target.read_digest(ref, doubt_absence=False)
        if digest is None:
            await self.target.check_is_there()
        return digest

    async def put(self, blob: Descriptor, body: BlobBody, *, candidates: Collection[str] = ()) -> Placed:
        """Send nothing; a blob that this run would have put into another repository would be mounted."""
        return Placed(Placement.MOUNTED) if candidates else Placed(Placement.UPLOADED, body.size)

    async def put_manifest(self, manifest: Manifest, ref: str) -> None:
        """Put nothing."""


# What a dry run says of content that it does not read.
CONTENT: Final = (
    "the content of blobs, which are hashed while they are sent",
    "the content of blobs, which are hashed while they are read",
)
# Said in a dry run: what only a real push can find out.
NOT_CHECKED: Final = (
    "that this login may write there",
    CONTENT[0],
    "which blobs other repositories of the registry have: those are mounted from there, and not sent",
    "that the registry has room, mounts what it could mount, and takes the manifest",
)
# The same for a copy to a store on this machine.
NOT_CHECKED_HERE: Final = (
    "that this user may write there, and that the disk has room",
    CONTENT[1],
)
# And for deletions.
NOT_DELETED: Final = "that the registry can delete, and that this login may"


def marked(sink: Sink) -> Sink:
    """Return a sink that passes events on as those of a dry run."""
    return lambda event: sink(replace(event, dry_run=True))
