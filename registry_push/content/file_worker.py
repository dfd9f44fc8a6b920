"""`FileWorker`: work with open files in threads, in short turns."""

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
    """Runs work with copies of `descriptors` in threads of `pool`, one turn at a time; `own` are the copies.

    Turns are short, so that other work gets the threads too. The copies are closed after the last turn: a thread whose
    caller was cancelled must not use a descriptor that has become another file.
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
        """Start a turn and return it; the one before has ended.

        It is awaited through a shield, since a thread can't be cancelled.
        """
        self._turn = turn = start_in(self._pool, work)
        return turn

    async def take(self, work: Callable[[], T]) -> T:
        """Return what `work` returns or raise what it raises. After cancelling, the thread still finishes it."""
        return await asyncio.shield(self.start(work))

    @property
    def is_working(self) -> bool:
        """Whether a thread is working with the files, as far as the event loop knows."""
        return self._turn is not None and not self._turn.done()

    async def ended(self) -> None:
        """Return as soon as no thread works with the files."""
        if self._turn is not None and self.is_working:
            await asyncio.wait([self._turn])

    def close(self) -> None:
        """Allow no more turns after the one under way. Called once."""
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
