"""A target whose tags are not moved (`--no-clobber`)."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from ..content.base import BlobBody, Placed
from ..errors import TagTaken
from ..events import Placement
from ..model import Descriptor, Digest, Manifest
from ..transfer.dry_run import CheckableTarget


class KeptTags(Struct, frozen=True):
    """Wraps a target: a tag under which there is another manifest than `digest` is an error.

    It is looked at before anything is sent, and again before the tag is set: somebody else may have been quicker.
    """

    target: CheckableTarget
    digest: Digest

    @property
    def name(self) -> str:
        """The wrapped target's name."""
        return self.target.name

    @property
    def mounts_itself(self) -> bool:
        """As the wrapped target."""
        return self.target.mounts_itself

    @property
    def is_near(self) -> bool:
        """As the wrapped target."""
        return self.target.is_near

    async def open_connections(self, count: int) -> None:
        """As the wrapped target."""
        await self.target.open_connections(count)

    async def try_mounting_itself(self, blob: Descriptor) -> None:
        """As the wrapped target."""
        await self.target.try_mounting_itself(blob)

    async def check_is_there(self) -> None:
        """As the wrapped target."""
        await self.target.check_is_there()

    async def exists(self, blob: Descriptor) -> bool:
        """As the wrapped target."""
        return await self.target.exists(blob)

    async def digest_of(self, tag: str) -> Digest | None:
        """As the wrapped target. Raises `TagTaken` if it is another manifest's."""
        found = await self.target.read_digest(tag)
        if found not in (None, self.digest):
            raise TagTaken(
                f"the tag {tag} of {self.target.name} is there already, and is {found}",
                hint="give the model another tag: --to HOST/PATH:TAG; or, to replace what is there, leave out "
                "--no-clobber",
            )
        return found

    async def read_digest(self, tag: str, *, doubt_absence: bool = True) -> Digest | None:
        """As `digest_of`."""
        return await self.digest_of(tag)

    async def push(self, blob: Descriptor, body: BlobBody) -> Placement:
        """As the wrapped target."""
        return await self.target.push(blob, body)

    async def mount(self, blob: Descriptor, body: BlobBody, repositories: Collection[str]) -> Placed:
        """As the wrapped target."""
        return await self.target.mount(blob, body, repositories)

    async def tag(self, manifest: Manifest, tag: str) -> None:
        """As the wrapped target, if the tag is free. Raises `TagTaken`."""
        await self.digest_of(tag)
        await self.target.tag(manifest, tag)

    async def put_by_digest(self, manifest: Manifest) -> None:
        """As the wrapped target."""
        await self.target.put_by_digest(manifest)
