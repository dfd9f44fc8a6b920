"""Servers with one worker for each connection, as gunicorn's: a connection that rests keeps a request from its turn.

A request whose connection was never answered on may wait for a worker that listens to a connection of ours on which
nothing is asked. If it waits for long, those that rest are closed; if none does, the next one that would. One that was
answered on has its worker.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Hashable
from typing import Final

# Seconds. To open a connection again costs a few round trips, to wait for a worker as long as servers keep connections.
PATIENCE: Final = 1.0


class Waiting:
    """A request that waits for the first answer on its connection, from before that is open."""

    def __init__(self, overdue: Callable[[Waiting], None], end: Callable[[Waiting], None], patience: float) -> None:
        self._end = end
        self._timer = asyncio.get_running_loop().call_later(patience, overdue, self)

    def end(self) -> None:
        """It waits no more: it was answered, or given up."""
        self._timer.cancel()
        self._end(self)


class Starvation:
    """Who waits long, and for a connection of which host. `free(key)` closes those that rest there, and counts them."""

    def __init__(self, free: Callable[[Hashable], int], *, patience: float = PATIENCE) -> None:
        self._free = free
        self._patience = patience
        self._owed: defaultdict[Hashable, deque[Waiting]] = defaultdict(deque)  # to whom none was closed yet

    def wait(self, key: Hashable) -> Waiting:
        """Begin to wait for an answer of the host of `key`."""
        owed = self._owed[key]

        def overdue(waiting: Waiting) -> None:
            if not self._free(key):
                owed.append(waiting)

        def end(waiting: Waiting) -> None:
            if waiting in owed:
                owed.remove(waiting)

        return Waiting(overdue, end, self._patience)

    def claims(self, key: Hashable) -> bool:
        """Return whether a connection that would rest is to be closed for somebody who waits; then one fewer is."""
        owed = self._owed[key]
        if not owed:
            return False
        owed.popleft()
        return True
