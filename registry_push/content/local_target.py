"""`LocalTarget`: what targets on this machine have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..model import Digest, Manifest
from .base import Traits


class LocalTarget(ABC):
    """A target without network waits, which knows what it has."""

    @property
    def traits(self) -> Traits:
        """How to fill a disk."""
        return Traits(is_local=True)

    def expect_blobs(self, count: int) -> None:
        """Do nothing: one blob is written as many are."""
        return

    async def prepare(self) -> None:
        """Do nothing: there is nothing to prepare."""
        return

    async def check_is_there(self) -> None:
        """Do nothing: missing parts are created when they are written."""
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
