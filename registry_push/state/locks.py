"""Which uploads are in somebody's hands: of this process by a table in memory, of others by locks on a file.

The kernel's record locks are the process's: they keep no two tasks apart, and the first descriptor of a file that is
closed drops all that the process holds on it. So both the table and the open lock files are the process's too, whatever
the number of its journals, event loops and threads. (Locks of open file descriptions have none of this, but not every
system has them, and a forked child would hold them on.)
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from ..model import Digest
from ..pauses import unless_stopped
from . import lock_notes as notes
from .private_files import make_private, open_private

# How often a process that waits for another's upload looks again, in seconds.
_LOOK_AGAIN: Final = 0.25

_Identity = tuple[int, int]


@lru_cache(4096)  # asked three times for each blob, whose models have some hundred
def slot_of(origin: str, digest: Digest) -> int:
    """The number that stands for this digest at this registry, in whatever repository: the second one can mount it."""
    return int.from_bytes(blake2b(f"{origin} {digest}".encode(errors="surrogateescape"), digest_size=7).digest()) >> 1


class _Opened(Struct):
    """A lock file, open once, for so many journals."""

    descriptor: int | None
    users: int = 0


class _Process(Struct):
    """What this process holds. `held` has those who wait for a slot within it."""

    pid: int = field(default_factory=os.getpid)
    guard: threading.Lock = field(default_factory=threading.Lock)
    held: dict[int, list[Callable[[], None]]] = field(default_factory=dict)
    files: dict[_Identity, _Opened] = field(default_factory=dict)


_process = _Process()


def _ours() -> _Process:
    """Return the table of this process.

    A forked child begins with an empty one: what its parent holds is not its own.
    """
    global _process
    if _process.pid != os.getpid():
        _process = _Process()
    return _process


class LockFile:
    """A file of which one byte stands for each slot. Raises `OSError` if it can't be opened.

    `failed` is told what keeps the kernel from locking, as on a file system without locks: then this process only is
    kept from sending twice. So it is on Windows.
    """

    def __init__(self, path: Path, failed: Callable[[OSError], None]) -> None:
        self._failed = failed
        process = _ours()
        with process.guard:
            found = make_private(path)
            self._identity = found.st_dev, found.st_ino
            if self._identity not in process.files:
                process.files[self._identity] = _Opened(open_private(path))
            self._opened = process.files[self._identity]
            self._opened.users += 1

    def close(self) -> None:
        """Return the file back.

        With its last user in this process, what is locked there is free for other processes.
        """
        process = _ours()
        with process.guard:
            self._opened.users -= 1
            if not self._opened.users and self._opened.descriptor is not None:
                os.close(self._opened.descriptor)
                self._opened.descriptor = None  # who still holds something unlocks nobody else's file
                process.files.pop(self._identity, None)

    def lock(self, slot: int) -> bool:
        """Return whether no other process has the slot, which is locked against them now."""
        if os.name != "posix" or self._opened.descriptor is None:
            return True
        import fcntl

        try:
            # One byte of one file for each upload, whatever their number; the kernel drops it with the process.
            fcntl.lockf(self._opened.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
        except (BlockingIOError, PermissionError):
            return False
        except OSError as error:
            self._failed(error)
        return True

    def note(self, slot: int, text: str, now: float) -> None:
        """Write down at `now`, unix time in seconds, what whoever has the slot next should know; see `noted`."""
        if os.name == "posix" and self._opened.descriptor is not None:
            with suppress(OSError):  # such as a full disk: a note less costs bandwidth only
                os.pwrite(self._opened.descriptor, notes.written(slot, text, now), notes.place_of(slot))

    def noted(self, slot: int, since: float) -> str | None:
        """Return what was written down for the slot after `since`; None if nothing was. Anything may be in the file."""
        if os.name != "posix" or self._opened.descriptor is None:
            return None
        try:
            return notes.read(slot, os.pread(self._opened.descriptor, notes.SIZE, notes.place_of(slot)), since)
        except OSError:
            return None

    def unlock(self, slot: int) -> None:
        """Let other processes have the slot."""
        if os.name == "posix" and self._opened.descriptor is not None:
            import fcntl

            with suppress(OSError):
                fcntl.lockf(self._opened.descriptor, fcntl.LOCK_UN, 1, slot)


@asynccontextmanager
async def held(
    slot: int, file: LockFile | None, waiting: Callable[[], None], stop: asyncio.Event | None = None
) -> AsyncIterator[None]:
    """Hold the slot against all others in this process, and against other processes if there is a lock file.

    `waiting` is called once if another has it. Raises `Interrupted` if `stop` is set before it is free. Cancelling is
    safe; a process that dies lets go by dying.
    """
    while not _take(slot, file):
        waiting()
        waiting = _nothing
        await unless_stopped(_until_free(slot), stop, "stopped while another push was sending the same blob")
    try:
        yield
    finally:
        _give_back(slot, file)


def is_held(slot: int, file: LockFile | None) -> bool:
    """Return whether somebody has the slot now, in this process or in another."""
    if not _take(slot, file):
        return True
    _give_back(slot, file)
    return False


def _take(slot: int, file: LockFile | None) -> bool:
    process = _ours()
    with process.guard:
        if slot in process.held or (file is not None and not file.lock(slot)):
            return False
        process.held[slot] = []
        return True


def _give_back(slot: int, file: LockFile | None) -> None:
    process = _ours()
    with process.guard:
        wakers = process.held.pop(slot, [])
        if file is not None:
            file.unlock(slot)
    for wake in wakers:
        wake()


async def _until_free(slot: int) -> None:
    """Return when it is worth to try again."""
    loop, freed = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with suppress(RuntimeError):  # who waited is gone, and its loop closed
            loop.call_soon_threadsafe(freed.set)

    process = _ours()
    with process.guard:
        is_here = slot in process.held
        if is_here:
            process.held[slot].append(wake)
    if is_here:
        await freed.wait()
    else:
        await asyncio.sleep(_LOOK_AGAIN)


def _nothing() -> None:
    return None
