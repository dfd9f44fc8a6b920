"""When bytes may be sent to keep to a rate. Pure."""

from __future__ import annotations

from typing import Final

# Seconds. At most this much lost time (a late timer, a slow line) is made up for.
_CATCH_UP: Final = 0.2


class Bandwidth:
    """`rate` bytes a second, shared by all callers. Each waits for its turn before it sends.

    Waiting after sending instead would let the first bytes of every body pass: 400 bodies of 64 KiB exceed the rate
    eight times.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._free_at: float | None = None

    @property
    def slice(self) -> int:
        """Bytes that should be sent at once: those of a twentieth of a second, so that many share the line evenly."""
        return max(4096, min(1024 * 1024, self.rate // 20))

    def turn(self, count: int, now: float) -> float:
        """Take the next turn for `count` bytes, and return the seconds until it comes."""
        begins = now if self._free_at is None else max(self._free_at, now - _CATCH_UP)
        self._free_at = begins + count / self.rate
        return max(0.0, begins - now)
