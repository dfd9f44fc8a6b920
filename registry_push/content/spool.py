"""`Spool`: a file that becomes a blob in one step, or never."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from pathlib import Path
from typing import Any, Final

from ..model import Digest

# Models are shared: what one user copies others read, whatever the umask says. Ollama's own store has this mode too.
BLOB_MODE: Final = 0o644
# Windows renames no open file. Elsewhere the lock of a `PartialFile` lasts until it has its new name.
RENAMES_OPEN: Final = os.name != "nt"


class Spool:
    """Bytes on their way into `folder`, hashed as they come; `folder` is on the disk of the later blob.

    They lie under a temporary name, made by the first write, until `commit`. The methods that take a path or bytes
    block on the disk and are called in threads; one lock keeps `discard` from closing the file under a thread whose
    caller was cancelled.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / f".spool-{secrets.token_hex(8)}"
        self._descriptor: int | None = None
        self._ended = False
        self._lock = threading.Lock()
        self._hashed = hashlib.sha256()
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    @property
    def digest(self) -> Digest:
        """The digest of what has been written so far."""
        return Digest(self._hashed.hexdigest())

    def write(self, piece: bytes | memoryview) -> None:
        """Append `piece`, and hash it. Raises `OSError`; does nothing after `discard`."""
        with self._lock:
            if not self._ended:
                self._append(piece)
                self._hashed.update(piece)

    def append(self, piece: bytes | memoryview) -> None:
        """As `write`, but leave hashing to the caller, who calls `hash` for each piece."""
        with self._lock:
            if not self._ended:
                self._append(piece)

    def hash(self, piece: bytes | memoryview) -> None:
        """Hash `piece`, which comes after what was hashed. May run beside `append`."""
        self._hashed.update(piece)

    def mark(self) -> tuple[int, Any]:
        """Return the state that `rewind` needs to return to this point."""
        return self._size, self._hashed.copy()

    def rewind(self, mark: tuple[int, Any]) -> None:
        """Forget what was written since `mark`. Raises `OSError`."""
        with self._lock:
            if self._ended:
                return
            descriptor = self._opened()
            os.ftruncate(descriptor, mark[0])
            os.lseek(descriptor, mark[0], os.SEEK_SET)
            self._size, self._hashed = mark[0], mark[1].copy()

    def restart(self) -> None:
        """Forget all that was written. Raises `OSError`."""
        self.rewind((0, hashlib.sha256()))

    def commit(self, path: Path) -> None:
        """Sync the content to the disk and put it at `path`, replacing what is there. Raises `OSError`."""
        with self._lock:
            if self._ended:
                return
            descriptor = self._opened()
            os.fsync(descriptor)
            self._ended, self._descriptor = True, None
            if not RENAMES_OPEN:
                os.close(descriptor)
            try:
                self._path.replace(path)
            except OSError:
                self._path.unlink(missing_ok=True)
                raise
            finally:
                if RENAMES_OPEN:
                    os.close(descriptor)
        sync_folder(path.parent)

    def discard(self) -> None:
        """Remove what was not committed. Waits for a thread that is writing. Safe to call twice."""
        with self._lock:
            self._ended = True
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
                self._path.unlink(missing_ok=True)

    def leave(self) -> None:
        """As `discard`: nobody could find a random name again."""
        self.discard()

    def _append(self, piece: bytes | memoryview) -> None:
        descriptor, rest = self._opened(), memoryview(piece)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        self._size += len(piece)

    def _opened(self) -> int:
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(self._path, flags, BLOB_MODE)
            if hasattr(os, "fchmod"):
                os.fchmod(self._descriptor, BLOB_MODE)
        return self._descriptor


def sync_folder(folder: Path) -> None:
    """Sync the names in the folder to the disk. Windows has no such call, and does so itself."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
