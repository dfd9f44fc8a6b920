"""How long to wait so that bytes keep to a rate. Pure."""

from __future__ import annotations

from typing import Final

# Time that was lost (a late timer, a slow line) may be made up for this long.
_CATCH_UP: Final = 0.2


class Bandwidth:
    """`rate` bytes a second for all who ask."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._free_at: float | None = None

    @property
    def slice(self) -> int:
        """How much should go at once: a twentieth of a second, so that many share the line evenly."""
        return max(4096, min(1024 * 1024, self.rate // 20))

    def moved(self, count: int, now: float) -> float:
        """`count` bytes have gone at `now`; gives the seconds until more may."""
        since = now if self._free_at is None else max(self._free_at, now - _CATCH_UP)
        self._free_at = since + count / self.rate
        return max(0.0, self._free_at - now)
