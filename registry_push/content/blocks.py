"""`Blocks`: content that threads take from where it comes, without a hop to the event loop for each piece."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from .base import BlobBody

EMPTY: Final = memoryview(b"")


class Blocks(ABC):
    """Some bytes of a body, in their order.

    `ready` and `take` are called in turn, never at once: `ready` by the loop, `take` in a thread as often as it likes.
    """

    @abstractmethod
    async def ready(self) -> None:
        """Return when `take` has something to return. Raises what keeps it from that. Cancelling is safe."""

    @abstractmethod
    def take(self, most: int, buffer: memoryview | None = None) -> memoryview:
        """Return the next bytes, `most` at most; none if there are none just now: `ready` says why, or waits.

        They lie in `buffer`, which bounds them too, or in memory that does not change. Without one they may lie in a
        buffer of the calling thread, and last until its next call or the end of its turn.
        """

    @abstractmethod
    async def close(self) -> None:
        """Give back what is held. Safe to call twice, and while a thread is still in `take`."""


class BlockBody(ABC):
    """A body that comes over a line, from which threads may take it."""

    @abstractmethod
    def blocks(self, offset: int, length: int) -> Blocks | None:
        """Exactly `length` bytes from `offset`; None if only `open` gives them."""


def blocks_of(body: BlobBody, offset: int, length: int) -> Blocks | None:
    """Return the blocks of `body`, if it has any."""
    return body.blocks(offset, length) if isinstance(body, BlockBody) else None
