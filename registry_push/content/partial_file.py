"""`PartialFile`: a spool with a fixed name, so that a later run continues what a killed one has left."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from .spool import BLOB_MODE, Spool

try:
    import fcntl
except ImportError:  # Windows: nothing is continued there
    fcntl = None  # type: ignore[assignment]  # a module elsewhere

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_HAS_LOCKS: Final[bool] = fcntl is not None
# Bytes. A smaller part is quickly fetched again, so it is not kept: a cancelled copy should leave no litter.
WORTH_KEEPING: Final = 8 * 1024 * 1024
# Bytes that are read at once; after each, a thread checks whether it is still wanted.
_PIECE: Final = 1024 * 1024
_TURN: Final = 32 * 1024 * 1024
# A link or a pipe under this name is an attack: it is not followed or waited for.
_FLAGS: Final[int] = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class PartialFile(Spool):
    """The first bytes of a blob, which `leave` keeps if they are many.

    A lock on the file excludes other writers. Content found in it is trusted only if the digest of the whole is right.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent)
        self._path = path
        self._there = 0  # bytes that an earlier run has left

    def begin(self, most: int) -> bool:
        """Take over the file, and what is in it unless that is over `most` bytes.

        Return False if it can't be had: another writes it, it is no plain file, or the file system knows no locks.
        Raises `OSError` if the disk is full.
        """
        with self._lock:
            if self._ended or not _HAS_LOCKS or (descriptor := open_locked(self._path)) is None:
                return False
            self._descriptor = descriptor
            size = os.fstat(descriptor).st_size
            if size > most:
                os.ftruncate(descriptor, 0)
            else:
                self._there = size
            return True

    @property
    def is_behind(self) -> bool:
        """Whether `take_over` has more to do."""
        return self._size < self._there

    def take_over(self) -> bool:
        """Hash the next bytes that were there; return whether there are more. Raises `OSError`."""
        with self._lock:
            if self._ended or self._descriptor is None:
                return False
            end = min(self._size + _TURN, self._there)
            while self._size < end:
                piece = os.pread(self._descriptor, min(_PIECE, end - self._size), self._size)
                if not piece:
                    self._there = end = self._size
                self._hashed.update(piece)
                self._size += len(piece)
            if self.is_behind:
                return True
            os.lseek(self._descriptor, self._size, os.SEEK_SET)
            return False

    def leave(self) -> None:
        """Stop here: what is worth keeping stays for a later run, the rest is discarded."""
        with self._lock:
            if self._descriptor is not None and max(self._size, self._there) >= WORTH_KEEPING:
                os.close(self._descriptor)
                self._ended, self._descriptor = True, None
        self.discard()


def open_locked(path: Path) -> int | None:
    """Return a descriptor of the plain file `path`, created if it is absent; None if it can't be had.

    It is locked against other writers until it is closed. Raises `OSError` if the disk is full.
    """
    try:
        descriptor = os.open(path, _FLAGS, BLOB_MODE)
    except OSError as error:
        if error.errno in _FULL:
            raise
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(descriptor)
        # With a second name it may be any file of the user's; and who held the lock before may have renamed it.
        is_own = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
        if is_own and os.path.samestat(status, path.lstat()):
            os.fchmod(descriptor, BLOB_MODE)
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
