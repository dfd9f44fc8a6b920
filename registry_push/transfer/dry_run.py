"""A target that is asked and never written."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from ..content.base import BlobBody, Placed
from ..events import Placement, Sink
from ..model import Descriptor, Digest, Manifest
from .targets import ModelTarget


class CheckableTarget(ModelTarget, Protocol):
    """A target that can be asked whether it is one."""

    async def check_is_there(self) -> None:
        """Raise `RegistryPushError` if there is nothing that could be pushed to."""
        ...

    async def read_digest(self, tag: str, *, doubt_absence: bool = True) -> Digest | None:
        """As `digest_of`, but found out even if the target does not tell: None means that there is no such tag.

        If `doubt_absence`, a target that has just said that there is none is asked in another way too.
        """
        ...


class DryRun(Struct, frozen=True):
    """Wraps a target: what reads goes through, what writes is only said. `sent` is what would be sent."""

    target: CheckableTarget

    @property
    def name(self) -> str:
        """The wrapped target's name."""
        return self.target.name

    @property
    def mounts_itself(self) -> bool:
        """Never: that would open uploads."""
        return False

    @property
    def is_near(self) -> bool:
        """As the wrapped target."""
        return self.target.is_near

    async def open_connections(self, count: int) -> None:
        """As the wrapped target."""
        await self.target.open_connections(count)

    async def try_mounting_itself(self, blob: Descriptor) -> None:
        """Tries nothing."""

    async def exists(self, blob: Descriptor) -> bool:
        """As the wrapped target."""
        return await self.target.exists(blob)

    async def digest_of(self, tag: str) -> Digest | None:
        """As the wrapped target. What is new there may be so because nobody is there who keeps manifests."""
        digest = await self.target.read_digest(tag, doubt_absence=False)
        if digest is None:
            await self.target.check_is_there()
        return digest

    async def push(self, blob: Descriptor, body: BlobBody) -> Placement:
        """Sends nothing."""
        return (await self.mount(blob, body, ())).placement

    async def mount(self, blob: Descriptor, body: BlobBody, repositories: Collection[str]) -> Placed:
        """Sends nothing; a blob that this run would have put into another repository would be mounted."""
        return Placed(Placement.MOUNTED) if repositories else Placed(Placement.UPLOADED, body.size)

    async def tag(self, manifest: Manifest, tag: str) -> None:
        """Puts nothing."""

    async def put_by_digest(self, manifest: Manifest) -> None:
        """Puts nothing."""


# What only a push finds out.
NOT_CHECKED: Final = (
    "that this login may write there",
    "the content of blobs, which are hashed while they are sent",
    "that the registry has room, mounts what it could mount, and takes the manifest",
)


def marked(sink: Sink) -> Sink:
    """A sink that passes on what it is told as events of a dry run."""
    return lambda event: sink(replace(event, dry_run=True))
