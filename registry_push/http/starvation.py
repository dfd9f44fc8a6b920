"""Servers with one worker per connection, such as gunicorn: an idle connection blocks the worker for other requests.

A request on a new connection may wait for a worker that listens to one of our idle connections. If it waits long, idle
connections are closed; if there are none, the next one that would become idle. A connection that has had an answer has
its worker.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Hashable
from typing import Final

# Seconds. Opening a connection again costs a few round trips; a worker may stay blocked for as long as servers keep
# connections.
PATIENCE: Final = 1.0


class Waiting:
    """A request that waits for the first answer on its connection, which may not be open yet."""

    def __init__(self, overdue: Callable[[Waiting], None], end: Callable[[Waiting], None], patience: float) -> None:
        self._end = end
        self._timer = asyncio.get_running_loop().call_later(patience, overdue, self)

    def end(self) -> None:
        """End the wait: the request was answered, or given up."""
        self._timer.cancel()
        self._end(self)


class Starvation:
    """The requests that wait long, by host. `free(key)` closes a host's idle connections and returns their number."""

    def __init__(self, free: Callable[[Hashable], int], *, patience: float = PATIENCE) -> None:
        self._free = free
        self._patience = patience
        self._owed: defaultdict[Hashable, deque[Waiting]] = defaultdict(deque)  # no connection was closed for them yet

    def wait(self, key: Hashable) -> Waiting:
        """Start to wait for an answer from the host of `key`."""
        owed = self._owed[key]

        def overdue(waiting: Waiting) -> None:
            if not self._free(key):
                owed.append(waiting)

        def end(waiting: Waiting) -> None:
            if waiting in owed:
                owed.remove(waiting)

        return Waiting(overdue, end, self._patience)

    def claims(self, key: Hashable) -> bool:
        """Return whether to close a connection that would become idle, and count it for one that waits."""
        owed = self._owed[key]
        if not owed:
            return False
        owed.popleft()
        return True
