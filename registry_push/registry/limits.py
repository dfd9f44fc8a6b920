"""What may continue at once: bodies, each in a slot."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from ..protocol.aimd import AIMD
from ..protocol.bandwidth import Bandwidth
from ..protocol.upload.chunks import SINGLE_PUT

# Bytes of small bodies that are in memory at once. Four times what a line of 1 Gbit/s and 50 ms holds; eight bodies of
# 8 MiB without a bound took 102 MB where 44 had done.
_IN_MEMORY: Final = 24 * 1024 * 1024


class Slots:
    """`jobs` slots for the runs of one process: each has its equal part of them, and never less than one.

    So a run that comes while another sends for hours begins at once, and one that is alone has them all.
    """

    def __init__(self, jobs: int, bandwidth: Bandwidth | None = None) -> None:
        self._jobs = jobs
        self._bandwidth = bandwidth
        self._memory = Memory(_IN_MEMORY)
        self._sharing: list[RunSlots] = []

    @contextmanager
    def run(self) -> Iterator[RunSlots]:
        """Yield the part of one run, for as long as it runs; it takes none from the others before its first upload."""
        slots = RunSlots(lambda: Limits(self._jobs, self._runs_that_count, self._bandwidth, self._memory))
        self._sharing.append(slots)
        try:
            yield slots
        finally:
            self._sharing.remove(slots)
            for other in self._sharing:
                other.look_again()

    def _runs_that_count(self) -> int:
        return sum(each.counts for each in self._sharing)


class RunSlots:
    """The slots of one run: as many at each registry, so that none waits for what another does not take."""

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
        """Whether the run has its part: from its first upload on."""
        return any(each.counts for each in self._limits.values())

    def look_again(self) -> None:
        """Let in who waits, when there are fewer runs than there were."""
        for each in self._limits.values():
            each.look_again()


class Limits:
    """Slots for the bodies that one run sends to one registry.

    Only a request with a body takes one, for as long as the body moves. Small blobs have a lane of their own, so that a
    config of 500 bytes never waits behind 40 GB. `runs` tells how many share the slots.
    """

    def __init__(
        self,
        jobs: int,
        runs: Callable[[], int] = lambda: 1,
        bandwidth: Bandwidth | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.bandwidth = bandwidth  # of all runs together; None: no limit
        self._memory = memory or Memory(_IN_MEMORY)
        self.taken = 0  # bodies that registries have taken
        self.counts = False  # whether anything was uploaded there yet
        self._window = AIMD(jobs)
        self._large = Lane(lambda: self._window.size, runs)
        self._small = Lane(lambda: self._window.size, runs)
        # Parts go to a storage that is built for many: with eight jobs, sixteen at once, as Ollama's own client.
        self._parts = Lane(lambda: 2 * jobs, runs)

    def body(self, blob_size: int) -> Lane:
        """Return what holds a slot for one body of a blob of `blob_size` bytes, as long as it is entered."""
        return self._small if blob_size <= SINGLE_PUT else self._large

    @asynccontextmanager
    async def body_in_memory(self, size: int) -> AsyncIterator[None]:
        """Hold a slot, and room in memory, for all of a blob of `size` bytes."""
        async with self.body(size), self._memory.room(size):
            yield

    def part(self) -> Lane:
        """Return what holds a slot for a part that goes to a storage."""
        return self._parts

    @property
    def under_way(self) -> int:
        """Bodies that have a slot just now."""
        return self._large.taken + self._small.taken + self._parts.taken

    def answered(self, *, well: bool) -> None:
        """The registry took a body, or turned it away for having too much to do: so many go at once from now on."""
        if well:
            self.taken += 1
            self._window.went_well()
            self.look_again()
        else:
            self._window.turned_away()

    def look_again(self) -> None:
        """Let in who waits, when there are fewer runs than there were, or more slots."""
        for lane in (self._large, self._small, self._parts):
            lane.let_in()


class Memory:
    """Room for content that is held in memory: `size` bytes, and one body however large. First come, first served."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def room(self, count: int) -> AsyncIterator[None]:
        """Hold room for `count` bytes. Cancelling is safe."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((count, turn))
        self._let_in()
        try:
            await turn
            yield
        finally:
            if turn.done() and not turn.cancelled():
                self._taken -= count
            self._let_in()

    def _let_in(self) -> None:
        while self._waiting:
            count, turn = self._waiting[0]
            if not turn.done():
                if self._taken and self._taken + count > self._size:
                    return
                self._taken += count
                turn.set_result(None)
            self._waiting.popleft()


class Lane:
    """A semaphore whose size changes with the number of runs, and by what the registry bears."""

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
            if not turn.cancelled():  # let in and cancelled at once: the slot goes to the next
                self.taken -= 1
                self.let_in()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def let_in(self) -> None:
        """The slot is taken for those who are let in, so that nobody gets in between."""
        while self._waiting and self._free() > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                self.taken += 1
                turn.set_result(None)

    def _free(self) -> int:
        return max(1, self._slots() // max(1, self._runs())) - self.taken
