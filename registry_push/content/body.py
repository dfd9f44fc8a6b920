"""Bodies: the bytes of a blob that can be read again from any offset."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from ..errors import BlobCorrupt, SourceChanged
from .base import FileIdentity, LocalFile
from .read_errors import read_error
from .threads import in_thread

# Bytes a read: long enough that the switch to a thread costs nothing in comparison, short enough to stop promptly.
PIECE: Final = 1024 * 1024


class Closable(Protocol):
    """Something open, such as a file."""

    def close(self) -> None:
        """Close it."""
        ...


Opened = TypeVar("Opened", bound=Closable | None)


async def opened(open_file: Callable[[], Opened]) -> Opened:
    """Return what `open_file` opens, if anything, in a thread. A cancelled call leaves no file open behind it."""
    handover = _Handover(open_file)
    try:
        return await in_thread(handover.open)
    except BaseException:  # cancelled; or no thread could be started for it, and one that comes free does it later
        handover.abandon()
        raise


class _Handover(Generic[Opened]):
    """A file that a thread opens for a coroutine; if that was cancelled, whichever of the two is last closes it.

    This needs no event loop, which may be gone before the thread is done.
    """

    def __init__(self, open_file: Callable[[], Opened]) -> None:
        self._open_file = open_file
        self._lock = threading.Lock()
        self._file: Opened | None = None
        self._abandoned = False

    def open(self) -> Opened:
        file = self._open_file()
        with self._lock:
            self._file = file
            if self._abandoned and file is not None:
                file.close()
        return file

    def abandon(self) -> None:
        with self._lock:
            self._abandoned = True
            if self._file is not None:
                self._file.close()


def hint_for_damaged(path: str | Path) -> str:
    """Return the next step for a blob whose file is damaged."""
    return f"remove {path}, then fetch the model again: ollama pull NAME"


class FileBody(LocalFile):
    """A file on this machine, as it was when it was opened. Takes over `file`, which must be unbuffered.

    Implements `BlobBody` too.
    """

    def __init__(self, file: io.FileIO, *, name: str | None = None) -> None:
        self._file = file
        self._name = name if name is not None else str(file.name)
        self._opened_as = self.identity

    @property
    def size(self) -> int:
        """Bytes, when the file was opened."""
        return self._opened_as.size

    @property
    def name(self) -> str:
        """The name for messages: the path, unless another was given."""
        return self._name

    @property
    def opened_as(self) -> FileIdentity:
        """The identity when the file was opened."""
        return self._opened_as

    @property
    def file(self) -> io.FileIO:
        """The open file. Read it with `pread`; its file position is undefined."""
        return self._file

    async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
        """Yield `length` bytes from `offset`. Raises `SourceChanged` if the file is not what it was.

        For bytes the disk can't give it raises as `read_error`. Cancelling is safe at any piece.
        """
        end = offset + length
        if not 0 <= offset <= end <= self.size:
            raise BlobCorrupt(f"{self._name} has {self.size} bytes; {length} from {offset} were asked for")
        while offset < end:
            wanted = min(PIECE, end - offset)
            try:
                piece = await in_thread(os.pread, self._file.fileno(), wanted, offset)
            except OSError as error:
                raise read_error(error, f"byte {offset} of {self._name}") from error
            if not piece:
                raise SourceChanged(f"{self._name} became shorter while it was read: it ends at byte {offset}")
            offset += len(piece)
            yield piece
        self.check_size()

    @property
    def identity(self) -> FileIdentity:
        """As it is now. Raises as `read_error`."""
        try:
            status = os.fstat(self._file.fileno())
        except OSError as error:
            raise read_error(error, self._name) from error
        return FileIdentity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def check_size(self) -> None:
        """Raise `SourceChanged` if the size is not the one the file was opened with.

        A new time alone is not a change: Ollama touches a blob that it uses again (manifest/layer.go, touchLayer).
        """
        size = self.identity.size
        if size != self.size:
            raise SourceChanged(f"{self._name} had {self.size} bytes and has {size} now")

    async def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._file.close()


class BytesBody:
    """Content in memory. For small things and for tests."""

    def __init__(self, content: bytes, *, path: str | None = None) -> None:
        self.content: Final = content
        self.path: Final = path  # of the file that it was read from

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content)

    async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
        """Yield `length` bytes from `offset`. Raises `BlobCorrupt` if there are fewer."""
        end = offset + length
        if not 0 <= offset <= end <= len(self.content):
            raise BlobCorrupt(f"there are {len(self.content)} bytes; {length} from {offset} were asked for")
        for start in range(offset, end, PIECE):
            yield self.content[start : min(start + PIECE, end)]

    async def close(self) -> None:
        """Nothing is held."""
