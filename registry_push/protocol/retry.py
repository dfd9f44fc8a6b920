"""How often, how soon and for how long to try again. Clock and random numbers are passed in."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

# The first pause is a second at most, then pauses double, as in AWS's "exponential backoff and jitter".
BASE_SECONDS: Final = 1.0
CAP_SECONDS: Final = 30.0
# The part of each pause that is not random: without it, all tries can be over within a few seconds.
_CERTAIN: Final = 0.75
_DOUBLING: Final = 2.0
# After so many tries the session may be broken, rather than the registry busy.
_USUAL: Final = 5
# After so many tries pauses don't grow any more, whatever their growth: a number that a float can hold.
_LAST_GROWTH: Final = 64
# Seconds. A registry may ask for a pause; more than five minutes is a fault or malice.
RETRY_AFTER_CAP_SECONDS: Final = 300.0


class Budget:
    """The tries of one piece of work, and the time for them. Progress restores both.

    `seconds` bounds the time without progress, measured by `clock` from the first failure. Time in which bytes of a
    body move is not counted: a line that breaks every hour costs tries, but no time. Each pause is `growth` times as
    long as the one before, or twice as long if bytes have moved, since then the server is there.
    """

    def __init__(
        self,
        retries: int,
        *,
        seconds: float = math.inf,
        growth: float = _DOUBLING,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._retries = retries
        self._left = retries
        self._seconds = seconds
        self._growth = growth
        self._clock = clock
        self._dice = dice
        self._has_moved = False
        self._lost = 0.0  # seconds since the first failure
        self._tried_at: float | None = None  # when the last pause was over; None: there is no trouble

    def spend(self, retry_after: float | None = None) -> float | None:
        """Take one try and return the pause before it in seconds, at least `retry_after` if the server asked for one.

        Return None if no tries are left, or no time for them.
        """
        now = self._clock()
        if self._tried_at is not None:
            self._lost += max(0.0, now - self._tried_at)
        self._tried_at = now
        if self._left <= 0 or self._lost >= self._seconds:
            return None
        growth, self._has_moved = (_DOUBLING if self._has_moved else self._growth), False
        ceiling = min(CAP_SECONDS, BASE_SECONDS * growth ** min(self._retries - self._left, _LAST_GROWTH))
        if retry_after is None:
            pause = ceiling * (_CERTAIN + (1 - _CERTAIN) * self._dice())
        else:
            # Jitter is added to what the server asked for: clients that were all told "10" must not return together.
            asked = min(retry_after, RETRY_AFTER_CAP_SECONDS)
            if self._lost + asked > self._seconds:
                return None  # a request before the time that the server asked for would be turned away
            pause = max(asked + ceiling * self._dice(), ceiling * _CERTAIN)
        self._left -= 1
        self._lost += pause
        self._tried_at = now + pause
        return pause

    @property
    def has_tried(self) -> bool:
        """Whether the usual number of tries was made, or all: not if time ran out after a few."""
        return self._retries - self._left >= min(self._retries, _USUAL)

    def moved(self) -> None:
        """Note that the last try has moved bytes, so that the time since its pause does not count as waiting."""
        self._has_moved = True
        if self._tried_at is not None:
            self._tried_at = self._clock()

    def restore(self) -> None:
        """Restore all tries and all the time, after progress."""
        self._left = self._retries
        self._lost, self._tried_at, self._has_moved = 0.0, None, False


def parse_retry_after(value: str | None, *, now: float) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, capped (RFC 9110, 10.2.3); None if there is none.

    `now` is unix time in seconds. Absurd and unreadable values count as none, dates in the past as zero.
    """
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), RETRY_AFTER_CAP_SECONDS)
    try:
        when = parsedate_to_datetime(text)
        # The obsolete forms name no zone; RFC 9110, 5.6.7, reads all of them as UTC.
        seconds = when.replace(tzinfo=when.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return max(0.0, min(seconds - now, RETRY_AFTER_CAP_SECONDS))
