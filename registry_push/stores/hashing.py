"""Hashing beside the event loop: hashlib lets go of the interpreter while it works."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from ..errors import BlobCorrupt, SourceChanged
from ..model import Digest
from .base import BlobBody, LocalFile
from .body import BytesBody

# One buffer a file. It stays in the second-level cache: 4 MiB is slower, 64 KiB pays for its system calls.
_BUFFER: Final = 1024 * 1024
# Hashed on the event loop, in a tenth of a millisecond: less than a thread costs.
_AT_ONCE: Final = 128 * 1024
# sha256 does over 1 GB/s a core; more threads than this only fight the network for the disk.
_MAX_THREADS: Final = 4


class Hasher:
    """Threads that hash bodies. One for a run; `close` it at the end."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(min(os.cpu_count() or 1, _MAX_THREADS), thread_name_prefix="hash")

    async def sha256(self, body: BlobBody) -> Digest:
        """The digest of all of `body`; as `digests` without parts."""
        return (await self.digests(body, ()))[0]

    async def digests(self, body: BlobBody, ends: Sequence[int]) -> tuple[Digest, tuple[bytes, ...]]:
        """The sha256 of all of `body`, and the md5 of each part of it, in one pass.

        `ends` are the offsets where the parts end, the last one the body's end; none for no md5.
        Raises `SourceChanged` if a file has not the size its body said; else what the body
        raises. Cancelling is safe, and stops the work within one piece.
        """
        hashes = _Hashes(ends)
        if isinstance(body, BytesBody) and body.size <= _AT_ONCE:
            hashes.update(memoryview(body.content))
        elif isinstance(body, LocalFile):
            await self._file(body, body.size, hashes)
        else:
            loop = asyncio.get_running_loop()
            async for piece in body.open(0, body.size):
                await loop.run_in_executor(self._pool, hashes.update, memoryview(piece))
        return hashes.results()

    async def _file(self, body: LocalFile, size: int, hashes: _Hashes) -> None:
        # A descriptor of the thread's own: the body may be closed while a cancelled thread ends its piece, and
        # the number could mean another file by then.
        descriptor = os.dup(body.file.fileno())
        stop = threading.Event()
        try:
            work = self._pool.submit(_hash_file, descriptor, size, hashes, stop)
        except BaseException:
            os.close(descriptor)
            raise
        try:
            # Shielded: the thread must run in any case, since it is the one that closes the descriptor.
            await asyncio.shield(asyncio.wrap_future(work))
        except asyncio.CancelledError:
            stop.set()
            raise
        body.check_size()

    def close(self) -> None:
        """Ends the threads when their work is done. Safe to call twice."""
        self._pool.shutdown(wait=False)


class _Hashes:
    """One sha256 for all, and one md5 for each part: what Ollama's storage knows its parts by."""

    def __init__(self, ends: Sequence[int]) -> None:
        self._all = hashlib.sha256()
        self._ends = ends
        self._parts = [hashlib.md5(usedforsecurity=False) for _ in ends]
        self._offset = 0
        self._part = 0

    def update(self, piece: memoryview) -> None:
        self._all.update(piece)
        start = 0
        while self._part < len(self._ends) and start < len(piece):
            end = min(len(piece), self._ends[self._part] - self._offset)
            self._parts[self._part].update(piece[start:end])
            start = end
            if self._offset + end == self._ends[self._part]:
                self._part += 1
        self._offset += len(piece)

    def results(self) -> tuple[Digest, tuple[bytes, ...]]:
        return Digest(self._all.hexdigest()), tuple(part.digest() for part in self._parts)


def _hash_file(descriptor: int, size: int, hashes: _Hashes, stop: threading.Event) -> None:
    offset = 0
    buffer = memoryview(bytearray(min(_BUFFER, size) or 1))
    try:
        while offset < size and not stop.is_set():
            # `size` bounds it: a file that grows all the time would never end.
            got = os.preadv(descriptor, [buffer[: size - offset]], offset)
            if not got:
                raise SourceChanged(f"the file became shorter while it was read: it ends at byte {offset}")
            hashes.update(buffer[:got])
            offset += got
    except OSError as error:
        raise BlobCorrupt(f"the file can't be read at byte {offset}: {error.strerror}") from error
    finally:
        os.close(descriptor)
