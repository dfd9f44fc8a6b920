"""`LocalTarget`: what targets on this machine have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..model import Digest, Manifest
from .base import Traits


class LocalTarget(ABC):
    """A target that nobody waits for, and that knows what it has."""

    @property
    def traits(self) -> Traits:
        """As the disk takes it."""
        return Traits(is_local=True)

    async def prepare(self, blobs: int) -> None:
        """Return at once: nothing is to be got ready."""
        return

    async def check_is_there(self) -> None:
        """Return at once: what is missing of it is made."""
        return

    @abstractmethod
    async def digest_of(self, ref: str) -> Digest | None:
        """As `Target.digest_of`."""

    async def lists(self, referrer: Manifest) -> bool:
        """As `Target.lists`."""
        return True

    async def read_digest(self, ref: str, *, doubt_absence: bool = True) -> Digest | None:
        """As `digest_of`, which is always known."""
        return await self.digest_of(ref)
