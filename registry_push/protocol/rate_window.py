"""`RateWindow`: how many requests of one kind one registry bears at once, and when it wants none. Pure.

A burst is what was under way when the first request was turned away: its other refusals say nothing new. So each burst
halves the window once and makes one pause. After a pause one request goes alone; when it is answered, the window opens,
and grows by one whenever as many requests as it admits were answered.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from .retry import BASE_SECONDS, RETRY_AFTER_CAP_SECONDS, Budget

# With more at once there is nothing to limit: no run has so many requests of one kind under way.
_WIDEST: Final = 64


class Turn(Enum):
    """What a request that was turned away is to do."""

    WAIT = auto()  # for the pause that another one of its burst has begun
    PAUSE = auto()  # the pause begins with it
    GIVE_UP = auto()


class RateWindow:
    """The requests of one kind to one registry. While none is turned away, any number may be under way.

    `budget` is for all of them together; any that is answered restores it. Times are in seconds.
    """

    def __init__(self, budget: Budget, *, dice: Callable[[], float] = random.random) -> None:
        self.under_way = 0
        self.size: int | None = None  # None: no limit is known
        self.held_until: float | None = None  # None: there is no pause
        self._budget = budget
        self._dice = dice
        self._burst = 0  # its number; a request's ticket is that of the bursts before it
        self._well = 0  # answered since the size has changed
        self._is_alone = False  # whether one request is to show that the pause was long enough
        self._given_up_until: float | None = None
        self._last_pause = 0.0

    @property
    def admits(self) -> bool:
        """Whether another request may begin now."""
        if self.held_until is not None or self._given_up_until is not None:
            return False
        return self.size is None or self.under_way < (1 if self._is_alone else self.size)

    def is_given_up(self, now: float) -> bool:
        """Return whether a request would only be turned away: the budget is spent, and the pause would go on.

        After that time, requests are tried again, one by one.
        """
        if self._given_up_until is not None and now >= self._given_up_until:
            self._given_up_until = None
        return self._given_up_until is not None

    def begin(self) -> int:
        """Count a request that begins, and return its ticket."""
        self.under_way += 1
        return self._burst

    def end(self) -> None:
        """Note the end of a request that shows nothing: it broke, or its answer is about something else."""
        self.under_way -= 1

    def answered(self, ticket: int) -> None:
        """Note the end of a request that was not turned away."""
        self.under_way -= 1
        if self.size is None or ticket != self._burst:
            return
        if self._is_alone:
            self._is_alone = False
            self._budget.restore()
            return
        self._well += 1
        if self._well >= self.size:
            self.size, self._well = self.size + 1, 0
            if self.size > _WIDEST:
                self.size = None

    def turned_away(self, ticket: int, now: float, retry_after: float | None) -> Turn:
        """Note the end of a request that came too soon (429). `retry_after` is the pause that the registry asks for."""
        if ticket != self._burst:
            self.under_way -= 1
            self._wait_longer(now, retry_after)
            return Turn.WAIT
        pause = self._budget.spend(retry_after)
        self._narrow()
        if pause is None:
            self._is_alone = True
            self._given_up_until = now + (self._last_pause if retry_after is None else retry_after)
            return Turn.GIVE_UP
        self._last_pause = pause
        self._hold(now + pause)
        return Turn.PAUSE

    def overloaded(self, ticket: int, now: float, retry_after: float | None) -> None:
        """Note the end of a request that found the registry overloaded (503): it has tries of its own.

        Others wait only if the registry asks for that, since the reason may be what was asked for.
        """
        if ticket != self._burst:
            self.under_way -= 1
            self._wait_longer(now, retry_after)
            return
        self._narrow()
        self.hold(now, retry_after)

    def hold(self, now: float, retry_after: float | None) -> None:
        """Begin no request for `retry_after` seconds."""
        if retry_after is not None:
            asked = min(retry_after, RETRY_AFTER_CAP_SECONDS)
            self._hold(max(now + asked + BASE_SECONDS * self._dice(), self.held_until or 0.0))

    def resume(self, held_until: float) -> None:
        """End the pause if it is still the one that was to end then. One request goes first."""
        if self.held_until == held_until:
            self.held_until = None

    def _narrow(self) -> None:
        """Begin a burst."""
        if not self._is_alone:  # else nothing was answered since the last one
            self.size = max(1, (self.under_way if self.size is None else self.size) // 2)
        self._burst, self._well = self._burst + 1, 0
        self.under_way -= 1

    def _hold(self, until: float) -> None:
        self.held_until, self._is_alone = until, True
        self.size = self.size or max(1, self.under_way)

    def _wait_longer(self, now: float, retry_after: float | None) -> None:
        if retry_after is not None and self.held_until is not None:
            self.held_until = max(self.held_until, now + min(retry_after, RETRY_AFTER_CAP_SECONDS))
