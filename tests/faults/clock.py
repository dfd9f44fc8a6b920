"""A loop whose clock jumps when nothing moves: pauses and timeouts cost no time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

T = TypeVar("T")

# Seconds in which bytes that are on their way through loopback nearly always arrive. On a busy machine the kernel takes
# longer, and after a lost segment it waits for 0.2 s: a jump over a timeout needs more quiet than one over a pause, up
# to the most, by its share of the jump.
_QUIET: Final = 0.004
MOST_QUIET: Final = 0.3
_SHARE: Final = 1 / 60


class _Busy:
    """How many things that threads do the loop waits for just now."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Counts what is awaited of any thread, until the loop itself has heard that it is done."""
        wrap = asyncio.futures.wrap_future

        def counted(future: Any, *, loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Future[Any]:
            awaited = wrap(future, loop=loop)
            if awaited is not future:
                self.count += 1
                awaited.add_done_callback(self._done)
            return awaited

        asyncio.futures.wrap_future = asyncio.wrap_future = counted
        try:
            yield
        finally:
            asyncio.futures.wrap_future = asyncio.wrap_future = wrap

    def _done(self, _: asyncio.Future[Any]) -> None:
        self.count -= 1


class _Selector(selectors.DefaultSelector):
    """Waits for events only; a wait for time alone is over at once, and told to `jump`."""

    def __init__(self, busy: _Busy, jump: Callable[[float], None], most_quiet: float) -> None:
        super().__init__()
        self._busy = busy
        self._jump = jump
        self._most_quiet = most_quiet

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= _QUIET:
            return list(super().select(timeout))
        left = wanted = min(max(_QUIET, timeout * _SHARE), self._most_quiet)
        while left > 0:
            events = list(super().select(_QUIET))
            if events:
                return events
            left = wanted if self._busy.count else left - _QUIET
        self._jump(timeout)
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, busy: _Busy, most_quiet: float) -> None:
        self._skew = 0.0
        super().__init__(_Selector(busy, self._jump, most_quiet))

    def time(self) -> float:
        return super().time() + self._skew

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # asyncio's
        """Wait for the threads without a bound: from 3.12 on the runner's is 300 seconds of this clock, which jumps."""
        await super().shutdown_default_executor()

    def _jump(self, seconds: float) -> None:
        self._skew += seconds


@contextmanager
def runner(most_quiet: float = MOST_QUIET) -> Iterator[asyncio.Runner]:
    """A runner on such a loop; it jumps over any wait after `most_quiet` real seconds in which nothing moved."""
    busy = _Busy()
    with busy.watching(), asyncio.Runner(loop_factory=lambda: _Loop(busy, most_quiet)) as made:
        yield made


def run(work: Coroutine[Any, Any, T], most_quiet: float = MOST_QUIET) -> T:
    """As `asyncio.run`, on such a loop."""
    with runner(most_quiet) as made:
        return made.run(work)
