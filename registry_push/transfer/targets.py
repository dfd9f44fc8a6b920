"""The two ends of a copy: what it needs of a source, and of a repository that it fills."""

from __future__ import annotations

from typing import Protocol

from ..content.base import BlobBody, Mounter, Target
from ..model import Descriptor, Digest, Manifest


class BlobSource(Protocol):
    """What is copied from."""

    async def open(self, blob: Descriptor) -> BlobBody:
        """As `Source.open`."""
        ...

    async def check(self, manifest: Manifest) -> None:
        """Raises where the source can see, content unread, that blobs of `manifest` are missing or damaged."""
        ...


class ModelTarget(Target, Mounter, Protocol):
    """What is copied to: one repository."""

    @property
    def name(self) -> str:
        """The repository's name, by which others at the same registry mount from it."""
        ...

    async def digest_of(self, tag: str) -> Digest | None:
        """The digest of the manifest under `tag`; None if there is none or the target can't tell."""
        ...

    async def put_by_digest(self, manifest: Manifest) -> None:
        """Puts a manifest without a tag."""
        ...

    @property
    def mounts_itself(self) -> bool:
        """Whether a blob that may be here can be mounted from here: one request in place of two where it is not."""
        ...

    async def try_mounting_itself(self, blob: Descriptor) -> None:
        """Finds out, by a blob that is here."""
        ...

    @property
    def is_near(self) -> bool:
        """Whether it is known to answer at once; False where nothing was asked yet."""
        ...

    async def open_connections(self, count: int) -> None:
        """Opens `count` connections for what is asked next."""
        ...
