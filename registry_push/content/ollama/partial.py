"""`PartialBlob`: content on its way into an Ollama store, kept when its process is killed."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Self

from msgspec import Struct

from ...errors import BlobCorrupt, IntegrityError
from ...model import Descriptor, Digest
from ..hashing import RunningHash, scratch, take_next
from ..write_errors import writing
from .files import StoreFiles
from .folder import FILE_MODE, Folder, write_all

# Bytes a read, which fit in the second-level cache.
_BUFFER: Final = 1024 * 1024
# Bytes that one turn of a thread hashes, in some hundredths of a second; then others get the thread, or a stop is seen.
_TURN: Final = 32 * 1024 * 1024
# Why a partial file can't be opened that is not ours to continue: a link, a pipe, a socket, a file that another user
# left, or one with a second name, such as that of a backup, which must stay as it is.
_REPLACED: Final = frozenset({errno.EEXIST, errno.ELOOP, errno.ENXIO, errno.EACCES})
# Seconds. A partial file that is a week old is of a pull that nobody repeats.
_STALE: Final = 7 * 24 * 3600.0


class BlobHeldError(Exception):
    """Another process has the partial content."""


class Folders(Struct, frozen=True):
    """The folder of the blobs and the working folder, open while one blob is under way."""

    blobs: Folder
    work: Folder

    @classmethod
    def of(cls, files: StoreFiles) -> Self:
        """Open them. Raises `OSError`, `Unwritable`."""
        blobs = files.blobs()
        try:
            return cls(blobs, files.work(blobs))
        except BaseException:  # Ctrl-C too: nobody else closes it
            blobs.close()
            raise

    def close(self) -> None:
        """Close both."""
        self.work.close()
        self.blobs.close()


class PartialBlob:
    """The first bytes of `blob`, in a file that is locked against other processes that fetch it.

    The methods that block are called in threads; one lock keeps `close` from closing the file under a thread whose
    caller was cancelled. Added pieces are written in their order, by whichever thread.
    """

    def __init__(self, files: StoreFiles, folders: Folders, blob: Descriptor, descriptor: int) -> None:
        self._files = files
        self._folders = folders
        self._blob = blob
        self._descriptor: int | None = descriptor
        self._lock = threading.Lock()
        self._added: deque[bytes] = deque()
        self._hashed = RunningHash()
        self._written = 0  # bytes up to which `append` has written; fewer or more of them are hashed
        self._length = os.fstat(descriptor).st_size
        if self._length > blob.size:
            self._cut()

    @classmethod
    def claim(cls, files: StoreFiles, blob: Descriptor) -> PartialBlob:
        """Open and lock the partial file of `blob`; create it if there is none. Raises `BlobHeldError`."""
        name = _name(blob.digest)
        with writing(files.root):
            folders = Folders.of(files)
        try:
            with writing(folders.work.path / name):
                descriptor = _claimed(folders.work, name)
                try:
                    return cls(files, folders, blob, descriptor)
                except BaseException:  # Ctrl-C too: nobody else closes it
                    os.close(descriptor)
                    raise
        except BaseException:
            folders.close()
            raise

    @property
    def size(self) -> int:
        """Bytes that are on the disk and hashed."""
        return self._hashed.offset

    @property
    def is_open(self) -> bool:
        """Whether it is neither committed nor closed."""
        return self._descriptor is not None

    @property
    def is_behind(self) -> bool:
        """Whether `hash_on` has more to do."""
        return self._descriptor is not None and self.size < self._length

    @property
    def digest(self) -> Digest:
        """Of these bytes."""
        return self._hashed.digest

    def hash_on(self) -> None:
        """Hash some of what was there before."""
        with self._lock:
            if self._descriptor is None:
                return
            end = min(self._length, self.size + _TURN)
            buffer, name = scratch(_BUFFER), f"the partial content of {self._blob.digest}"
            try:
                while self.size < end:
                    part = buffer[: min(_BUFFER, end - self.size)]
                    take_next(self._descriptor, part, self.size, self._hashed, name)
            except IntegrityError:  # the disk has lost some of it: that is fetched again
                self._cut()

    def add(self, pieces: Sequence[bytes]) -> None:
        """Append `pieces`, which `drain` writes. Does not block."""
        self._added.extend(pieces)

    def drain(self) -> None:
        """Write and hash what was added."""
        with self._lock, writing(self._files.root, kept="what has come of the blob is kept, and not fetched again"):
            self._drain()

    def begin_appending(self) -> None:
        """Let `append` go on where hashing has ended."""
        with self._lock:
            self._written = self.size

    def append(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Write `pieces` at once, which the caller gives to `hash` too; what can't be written is not kept.

        Where they belong does not depend on `size`: hashing may be ahead of it.
        """
        with self._lock, writing(self._files.root, kept="what has come of the blob is kept, and not fetched again"):
            for piece in pieces:
                if self._descriptor is not None:
                    write_all(self._descriptor, piece, self._written)
                    self._written += len(piece)

    def hash(self, piece: memoryview) -> None:
        """Hash `piece`, which comes after what was hashed. May run beside `append`, before or after it."""
        self._hashed.take(self.size, piece)

    def empty(self) -> None:
        """Forget all content: it is wrong."""
        with self._lock:
            if self._descriptor is not None:
                self._cut()

    def commit_if_right(self) -> None:
        """As `commit`, if the content has the blob's digest; else do nothing."""
        if self.digest == self._blob.digest:
            self.commit()

    def commit(self) -> None:
        """Sync the content, whose digest the caller has checked, to the disk, and give it the blob's name.

        Raises `BlobCorrupt` if the file has another length than what was hashed.
        """
        path = self._files.root / "blobs" / self._blob.digest.path_name
        with self._lock, writing(path, kept="the content is kept"):
            if self._descriptor is None:
                return
            if (length := os.fstat(self._descriptor).st_size) != self.size:
                what = f"the partial file of {self._blob.digest} has {length} bytes, not {self.size}"
                raise BlobCorrupt(what, hint="run the same command again")
            os.utime(self._descriptor)  # its last byte may have come long ago, and Ollama deletes what is old
            os.fsync(self._descriptor)
            folders = self._folders
            try:
                folders.work.replace(_name(self._blob.digest), folders.blobs, self._blob.digest.path_name)
            except FileNotFoundError:  # without locks, another process may have been quicker
                if not self._files.has(self._blob.digest, self._blob.size):
                    raise
            self._close()

    def close(self) -> None:
        """Close the file and keep its content for the next put. Wait for a thread that works with it.

        An empty one is removed. Safe to call twice.
        """
        with self._lock:
            if self._descriptor is None:
                return
            try:
                with suppress(OSError):  # what can't be written is fetched again
                    self._drain()
                if not os.fstat(self._descriptor).st_size:
                    with suppress(OSError):
                        self._folders.work.unlink(_name(self._blob.digest))
            finally:
                self._close()

    def _drain(self) -> None:
        while self._added and self._descriptor is not None:
            piece = self._added[0]
            write_all(self._descriptor, piece, self.size)
            self._hashed.take(self.size, memoryview(piece))
            self._added.popleft()

    def _cut(self) -> None:
        assert self._descriptor is not None
        with writing(self._files.root):
            os.ftruncate(self._descriptor, 0)
        self._added.clear()
        self._length, self._written, self._hashed = 0, 0, RunningHash()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)  # which releases the lock
            self._descriptor = None
            self._folders.close()


def remove_stale(files: StoreFiles, *, older: float = _STALE) -> None:
    """Remove files in the working folder that are `older` than so many seconds, unless a process is using them."""
    if os.name != "posix":
        return  # without locks there is no telling
    with suppress(OSError), files.blobs() as blobs, files.work(blobs) as work:
        for name in work.names():
            status = work.status(name)
            if status is None or status.st_mtime > time.time() - older:
                continue
            with suppress(OSError, BlobHeldError):
                descriptor = work.open(name)
                try:
                    _lock(descriptor)
                    work.unlink(name)
                finally:
                    os.close(descriptor)


def _name(digest: Digest) -> str:
    return f"{digest.path_name}.partial"


def _claimed(work: Folder, name: str) -> int:
    while True:
        descriptor = _opened(work, name)
        if descriptor is None:
            continue
        try:
            _lock(descriptor)
            now, ours = work.status(name), os.fstat(descriptor)
            if now is not None and (now.st_dev, now.st_ino) == (ours.st_dev, ours.st_ino):
                return descriptor
        except BaseException:  # Ctrl-C too: nobody else closes it
            os.close(descriptor)
            raise
        os.close(descriptor)  # its previous holder has made it the blob, or removed it


def _opened(work: Folder, name: str) -> int | None:
    """Return the file `name`, new or not; None if what was there has just gone."""
    try:
        return work.create(name)
    except FileExistsError:
        pass
    try:
        descriptor = work.open(name)
    except FileNotFoundError:
        return None  # it has just become the blob
    except OSError as error:
        if error.errno not in _REPLACED:
            raise
        work.unlink(name)
        return None
    with suppress(OSError):  # who made it may have been killed before it was given its mode and its owner
        work.adopt(descriptor, FILE_MODE)
    return descriptor


def _lock(descriptor: int) -> None:
    """Lock the file until it is closed, or its process dies. Raises `BlobHeldError`.

    It is a lock of the open file (flock), so two tasks of one process exclude each other too. If the file system has no
    locks, two processes that fetch the same blob write the same bytes to the same places, and the digest shows whether
    the result is right.
    """
    if os.name == "posix":
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlobHeldError from error
        except OSError:
            return
