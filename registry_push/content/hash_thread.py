"""`HashThread`: hashes the pieces of a body while the thread that has read them writes them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, Self

# Bytes of a buffer. Shorter ones cost more turns of the interpreter's lock; longer ones gain nothing.
_PIECE: Final = 1024 * 1024
# One is read or written, one is hashed, and one waits, so that neither thread has to.
_BUFFERS: Final = 3
# Bytes. Of a shorter body, such a thread has hardly begun when all is written.
_WORTH_A_THREAD: Final = 16 * 1024 * 1024

# How many there may be: a body that has one keeps two processors busy.
_room: Final = threading.Semaphore(max(1, (os.cpu_count() or 1) // 2))

Hash = Callable[[], None]


class HashThread:
    """A thread that hashes beside the one that uses its methods, and the buffers that go round between the two.

    Made by `worth`. One thread at a time calls `buffer`, `hash` and `finish`. A buffer comes back when it is hashed, so
    ask for the next one when everything before is written. 512 MiB from a registry into a layout took 0.75 of the time
    so. Between two registries it gains nothing: there the other registry, which hashes as well, is the limit.
    """

    def __init__(self) -> None:
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        self._work: SimpleQueue[tuple[Hash, memoryview] | threading.Event | None] = SimpleQueue()
        self._held: memoryview | None = None
        self._error: BaseException | None = None
        for _ in range(_BUFFERS):
            self._free.put(memoryview(bytearray(_PIECE)))
        # Nobody waits for it at the end of the process: it only reads memory.
        threading.Thread(target=self._run, name="hash-beside", daemon=True).start()

    @classmethod
    def worth(cls, length: int) -> Self | None:
        """Return one for a body of `length` bytes; None if it gains nothing, or no thread can be started."""
        if length < _WORTH_A_THREAD or os.cpu_count() == 1 or not _room.acquire(blocking=False):
            return None
        try:
            return cls()
        except RuntimeError:  # no more threads are allowed
            _room.release()
            return None

    def buffer(self, most: int) -> memoryview:
        """Return a buffer of `most` bytes or fewer, once one is hashed; the same one until `hash` is called."""
        if self._held is None:
            self._held = self._free.get()
        return self._held[:most]

    def hash(self, work: Hash) -> None:
        """Have the thread do `work`, which hashes the content of the buffer, after what it was given before."""
        assert self._held is not None, "a piece was read into it"
        buffer, self._held = self._held, None
        self._work.put((work, buffer))

    def finish(self) -> None:
        """Return when everything is hashed. Raises what hashing has raised."""
        done = threading.Event()
        self._work.put(done)
        done.wait()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the thread when its work is done. Nothing but this is called after it."""
        self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            if isinstance(work, threading.Event):
                work.set()
                continue
            try:
                if self._error is None:
                    work[0]()
            except BaseException as error:  # raised by `finish`, in the thread that waits for the digest
                self._error = error
            self._free.put(work[1])
        _room.release()
