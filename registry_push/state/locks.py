"""Which uploads are held: by this process in a table in memory, by other processes as locks on a file.

Record locks belong to a process: they do not exclude two tasks of it, and closing any descriptor of a file drops all
locks of the process on that file. So the table and the open lock files are per process too, whatever the number of
journals, event loops and threads. (Locks of open file descriptions would be simpler, but not every system has them, and
a forked child would keep holding them.)
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
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
    """A lock file that is open once, for `users` journals."""

    descriptor: int | None
    users: int = 0


class _Process(Struct):
    """The locks of this process. `held` has the tasks that wait for a slot within it."""

    pid: int = field(default_factory=os.getpid)
    guard: threading.Lock = field(default_factory=threading.Lock)
    held: dict[int, list[Callable[[], None]]] = field(default_factory=dict)
    files: dict[_Identity, _Opened] = field(default_factory=dict)


_process = _Process()


def _ours() -> _Process:
    """Return the table of this process.

    A forked child starts with an empty one: its parent's locks are not its own.
    """
    global _process
    if _process.pid != os.getpid():
        _process = _Process()
    return _process


class LockFile:
    """A file of which one byte stands for each slot. Raises `OSError` if it can't be opened.

    `failed` is called if the kernel can't lock, as on a file system without locks: then only tasks of this process
    exclude each other. On Windows that is always so.
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
        """Release the file.

        When its last user in this process has done so, its locks are free for other processes.
        """
        process = _ours()
        with process.guard:
            self._opened.users -= 1
            if not self._opened.users and self._opened.descriptor is not None:
                os.close(self._opened.descriptor)
                self._opened.descriptor = None  # so that a late unlock does not touch another file
                process.files.pop(self._identity, None)

    def lock(self, slot: int) -> bool:
        """Lock the slot against other processes and return True; False if another has it."""
        if os.name != "posix" or self._opened.descriptor is None:
            return True
        import fcntl

        try:
            # One byte of the file for each upload. The kernel releases it when the process ends.
            fcntl.lockf(self._opened.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
        except (BlockingIOError, PermissionError):
            return False
        except OSError as error:
            self._failed(error)
        return True

    def note(self, slot: int, text: str, now: float) -> None:
        """Write a note for the next holder of the slot, dated `now` in unix seconds; see `noted`."""
        if os.name == "posix" and self._opened.descriptor is not None:
            with suppress(OSError):  # such as a full disk: without the note, only bandwidth is lost
                os.pwrite(self._opened.descriptor, notes.written(slot, text, now), notes.place_of(slot))

    def noted(self, slot: int, since: float) -> str | None:
        """Return the note written for the slot after `since`; None if there is none. The file may hold anything."""
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


class Held:
    """Holds the slot against all others in this process, and against other processes if there is a lock file.

    `waiting` is called once if another has it. Entering raises `Interrupted` if `stop` is set before it is free.
    Cancelling is safe; a process that dies releases its locks.
    """

    def __init__(
        self, slot: int, file: LockFile | None, waiting: Callable[[], None], stop: asyncio.Event | None = None
    ) -> None:
        self._slot, self._file = slot, file
        self._waiting, self._stop = waiting, stop

    async def __aenter__(self) -> None:
        while not _take(self._slot, self._file):
            self._waiting()
            self._waiting = _nothing
            told = "stopped while another push was sending the same blob"
            await unless_stopped(_until_free(self._slot), self._stop, told)

    async def __aexit__(self, *_: object) -> None:
        _give_back(self._slot, self._file)


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
    """Return when another process may have released the slot."""
    loop, freed = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with suppress(RuntimeError):  # the waiting task is gone, and its loop closed
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
