"""`FileWorker`: what threads do with open files, a while at a time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

from .read_errors import read_error
from .threads import start_in

T = TypeVar("T")


class FileWorker:
    """Has threads of `pool` work with copies of `descriptors`, one at a time; `own` are the copies.

    A turn is short, so that others who wait for a thread have theirs. The copies are closed behind the last turn: a
    thread whose caller was cancelled must not work on with a number that means another file by then.
    """

    def __init__(self, pool: Executor, *descriptors: int) -> None:
        self._pool = pool
        self.own: list[int] = []
        self.is_over = False  # a turn that sees it ends
        self._turn: asyncio.Future[Any] | None = None
        try:
            for descriptor in descriptors:
                self.own.append(os.dup(descriptor))
        except OSError as error:
            self._close()
            raise read_error(error, "a second descriptor of an open file") from error

    def start(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Return a turn; the one before has ended.

        It is awaited through a shield, since a thread can't be cancelled.
        """
        self._turn = turn = start_in(self._pool, work)
        return turn

    async def take(self, work: Callable[[], T]) -> T:
        """Return what `work` gives or raises. Cancelling leaves it to its thread."""
        return await asyncio.shield(self.start(work))

    @property
    def is_working(self) -> bool:
        """Whether a thread works with them, as far as the loop has heard."""
        return self._turn is not None and not self._turn.done()

    async def ended(self) -> None:
        """Return when no thread works with them."""
        if self._turn is not None and self.is_working:
            await asyncio.wait([self._turn])

    def close(self) -> None:
        """No turn is taken any more, and one under way is the last. Called once."""
        self.is_over = True
        if self._turn is not None and self.is_working:
            self._turn.add_done_callback(self._close)
        else:
            self._close(self._turn)

    def _close(self, turn: asyncio.Future[Any] | None = None) -> None:
        if turn is not None and not turn.cancelled():
            turn.exception()  # of which nobody may wait any more
        for descriptor in self.own:
            os.close(descriptor)
