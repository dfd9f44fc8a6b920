"""`InFlight`: which blobs are at a registry, or on their way there; each digest is uploaded once at a time."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from msgspec import Struct, field

from ..model import Digest


class BlobInFlight(Struct, weakref=True):
    """A digest at a registry. Its sender holds `lock`; others wait, and then mount or find the blob.

    `holders` are the repositories that were seen to hold it, the latest last, from which it may be mounted.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    holders: dict[str, None] = field(default_factory=dict)


class InFlight:
    """The places of all runs of a process. A place is forgotten with the last run that has to do with it: registries
    forget blobs too."""

    def __init__(self) -> None:
        self._places: WeakValueDictionary[tuple[str, Digest], BlobInFlight] = WeakValueDictionary()

    def at(self, origin: str, digest: Digest) -> BlobInFlight:
        """Return the state of `digest` at `origin`; it exists while somebody holds a reference."""
        place = self._places.get((origin, digest))
        return place if place is not None else self._places.setdefault((origin, digest), BlobInFlight())
