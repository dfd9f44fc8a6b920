"""How often and how soon to try again. The clock and the dice are handed in."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

# First pause half a second on average, then doubling: the habit of AWS's "exponential backoff and full jitter".
BASE_SECONDS: Final = 1.0
CAP_SECONDS: Final = 30.0
# A registry may ask for a pause; more than five minutes is a fault or malice, and is cut to that.
RETRY_AFTER_CAP_SECONDS: Final = 300.0


class Budget:
    """The tries of one piece of work. Progress restores it, so a long upload over a bad line does not run dry.

    `spend` gives the seconds to wait, or None when nothing is left.
    """

    def __init__(self, retries: int, *, dice: Callable[[], float] = random.random) -> None:
        self._retries = retries
        self._left = retries
        self._dice = dice

    def spend(self, retry_after: float | None = None) -> float | None:
        """Takes one try; the pause before it in seconds, at least `retry_after` where the server asked for one."""
        if self._left <= 0:
            return None
        ceiling = min(CAP_SECONDS, BASE_SECONDS * 2.0 ** (self._retries - self._left))
        self._left -= 1
        pause = ceiling * self._dice()
        # Jitter goes on top of what the server asked: a crowd told "10" must not come back as a crowd.
        return pause if retry_after is None else min(retry_after, RETRY_AFTER_CAP_SECONDS) + pause

    def restore(self) -> None:
        """Something got through: all tries are there again."""
        self._left = self._retries


def parse_retry_after(value: str | None, *, now: float) -> float | None:
    """Seconds to wait by a `Retry-After` header (RFC 9110, 10.2.3: seconds or a date), capped; None if there is none.

    `now` is unix time in seconds. Absurd and unreadable values are taken as none at all, the past as zero.
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
