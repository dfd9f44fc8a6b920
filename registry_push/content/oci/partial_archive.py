"""`PartialArchive`: a tar file that grows by whole members, and gets its name when it is complete."""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final, NoReturn

from ...errors import Unavailable, Unwritable, UsageError
from ...model import Digest
from ..partial_file import WORTH_KEEPING, open_locked
from ..spool import sync_folder
from ..write_errors import check_writable, writing
from . import tar
from .new_file import move_to_new, refuse_existing
from .tar_scan import MAX_ENTRIES, DamagedArchiveError, Member, members

_BLOBS: Final = "blobs/sha256/"
# With `oci-layout` and `index.json`, and extended headers before the largest.
_MAX_BLOBS: Final = MAX_ENTRIES - 2000
# Bytes that are read at once; after each, a thread checks whether it is still wanted.
_PIECE: Final = 1024 * 1024
_TURN: Final = 32 * 1024 * 1024


class PartialArchive:
    """The file `path` with `.partial` after its name, while it is written. The methods block on the disk.

    It begins with `head`, whose end `commit` replaces. A run with the same head continues what a killed one has left:
    the complete members with the right digest, and the incomplete one if it is the first that is put. A lock on the
    file excludes other writers, and one in this object excludes threads whose caller was cancelled.
    """

    def __init__(self, path: Path, head: bytes) -> None:
        self.blobs: dict[Digest, int] = {}  # those that are in it, with their sizes
        self._path = path
        self._partial = partial_path(path)
        self._head = head
        self._lock = Lock()
        self._descriptor: int | None = None
        self._end = 0  # of the last complete member
        self._put = 0  # the number of the put that is under way; 0 if none is
        self._over = 0  # the number of the last put that is over
        self._is_over = False
        self._size = 0  # bytes of its content so far
        self._kept = 0  # bytes of it that were there before
        self._start = 0  # where its content begins
        self._hashed = hashlib.sha256()
        self._left: list[tuple[Digest, Member]] = []  # what an earlier run has left, the next one last

    def begin(self) -> None:
        """Open the file; `take_over` is called next.

        Raises as `writing`; `Unavailable` if another copy is writing it, `Unwritable` if it can't be written.
        """
        with writing(self._partial):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        check_writable(self._partial)
        with self._lock, writing(self._partial):
            if self._is_over:
                return
            self._descriptor = descriptor = open_locked(self._partial)
            if descriptor is None:
                self._refuse()
            if os.pread(descriptor, len(self._head), 0) == self._head:
                self._left = list(self._found(descriptor))[::-1]
            else:
                os.ftruncate(descriptor, 0)
                self._write(self._head, 0)
            self._end = len(self._head)

    def _refuse(self) -> NoReturn:
        """Raise the error for a file that can't be had: `Unavailable` if another copy has it, else `Unwritable`."""
        refuse_existing(self._path)  # the other copy may have ended at this moment
        if _is_plain(self._partial):
            raise Unavailable(
                f"another copy is writing {self._path}", hint="wait for it to end, or name another file for this one"
            )
        raise Unwritable(
            f"{self._partial} can't be used: it is no plain file, or can't be made",
            hint=f"see what is there, and move it away: ls -ld {shlex.quote(str(self._partial))}",
        )

    def take_over(self) -> bool:
        """Hash the next bytes that an earlier run has left; return whether there are more. Raises as `writing`."""
        with self._lock, writing(self._partial):
            if self._descriptor is None or not self._left:
                return False
            digest, member = self._left[-1]
            if self._hash(member.offset, member.size):
                return True
            self._left.pop()
            if (self._hashed.hexdigest(), self._size) == (digest.hex, member.size):
                self.blobs[digest] = member.size
                self._end = member.end
            else:
                self._left.clear()
                os.ftruncate(self._descriptor, self._end)
            self._hashed, self._size = hashlib.sha256(), 0
            return True

    def append(self, put: int, digest: Digest, size: int) -> None:
        """Begin the blob `digest`, of `size` bytes, or continue it; `take_over_blob` is called next.

        `put` numbers the puts, so that a thread of one that was cancelled can't write into the next. Raises as
        `writing`, and `UsageError` for too many blobs.
        """
        with self._lock, writing(self._partial):
            if put <= self._over or self._descriptor is None:
                return
            if len(self.blobs) >= _MAX_BLOBS:
                raise UsageError(
                    f"{self._path} would have more than {MAX_ENTRIES} entries, which nobody reads",
                    hint="write fewer models into one archive",
                )
            header = tar.file_header(_BLOBS + digest.hex, size)
            self._put, self._start = put, self._end + len(header)
            self._hashed, self._size, self._kept = hashlib.sha256(), 0, 0
            if os.pread(self._descriptor, len(header), self._end) == header:
                self._kept = min(os.fstat(self._descriptor).st_size - self._start, size)
            else:
                os.ftruncate(self._descriptor, self._end)
                self._write(header, self._end)

    def take_over_blob(self, put: int) -> int | None:
        """Hash the next bytes that were there of the blob; return their number after the last ones, else None."""
        with self._lock, writing(self._partial):
            is_more = self._put == put and self._hash(self._start, self._kept)
            return None if is_more else self._size

    def restart(self, put: int) -> None:
        """Forget the content of the blob. Raises as `writing`."""
        with self._lock, writing(self._partial):
            if self._put == put and self._descriptor is not None:
                os.ftruncate(self._descriptor, self._start)
                self._hashed, self._size = hashlib.sha256(), 0

    def write(self, put: int, pieces: Sequence[bytes | memoryview]) -> None:
        """Append `pieces` to the blob, unless its put is over. Raises as `writing`."""
        with self._lock, writing(self._partial):
            for piece in pieces:
                if self._put != put:
                    return
                self._write(piece, self._start + self._size)
                self._size += len(piece)
                self._hashed.update(piece)

    def complete(self, put: int, blob: Digest, size: int) -> Digest | None:
        """Keep what was appended if it is all of `blob`; else return the digest that it has. Raises as `writing`."""
        with self._lock, writing(self._partial):
            found = Digest(self._hashed.hexdigest())
            if self._put != put or (found, self._size) != (blob, size):
                return found
            self._write(bytes(tar.padding(size)), self._start + size)
            self._end = self._start + size + tar.padding(size)
            self._put, self._over, self.blobs[blob] = 0, put, size
            return None

    def take_back(self, put: int, *, is_wrong: bool) -> None:
        """End the put. Cut off what it has appended, unless it is complete, or right so far and worth continuing.

        Raises as `writing`.
        """
        with self._lock, writing(self._partial):
            self._over = max(self._over, put)
            if self._put == put:
                self._put = 0
                if self._descriptor is not None and (is_wrong or max(self._size, self._kept) < WORTH_KEEPING):
                    os.ftruncate(self._descriptor, self._end)

    def commit(self, index: bytes) -> None:
        """Put `index` at the end of the head, and the archive, whole and on the disk, under its name.

        Raises as `writing`, and `UsageError` if there is something under that name by now.
        """
        with self._lock, writing(self._partial):
            if self._descriptor is None:
                return
            refuse_existing(self._path)
            self._write(index, len(self._head) - tar.padding(len(index)) - len(index))
            self._write(tar.END, self._end)
            os.ftruncate(self._descriptor, self._end + len(tar.END))
            os.fsync(self._descriptor)
            try:
                move_to_new(self._partial, self._path)
            except FileExistsError:  # since it was looked for; the archive can still be continued
                self._write(self._head, 0)
                os.ftruncate(self._descriptor, self._end)
                refuse_existing(self._path)
                raise
            self._close()
        with writing(self._path):
            sync_folder(self._path.parent)

    def leave(self) -> None:
        """Stop here: what is worth keeping stays for a later run, the rest is discarded. Safe to call twice."""
        with self._lock:
            self._is_over = True
            if self._descriptor is None:
                return
            with suppress(OSError):
                if os.fstat(self._descriptor).st_size - len(self._head) < WORTH_KEEPING:
                    self._partial.unlink()
            self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._put = None, 0

    def _found(self, descriptor: int) -> Iterator[tuple[Digest, Member]]:
        """Yield the complete blobs in the file, as far as they follow each other."""
        end, seen, size = len(self._head), set[str](), os.fstat(descriptor).st_size
        with suppress(DamagedArchiveError):
            for name, member in members(lambda offset, length: os.pread(descriptor, length, offset), size):
                if member.header < len(self._head):
                    continue
                if member.header != end or member.end > size or name in seen or not name.startswith(_BLOBS):
                    return
                yield Digest(name.removeprefix(_BLOBS)), member
                end = member.end
                seen.add(name)

    def _hash(self, offset: int, size: int) -> bool:
        """Hash more of the `size` bytes at `offset` for a turn; return whether there are more."""
        assert self._descriptor is not None, "it is open"
        turn = min(self._size + _TURN, size)
        while self._size < turn:
            piece = os.pread(self._descriptor, min(_PIECE, turn - self._size), offset + self._size)
            if not piece:
                return False
            self._hashed.update(piece)
            self._size += len(piece)
        return self._size < size

    def _write(self, content: bytes | memoryview, offset: int) -> None:
        rest = memoryview(content)
        while rest and self._descriptor is not None:
            written = os.pwrite(self._descriptor, rest, offset)
            rest, offset = rest[written:], offset + written


def _is_plain(path: Path) -> bool:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def partial_path(path: Path) -> Path:
    """Return where the archive `path` is written."""
    return path.with_name(f"{path.name}.partial")
