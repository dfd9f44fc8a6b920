"""`Gate`: where requests of one kind to one registry wait while it wants none of them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from ..errors import Interrupted, RateLimited
from ..events import Retrying, Sink
from ..model import HTTPOrigin
from ..pauses import Pauses
from ..protocol.rate_window import RateWindow, Turn
from ..protocol.request_kind import RequestKind
from ..protocol.response import Kind, RegistryResponse
from .questions import AGAIN

# An answer that shows nothing about the limit: it may come before requests are counted.
_UNCOUNTED: Final = 401


class Gate:
    """Lets requests through by their `RateWindow`. Cancelling a wait is safe.

    One pause serves all that wait: the registry is told nothing by each of them in turn, and neither is the user.
    """

    def __init__(
        self, origin: HTTPOrigin, kind: RequestKind, pauses: Pauses, *, sink: Sink, stop: asyncio.Event | None
    ) -> None:
        self.window = RateWindow(pauses.patience())
        self._origin = origin
        self._kind = kind
        self._pauses = pauses
        self._sink = sink
        self._stop = stop
        self._waiting: deque[asyncio.Future[int | None]] = deque()  # none of them while there is a pause
        self._refusal = ""

    async def enter(self) -> int:
        """Wait until the request may be sent, and return its ticket.

        Raises `RateLimited` if the registry has taken no request for too long, and `Interrupted` at a stop.
        """
        return self.window.begin() if self.window.admits else await self._wait()

    async def _wait(self) -> int:
        while True:
            if self._is_stopped:
                raise Interrupted(f"stopped before {self._origin.netloc} took another request", hint=AGAIN)
            if self.window.is_given_up(self._pauses.clock()):
                raise self._over()
            if self.window.held_until is not None:
                await self.rest()
            elif self.window.admits:
                return self.window.begin()
            elif (ticket := await self._admitted()) is not None:
                return ticket

    def stop(self) -> None:
        """End all waits, now that the run is stopped."""
        self._let_in()

    def hold(self, retry_after: float | None) -> None:
        """Let nobody in for the pause that the registry asks for in an answer to another request."""
        self.window.hold(self._pauses.clock(), retry_after)
        self._let_in()

    async def rest(self) -> None:
        """Wait for the end of the pause, if there is one. Raises `Interrupted` at a stop."""
        while (until := self.window.held_until) is not None:
            await self._pauses.rest(max(0.0, until - self._pauses.clock()), self._stop)
            self.window.resume(until)

    async def _admitted(self) -> int | None:
        """Wait for a ticket; None if it is time to look again."""
        turn: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif not turn.cancelled() and turn.result() is not None:  # it was admitted and cancelled at once
                self.window.end()
            self._let_in()
            raise

    def leave(self, ticket: int, answer: RegistryResponse | None) -> bool:
        """Take the answer to a request that has entered; return whether it is to enter again.

        Raises `RateLimited` if the registry has taken no request for too long.
        """
        window = self.window
        if answer is not None and answer.status == 429:
            return self._turned_away(ticket, answer)
        if answer is not None and answer.status == 503:
            window.overloaded(ticket, self._pauses.clock(), answer.retry_after)
        elif answer is None or answer.status == _UNCOUNTED or answer.kind is Kind.BUSY:
            window.end()
        else:
            window.answered(ticket)
        if self._waiting:
            self._let_in()
        return False

    def _turned_away(self, ticket: int, answer: RegistryResponse) -> bool:
        now = self._pauses.clock()
        self._refusal = f"{self._origin.netloc} answers {answer}"
        turn = self.window.turned_away(ticket, now, answer.retry_after)
        self._let_in()
        if turn is Turn.GIVE_UP:
            raise self._over(answer.url, answer.retry_after)
        if turn is Turn.PAUSE:
            assert self.window.held_until is not None, "it has just begun"
            what = f"{self._kind.value} at {self._origin.netloc}"
            self._sink(Retrying(what, self._refusal, self.window.held_until - now))
        return True

    @property
    def _is_stopped(self) -> bool:
        return self._stop is not None and self._stop.is_set()

    def _over(self, url: str | None = None, retry_after: float | None = None) -> RateLimited:
        return RateLimited(self._refusal, url=url, retry_after=retry_after)

    def _let_in(self) -> None:
        """Admit those who wait, in their order; where something has ended that, all of them look themselves."""
        window, now = self.window, self._pauses.clock()
        while self._waiting:
            looks = window.held_until is not None or window.is_given_up(now) or self._is_stopped
            if not looks and not window.admits:
                return
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None if looks else window.begin())
