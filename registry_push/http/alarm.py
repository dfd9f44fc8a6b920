"""`Alarm`: a timer that is set and stopped for every request, and seldom rings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarm:
    """Calls `ring` when the time it was last set to is over, unless it was stopped.

    To stop it leaves its entry in the event loop, which the next setting uses again: an entry for each request would
    be made, compared with all others and thrown away. 200 small blobs took 1 % fewer instructions so (callgrind).
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._due: float | None = None
        self._entry: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Ring so many seconds from now, and at no other time."""
        self._due = self._loop.time() + seconds
        if self._entry is None or self._entry.when() > self._due:
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
