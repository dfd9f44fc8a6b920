"""`SmallReads`: opening files and short reads, on the event loop as long as the disk answers at once."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Final, TypeVar

from ..threads import in_thread

# Seconds. From a page cache, 128 KiB take a tenth of a millisecond; a hard disk or a server takes longer than this.
_AT_ONCE: Final = 0.003
# A busy machine can interrupt any read, but hardly this many in a row.
_SLOW_ONES: Final = 3

# Whether the event loop has no other work. A disk that hangs would stop that too: another client of the service, or the
# rest of a program that uses the library.
ALONE: Final = ContextVar("alone", default=False)

T = TypeVar("T")


class SmallReads:
    """Opens files and reads small ones, on an event loop that serves nobody else; in threads once the disk was slow.

    For each turn of a thread, both threads wait for the interpreter's lock some ten times: a push of 1,000 blobs of
    64 KiB took 0.83 of the CPU without. `clock` tells seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._slow = 0 if ALONE.get() else _SLOW_ONES  # in a row

    async def run(
        self, read: Callable[[], T], *, elsewhere: Callable[[Callable[[], T]], Awaitable[T]] = in_thread
    ) -> T:
        """Return what `read` returns, or raise what it raises; `elsewhere` runs it in a thread.

        Cancelling is as safe as that.
        """
        if self._slow >= _SLOW_ONES:
            return await elsewhere(read)
        began = self._clock()
        try:
            return read()
        finally:
            self._slow = self._slow + 1 if self._clock() - began > _AT_ONCE else 0
