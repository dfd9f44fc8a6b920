"""`Questions`: read-only requests, which a stop ends at once, since a registry may hang.

A blob that is read may be half of a chunk that is to be finished: a stop ends that only if nothing more comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final

from ..errors import Interrupted

# Seconds. After a stop, a source that sends nothing for so long is not waited for.
_SILENCE: Final = 1.0
# There may be nothing yet that `resume` could continue.
AGAIN: Final = "to resume, run the same command again"


class Questions:
    """The read-only requests under way, by the tasks that wait for their answers."""

    def __init__(self) -> None:
        self._asking: set[asyncio.Task[Any]] = set()
        self._stopped: set[asyncio.Task[Any]] = set()
        self._reading: set[Reading] = set()
        self._is_over = False

    def stop(self) -> None:
        """End all that are under way, and the reading of content that does not come."""
        self._is_over = True
        for each in self._reading:
            each.end_soon()
        for task in self._asking - self._stopped:
            self._stopped.add(task)
            task.cancel()

    def reading(self) -> Reading:
        """Return a context manager for one wait for content. It raises `Interrupted` if `stop` ends it."""
        return Reading(self._reading, is_over=self._is_over)

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
                raise Interrupted(f"stopped before {host} had answered", hint=AGAIN) from None
            raise
        finally:
            self._asking.discard(task)
            self._stopped.discard(task)


class Reading:
    """One wait for content. There is one for each piece, so it costs less than a timeout."""

    def __init__(self, beside: set[Reading], *, is_over: bool) -> None:
        self._beside = beside
        self._is_over = is_over
        self._timer: asyncio.TimerHandle | None = None
        self._has_ended = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "content is read by tasks"
        self._task, self._cancelled_before = task, task.cancelling()
        self._beside.add(self)
        if self._is_over:
            self.end_soon()

    def end_soon(self) -> None:
        """End the wait if nothing comes now."""
        self._timer = asyncio.get_running_loop().call_later(_SILENCE, self._end)

    def _end(self) -> None:
        self._has_ended = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._beside.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._has_ended and self._task.uncancel() <= self._cancelled_before and kind is asyncio.CancelledError:
            raise Interrupted("stopped while the source sent nothing") from None
