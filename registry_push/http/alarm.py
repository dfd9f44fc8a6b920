"""`Alarm`: a timer that is set and stopped for every request, and seldom goes off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarm:
    """Calls `ring` at the time it was last set to, unless it was stopped.

    Stopping leaves the entry in the event loop, and the next setting uses it again. A new entry for each request would
    cost 1 % of a push of small blobs.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._due: float | None = None
        self._entry: asyncio.TimerHandle | None = None
        self._looks_at = 0.0  # when the entry is due

    def set(self, seconds: float) -> None:
        """Ring in so many seconds, and not at the time set before."""
        self._due = due = self._loop.time() + seconds
        if self._entry is None or self._looks_at > due:
            self._enter()

    def stop(self) -> None:
        """Don't ring."""
        self._due = None

    def close(self) -> None:
        """Never ring again, and leave nothing in the event loop."""
        self._due = None
        if self._entry is not None:
            self._entry.cancel()
            self._entry = None

    def _enter(self) -> None:
        assert self._due is not None
        if self._entry is not None:
            self._entry.cancel()
        self._looks_at = self._due
        self._entry = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._entry = None
        if self._due is None:
            return
        if self._due > self._loop.time():
            self._enter()
        else:
            self._due = None
            self._ring()
