"""How many bodies are sent at once: each takes a slot."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..protocol.aimd import AIMD
from ..protocol.bandwidth import Bandwidth
from ..protocol.upload.chunks import SINGLE_PUT


class Slots:
    """`jobs` slots for the runs of one process: each run has an equal share, and never less than one.

    So a run that begins while another sends for hours starts at once, and a single run has all slots.
    """

    def __init__(self, jobs: int, bandwidth: Bandwidth | None = None) -> None:
        self._jobs = jobs
        self._bandwidth = bandwidth
        self._sharing: list[RunSlots] = []

    @contextmanager
    def run(self) -> Iterator[RunSlots]:
        """Yield the share of one run while it runs; it takes nothing from the others before its first upload."""
        slots = RunSlots(lambda: Limits(self._jobs, self._runs_that_count, self._bandwidth))
        self._sharing.append(slots)
        try:
            yield slots
        finally:
            self._sharing.remove(slots)
            for other in self._sharing:
                other.look_again()

    def _runs_that_count(self) -> int:
        # Asked four times for each blob, and most processes have one run.
        return 1 if len(self._sharing) == 1 else sum(each.counts for each in self._sharing)


class RunSlots:
    """The slots of one run: as many at each registry, so that a slow registry does not block another."""

    def __init__(self, limits: Callable[[], Limits]) -> None:
        self._make = limits
        self._limits: dict[str, Limits] = {}

    def at(self, origin: str) -> Limits:
        """Return the slots for bodies that go to `origin`."""
        if origin not in self._limits:
            self._limits[origin] = self._make()
        return self._limits[origin]

    @property
    def counts(self) -> bool:
        """Whether the run has its share, from its first upload on."""
        return any(each.counts for each in self._limits.values())

    def look_again(self) -> None:
        """Let waiting bodies in after the number of runs has become smaller."""
        for each in self._limits.values():
            each.look_again()


class Limits:
    """Slots for the bodies that one run sends to one registry.

    Only a request with a body takes one, while the body moves. Small blobs have a lane of their own, so that a config
    of 500 bytes never waits behind 40 GB. `runs` returns how many runs share the slots.
    """

    def __init__(
        self,
        jobs: int,
        runs: Callable[[], int] = lambda: 1,
        bandwidth: Bandwidth | None = None,
    ) -> None:
        self.bandwidth = bandwidth  # of all runs together; None: no limit
        self.taken = 0  # bodies that the registry has accepted
        self.counts = False  # whether anything was uploaded there yet
        self._window = AIMD(jobs)
        self._large = Lane(lambda: self._window.size, runs)
        self._small = Lane(lambda: self._window.size, runs)
        # Storages are built for many connections: with eight jobs, sixteen parts at once, as Ollama's own client does.
        self._parts = Lane(lambda: 2 * jobs, runs)

    def body(self, blob_size: int) -> Lane:
        """Return a context manager that holds a slot for one body of a blob of `blob_size` bytes."""
        return self._small if blob_size <= SINGLE_PUT else self._large

    def part(self) -> Lane:
        """Return a context manager that holds a slot for a part sent to a storage."""
        return self._parts

    @property
    def under_way(self) -> int:
        """Bodies that have a slot now."""
        return self._large.taken + self._small.taken + self._parts.taken

    def answered(self, *, well: bool) -> None:
        """Adapt the number of bodies after the registry accepted one, or refused it for being too busy."""
        if well:
            self.taken += 1
            self._window.went_well()
            self.look_again()
        else:
            self._window.turned_away()

    def look_again(self) -> None:
        """Let waiting bodies in after the number of runs has become smaller, or that of slots larger."""
        for lane in (self._large, self._small, self._parts):
            lane.let_in()


class Lane:
    """A semaphore whose size changes with the number of runs and with the registry's answers."""

    def __init__(self, slots: Callable[[], int], runs: Callable[[], int]) -> None:
        self._slots = slots
        self._runs = runs
        self.taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self._free() > 0 and not self._waiting:
            self.taken += 1
        else:
            await self._let_in()

    async def __aexit__(self, *_: object) -> None:
        self.taken -= 1
        self.let_in()

    async def _let_in(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it got the slot and was cancelled at once: pass the slot on
                self.taken -= 1
                self.let_in()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def let_in(self) -> None:
        """Take the slots for those that are let in at once, so that nobody else gets them."""
        while self._waiting and self._free() > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                self.taken += 1
                turn.set_result(None)

    def _free(self) -> int:
        return max(1, self._slots() // max(1, self._runs())) - self.taken
