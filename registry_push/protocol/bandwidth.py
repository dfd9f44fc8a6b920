"""When bytes may go so that they keep to a rate. Pure."""

from __future__ import annotations

from typing import Final

# Seconds. Time that was lost (a late timer, a slow line) may be made up for this long.
_CATCH_UP: Final = 0.2


class Bandwidth:
    """`rate` bytes a second for all who ask. Whoever asks waits its turn before the bytes go.

    To rest after the bytes instead would let every body's first ones pass: 400 of 64 KiB went at eight times the rate.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._free_at: float | None = None

    @property
    def slice(self) -> int:
        """Bytes that should go at once: a twentieth of a second, so that many share the line evenly."""
        return max(4096, min(1024 * 1024, self.rate // 20))

    def turn(self, count: int, now: float) -> float:
        """Take the next turn for `count` bytes, and return the seconds until it comes."""
        begins = now if self._free_at is None else max(self._free_at, now - _CATCH_UP)
        self._free_at = begins + count / self.rate
        return max(0.0, begins - now)
