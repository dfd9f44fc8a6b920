"""`Reachable`: which registries are down, so that a run does not wait for them a thousand times."""

from __future__ import annotations

from collections import Counter
from typing import Final

from ...errors import RegistryPushError, Unavailable
from ...events import Sink, Warned, ignore

# Tags in a row that fail because a registry is not available, each after all of its tries. One repository can be broken
# alone; after three, the registry is.
_MOST: Final = 3


class Reachable:
    """Counts failures in a row by registry. `sink` gets one warning about each that is down."""

    def __init__(self, sink: Sink = ignore) -> None:
        self._sink = sink
        self._in_a_row: Counter[str] = Counter()
        self._last: dict[str, RegistryPushError] = {}

    def down(self, *origins: str) -> Unavailable | None:
        """Return the error for what is not tried, since one of these registries is down; None if none is."""
        for origin in origins:
            if self._in_a_row[origin] >= _MOST:
                return Unavailable(f"not tried, since {origin} is down: {self._last[origin].message}")
        return None

    def went_well(self, *origins: str) -> None:
        """Note that these registries have answered."""
        for origin in origins:
            self._in_a_row[origin] = 0

    def failed(self, origin: str, error: RegistryPushError) -> None:
        """Note that what was asked of the registry ended with `error`."""
        if isinstance(error, Unavailable):
            self._in_a_row[origin] += 1
            self._last.setdefault(origin, error)
            if self._in_a_row[origin] == _MOST:
                self._sink(Warned(f"{origin} is down: other tags there are not tried in this run"))
        else:
            self.went_well(origin)
