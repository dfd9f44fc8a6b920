"""`Pauses`: the number of tries, and the pauses between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from .errors import Interrupted
from .protocol.retry import Budget

# Pauses of about 1, 4, 16, 30 and 30 s: with the usual five tries a registry may be away for a minute, and restart.
GROWTH: Final = 4.0
# Tries: more than there is time for.
_ANY_NUMBER: Final = 1_000_000


def loop_time() -> float:
    """Return the running loop's clock, in seconds."""
    return asyncio.get_running_loop().time()


async def unless_stopped(waiting: Coroutine[Any, Any, object], stop: asyncio.Event | None, message: str) -> None:
    """Await `waiting`. Raises `Interrupted` with `message` as soon as `stop` is set."""
    if stop is None:
        await waiting
        return
    waits = [asyncio.ensure_future(waiting), asyncio.ensure_future(stop.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
    if stop.is_set():
        raise Interrupted(message)
    waits[0].result()


class Pauses:
    """The settings of retries: their number without progress, and `seconds` in all."""

    def __init__(
        self,
        retries: int,
        seconds: float,
        *,
        sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
        clock: Callable[[], float] = loop_time,
    ) -> None:
        self._retries = retries
        self._seconds = seconds
        self._sleep = sleep
        self.clock = clock

    def budget(self, *, least: int = 0) -> Budget:
        """Return a new budget for one piece of work, of `least` tries or more."""
        return Budget(max(self._retries, least), seconds=self._seconds, growth=GROWTH, clock=self.clock)

    @property
    def has_retries(self) -> bool:
        """Whether anything is tried again."""
        return self._retries > 0

    def patience(self) -> Budget:
        """Return a budget of time alone, for a registry that counts requests: its limit passes with time."""
        return Budget(_ANY_NUMBER, seconds=self._seconds, growth=GROWTH, clock=self.clock)

    async def rest(self, seconds: float, stop: asyncio.Event | None = None) -> None:
        """Wait before the next try. Raises `Interrupted` as soon as `stop` is set."""
        await unless_stopped(self._sleep(seconds), stop, f"stopped in a pause of {seconds:.0f} s before the next try")
