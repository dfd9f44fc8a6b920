"""`RateLimit`: what a registry says about the requests that it still allows (IETF, RateLimit header fields)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

from msgspec import Struct

from ..text.patterns import LazyPattern

# `100;w=21600`, as Docker Hub writes it; a bare number, as in the drafts up to 6.
_COUNT: Final = LazyPattern(r"\s*([0-9]{1,15})(?![0-9])")
# Draft 7 has `limit=100, remaining=5, reset=7`, later ones a list of `"policy";r=5;t=7`.
_LEFT: Final = LazyPattern(r"(?:^|[;,\s])(?:r|remaining)=([0-9]{1,15})(?![0-9])")
_RESET: Final = LazyPattern(r"(?:^|[;,\s])(?:t|reset)=([0-9]{1,15})(?![0-9])")
_WINDOW: Final = LazyPattern(r";\s*w=([0-9]{1,15})(?![0-9])")
# A larger number of seconds is a date: GitLab writes unix time.
_DATE: Final = 1e9
# Where the window's length may be written.
_POLICIES: Final = ("RateLimit-Remaining", "RateLimit-Limit", "RateLimit-Policy")


class RateLimit(Struct, frozen=True):
    """`remaining` requests of a window of `window` seconds, which is over in `reset` seconds; None: not said."""

    remaining: int
    window: float | None = None
    reset: float | None = None

    @classmethod
    def read(cls, headers: Mapping[str, str], *, now: float) -> Self | None:
        """Parse `headers` (any mapping that ignores case); None if they say nothing. `now` is unix time.

        Of several limits, the one with the least left counts.
        """
        if (text := headers.get("RateLimit-Remaining")) is not None:
            left, reset = _number(_COUNT, text), _number(_COUNT, headers.get("RateLimit-Reset", ""))
        elif (text := headers.get("RateLimit")) is not None:
            limits = [text] if "remaining=" in text else text.split(",")
            found = [(count, limit) for limit in limits if (count := _number(_LEFT, limit)) is not None]
            left, limit = min(found, default=(None, ""))
            reset = _number(_RESET, limit)
        else:
            return None
        if left is None:
            return None
        windows = (_number(_WINDOW, headers.get(name, "")) for name in _POLICIES)
        if reset is not None and reset >= _DATE:
            reset = max(0.0, reset - now)
        return cls(int(left), next((window for window in windows if window), None), reset)


def _number(pattern: LazyPattern[str], text: str) -> float | None:
    found = pattern.compiled.search(text) if pattern is not _COUNT else pattern.compiled.match(text)
    return float(found[1]) if found else None
