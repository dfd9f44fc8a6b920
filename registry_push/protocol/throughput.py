"""How fast a line is, how long chunks should be on it, and when one body is far slower than the line was. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .upload.chunks import MiB

# Seconds that a chunk takes: what a cut may cost if only acknowledged chunks are kept, and the longest that the first
# Ctrl-C waits.
CHUNK_SECONDS: Final = 4.0
# A chunk's round trip may cost 2 % of its time.
_TRIPS_PER_CHUNK: Final = 50
# Longer chunks gain nothing: neither the round trip nor the registry's work for a chunk is measurable any more.
_LONGEST: Final = 1024 * MiB
# One chunk is a poor measurement, so chunks grow by steps; but each step is a round trip in which nothing moves, and a
# chunk is timed up to its answer, so that buffers don't distort it. The steps are 16 MiB, 512 MiB, then by the rate.
_GROWTH: Final = 32
# After a cut, chunks are shorter for a while, but not so short that round trips dominate.
_LEAST_SECONDS: Final = 0.25
_RECOVERY: Final = 1.25
# A body below a twentieth of the line's usual rate is not slow: something on its way is broken.
_STARVING: Final = 20
# Seconds: a host that answers sooner is in the same building.
NEAR: Final = 0.01
# Bodies below this say more about buffers and the registry's disk than about the line.
_TELLING: Final = 1 * MiB


class Throughput:
    """What a run's requests have shown of the line to one host. Seconds and bytes.

    `rate` is what an earlier run has measured: good enough to choose a first chunk, not to call a line broken.
    """

    def __init__(self, rate: float | None = None) -> None:
        self.rate = rate  # bytes a second of one body, of those at once; None: not known
        self.usual: float | None = None  # the same, but seen in this run
        self.round_trip: float | None = None
        self._seconds = CHUNK_SECONDS

    def asked(self, seconds: float | None) -> None:
        """Note how long the answer to a request without a body took. The shortest time is the line's round trip."""
        if seconds is not None:
            self.round_trip = min(seconds, self.round_trip or seconds)

    @property
    def is_near(self) -> bool:
        """Whether the host is known to answer within `NEAR`, so that round trips to it cost nothing."""
        return self.round_trip is not None and self.round_trip < NEAR

    def took(self, count: int, seconds: float) -> None:
        """Note how long after its first byte a body of `count` bytes was answered."""
        if count >= _TELLING and seconds > 0:
            # The answer takes a round trip, in which nothing moves.
            now = count / (seconds - min(self.round_trip or 0.0, seconds / 2))
            self.rate = self.usual = now if self.usual is None else (self.usual + now) / 2
            self._seconds = min(CHUNK_SECONDS, self._seconds * _RECOVERY)

    def broke(self) -> None:
        """Note that the line broke inside a chunk of which nothing got through: such a line needs short chunks."""
        self._seconds = max(_LEAST_SECONDS, self._seconds / 2)

    def starved(self) -> None:
        """Note that a body was given up for being slow: the usual rate is no measure any more."""
        self.rate = self.usual = None

    def chunk(self, last: int) -> int | None:
        """Return how long the chunk after one of `last` bytes should be; None while nothing is known."""
        if self.rate is None:
            return None
        seconds = self._seconds
        if seconds == CHUNK_SECONDS:  # after a cut, getting through is more important than few round trips
            seconds = max(seconds, _TRIPS_PER_CHUNK * (self.round_trip or 0.0))
        return min(int(self.rate * seconds), _GROWTH * last, _LONGEST)

    @property
    def soon(self) -> int | None:
        """Bytes that the line takes in `CHUNK_SECONDS`; None while nothing is known."""
        return None if self.rate is None else int(self.rate * CHUNK_SECONDS)


class StallDetector:
    """Watches one body. `moved` returns whether it stalls: for `window` seconds far below the usual rate."""

    def __init__(self, pace: Throughput, *, window: float, clock: Callable[[], float]) -> None:
        self._pace = pace
        self._window = window
        self._clock = clock
        self._since = clock()
        self._before = 0

    def moved(self, count: int) -> bool:
        """Take the number of bytes sent so far."""
        elapsed = self._clock() - self._since
        if elapsed < self._window:
            return False
        rate, self._since = (count - self._before) / elapsed, self._since + elapsed
        self._before = count
        return self._pace.usual is not None and rate * _STARVING < self._pace.usual
