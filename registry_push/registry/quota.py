"""`Quota`: stops reading manifests while a registry allows few more, and says when that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from ..events import Sink, Warned
from ..http.response import Response
from ..model import HTTPOrigin
from ..pauses import Pauses
from ..protocol.rate_limit import RateLimit
from ..protocol.read_quota import ReadQuota

# Seconds between two questions whether more is allowed, doubled each time. Docker Hub does not count them.
_FIRST_PAUSE: Final = 15.0
_LONGEST_PAUSE: Final = 300.0
# Seconds. No limit that was seen has a longer window.
_LONGEST_WAIT: Final = 24 * 3600.0


class Read:
    """One read of a manifest, and its answer."""

    response: Response


class Quota:
    """Leaves `least` reads of manifests at `origin` unused, where it says how many it allows. Cancelling is safe."""

    def __init__(
        self,
        origin: HTTPOrigin,
        least: int,
        pauses: Pauses,
        *,
        now: Callable[[], float],
        sink: Sink,
        stop: asyncio.Event | None,
    ) -> None:
        self._origin = origin
        self._least = least
        self._pauses = pauses
        self._now = now
        self._sink = sink
        self._stop = stop
        self._quota = ReadQuota(least)
        self._turn = asyncio.Lock()  # held by the one that waits; the others wait for it
        self._changed = asyncio.Event()
        self._is_told = False  # whether the user knows of this wait

    def saw(self, response: Response) -> None:
        """Take an answer about a manifest that was not read."""
        self._quota.saw(self._limit(response))
        self._changed.set()

    @asynccontextmanager
    async def read(self, ask: Callable[[], Awaitable[Response]]) -> AsyncIterator[Read]:
        """Wait until another manifest may be read, and count the read, whose answer the caller adds.

        `ask` sends a HEAD of the manifest, whose answer says what is left. Raises what it does, and `Interrupted`.
        """
        async with self._turn:
            while not self._quota.allows:
                if self._quota.under_way:
                    self._changed.clear()
                    await self._changed.wait()
                elif not await self._wait(ask):
                    break
            else:
                self._is_told = False
            ticket = self._quota.begin()
        read, limit = Read(), None
        try:
            yield read
            limit = self._limit(read.response)
        finally:
            self._quota.end(ticket, limit)
            self._changed.set()

    async def _wait(self, ask: Callable[[], Awaitable[Response]]) -> bool:
        """Wait until the registry allows more; False if it wants a new login first, which only the read can get."""
        limit = self._quota.limit
        assert limit is not None, "it allows nothing more"
        if not self._is_told:
            self._warn(limit)
            self._is_told = True
        if limit.reset is not None:
            await self._pauses.rest(min(limit.reset, _LONGEST_WAIT), self._stop)
            self._quota.forget()
            return True
        left, pause = limit.window or _LONGEST_WAIT, _FIRST_PAUSE
        while left > 0 and not self._quota.allows:
            await self._pauses.rest(min(pause, left), self._stop)
            left, pause = left - pause, min(2 * pause, _LONGEST_PAUSE)
            response = await ask()
            if response.status == 401:
                return False
            told = self._limit(response)
            if told is None:
                break
            self._quota.asked(told)
        if not self._quota.allows:
            self._quota.forget()
        return True

    def _warn(self, limit: RateLimit) -> None:
        host, seconds = self._origin.netloc, limit.reset if limit.reset is not None else limit.window
        when = "as soon as it allows more"
        if seconds is not None:
            at = datetime.fromtimestamp(self._now(), UTC) + timedelta(seconds=min(seconds, _LONGEST_WAIT))
            date = f"at {at:%H:%M} UTC on {at:%-d %B}"
            when = date if limit.reset is not None else f"{when}, {date} at the latest"
        self._sink(
            Warned(
                f"{host} allows {limit.remaining} more reads of manifests, and {self._least} are to be left "
                f"(ratelimit-min): reading goes on {when}"
            )
        )

    def _limit(self, response: Response) -> RateLimit | None:
        return RateLimit.read(response.headers, now=self._now())
