"""`Appending`: a blob on its way into the files of an export."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Final

from ...model import Digest
from .volume_file import VolumeFile
from .volume_plan import Entry

# Bytes of what was there before that a thread hashes at once; after them it looks whether that is still wanted.
_TURN: Final = 32 * 1024 * 1024
# Bytes of a piece for which another thread is asked to hash: it costs as much as to hash 50 KB.
_WORTH_A_THREAD: Final = 256 * 1024


class Appending:
    """A blob on its way into the files that its pieces are in. `file` and `entry` of each, in the order of the parts.

    The methods block, in threads. After `give_up` a thread whose caller was cancelled writes nothing more.
    """

    def __init__(self, places: Sequence[tuple[VolumeFile, Entry]], hashing: Executor) -> None:
        self._places = places
        self._hashing = hashing
        self._marks = [file.mark() for file, _ in places]
        self._lock = threading.Lock()
        self._is_over = False
        self._turn = 0  # which of the places is written
        self._begun = False
        self._hashed = hashlib.sha256()
        self.size = 0

    def take_over(self) -> bool:
        """Hash the next bytes that an earlier run has left; return whether there may be more.

        At the end of a piece it goes on with the next one.
        """
        with self._lock:
            hashed = 0
            while not self._is_over and self._turn < len(self._places):
                file = self._current()
                if not file.left:
                    self._next(file)
                    continue
                if not file.known:
                    return False
                if hashed >= _TURN:
                    return True
                count = file.hash(self._hashed)
                hashed += count
                self.size += count
            return False

    @property
    def left(self) -> int:
        """Bytes that the piece lacks that is written; 0 at the end."""
        return self._places[self._turn][0].left if self._turn < len(self._places) else 0

    def write(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Append `pieces`."""
        with self._lock:
            for piece in pieces:
                rest = memoryview(piece)
                while rest and not self._is_over:
                    file = self._current()
                    now = rest[: file.left]
                    self._write(file, now)
                    self.size += len(now)
                    rest = rest[len(now) :]
                    if not file.left:
                        self._next(file)

    def _write(self, file: VolumeFile, piece: memoryview) -> None:
        if len(piece) < _WORTH_A_THREAD:
            file.write(piece)
            self._hashed.update(piece)
            return
        # The blob's digest and the file's sum at once: 2 GB take 0.86 of the time, on a processor with two threads.
        hashing = self._hashing.submit(self._hashed.update, piece)
        try:
            file.write(piece)
        finally:
            hashing.result()

    def complete(self, digest: Digest) -> bool:
        """End the blob if it is all there and right; return whether it is."""
        with self._lock:
            while not self._is_over and self._turn < len(self._places) and not self._current().left:
                self._next(self._current())
            if self._is_over or self._turn < len(self._places) or self._hashed.hexdigest() != digest.hex:
                return False
            self._is_over = True
            return True

    def restart(self) -> None:
        """Forget all of the blob: what was there was wrong."""
        with self._lock:
            if not self._is_over:
                self._reset(forget=True)
                self._turn, self._begun, self.size = 0, False, 0
                self._hashed = hashlib.sha256()

    def give_up(self, *, forget: bool) -> None:
        """Stop here, unless it is complete. What there is stays to be continued, unless it is to `forget`."""
        with self._lock:
            if not self._is_over:
                self._is_over = True
                self._reset(forget=forget)

    def _reset(self, *, forget: bool) -> None:
        for (file, _), mark in zip(self._places, self._marks, strict=True):
            file.reset(mark, forget=forget)

    def _current(self) -> VolumeFile:
        file, entry = self._places[self._turn]
        if not self._begun:
            file.begin(entry)
            self._begun = True
        return file

    def _next(self, file: VolumeFile) -> None:
        file.end()
        self._turn += 1
        self._begun = False
