"""`Questions`: read-only requests, which a stop ends at once, since a registry may hang."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import Interrupted


class Questions:
    """The read-only requests under way, by the tasks that wait for their answers."""

    def __init__(self) -> None:
        self._asking: set[asyncio.Task[Any]] = set()
        self._stopped: set[asyncio.Task[Any]] = set()

    def stop(self) -> None:
        """End all that are under way."""
        for task in self._asking - self._stopped:
            self._stopped.add(task)
            task.cancel()

    @contextmanager
    def asking(self, host: str) -> Iterator[None]:
        """Run a read-only request to `host`. Raises `Interrupted` if `stop` ends it."""
        task = asyncio.current_task()
        assert task is not None, "requests are sent by tasks"
        self._asking.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if task in self._stopped and not task.uncancel():
                raise Interrupted(f"stopped before {host} had answered") from None
            raise
        finally:
            self._asking.discard(task)
            self._stopped.discard(task)
