"""Numbers for people. Decimal units (GB = 10⁹ bytes), as in Ollama and registries."""

from __future__ import annotations

import math
from typing import Final

from ...text.sizes import UNITS, scale
from ...text.sizes import size as size

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
# The limits at which "ago" changes to the next unit, as in `ollama list` (format/time.go): 13 days, 8 weeks, 23 months.
_AGO: Final = (
    (_MINUTE, 1, "second"),
    (_HOUR, _MINUTE, "minute"),
    (2 * _DAY, _HOUR, "hour"),
    (14 * _DAY, _DAY, "day"),
    (60 * _DAY, 7 * _DAY, "week"),
    (730 * _DAY, 30 * _DAY, "month"),
    (math.inf, 365 * _DAY, "year"),
)


def part(done: int, total: int) -> str:
    """Return `18.0/40.0 GB`, both in the total's unit. `done` is rounded down, so it equals `total` only at the end."""
    power, decimals = scale(total)
    # With integers, since floats would round 39.9999999999 GB of a huge blob up.
    steps = done * 10**decimals // 1000**power
    return f"{steps / 10**decimals:.{decimals}f}/{total / 1000**power:.{decimals}f} {UNITS[power]}"


def percent(done: int, total: int) -> int:
    """Return 0 to 100, rounded down, so that 100 means all. Nothing of nothing is 100."""
    return min(100, done * 100 // total) if total > 0 else 100


def speed(rate: float) -> str:
    """Return `156 MB/s` for bytes a second."""
    return f"{size(rate)}/s"


def duration(seconds: float) -> str:
    """Return elapsed time: `12.4 s`, `3 min 05 s`, `2 h 04 min`, `3 days`."""
    seconds = max(0.0, seconds)
    return f"{seconds:.1f} s" if round(seconds, 1) < _MINUTE else _long(round(seconds))


def elapsed(seconds: float) -> str:
    """Return running time: `12 s`, `3 min 05 s`; tenths would only flicker."""
    whole = int(max(0.0, seconds))
    return f"{whole} s" if whole < _MINUTE else _long(whole)


def remaining(seconds: float) -> str:
    """Return the time left: whole seconds, from a minute on in steps of five, from ten minutes on whole minutes.

    It is an estimate; finer steps would only make it flicker.
    """
    whole = math.ceil(max(0.0, seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < 10 * _MINUTE:
        return _long(-(-whole // 5) * 5)
    minutes = -(-whole // _MINUTE)
    return f"{minutes} min" if minutes < 60 else _long(minutes * _MINUTE)


def ago(seconds: float) -> str:
    """Return how long since: `3 days ago`; a time still to come, from a clock that is off, is `just now`."""
    if seconds < 1:
        return "just now"
    unit, name = next((unit, name) for limit, unit, name in _AGO if seconds < limit)
    number = int(seconds // unit)
    return f"{number} {name}{'' if number == 1 else 's'} ago"


def count(number: int, thing: str) -> str:
    """Return `1 blob`, `2,000 blobs`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _long(seconds: int) -> str:
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min {seconds % _MINUTE:02d} s"
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE:02d} min"
    return count(seconds // _DAY, "day")
