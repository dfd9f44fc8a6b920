"""Hashing beside the event loop: hashlib lets go of the interpreter while it works."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from ..errors import BlobCorrupt, SourceChanged
from ..model import Digest
from .base import BlobBody, LocalFile

# One buffer a file. It stays in the second-level cache: 4 MiB is slower, 64 KiB pays for its system calls.
_BUFFER: Final = 1024 * 1024
# sha256 does over 1 GB/s a core; more threads than this only fight the network for the disk.
_MAX_THREADS: Final = 4


class Hasher:
    """Threads that hash bodies. One for a run; `close` it at the end."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(min(os.cpu_count() or 1, _MAX_THREADS), thread_name_prefix="hash")

    async def sha256(self, body: BlobBody) -> Digest:
        """The digest of all of `body`.

        Raises `SourceChanged` if a file has not the size its body said; else what the body
        raises. Cancelling is safe, and stops the work within one piece.
        """
        if isinstance(body, LocalFile):
            return await self._file(body, body.size)
        hashed, loop = hashlib.sha256(), asyncio.get_running_loop()
        async for piece in body.open(0, body.size):
            await loop.run_in_executor(self._pool, hashed.update, piece)
        return Digest(hashed.hexdigest())

    async def _file(self, body: LocalFile, size: int) -> Digest:
        # A descriptor of the thread's own: the body may be closed while a cancelled thread ends its piece, and
        # the number could mean another file by then.
        descriptor = os.dup(body.file.fileno())
        stop = threading.Event()
        try:
            work = self._pool.submit(_hash_file, descriptor, size, stop)
        except BaseException:
            os.close(descriptor)
            raise
        try:
            # Shielded: the thread must run in any case, since it is the one that closes the descriptor.
            digest = await asyncio.shield(asyncio.wrap_future(work))
        except asyncio.CancelledError:
            stop.set()
            raise
        body.check_size()
        return digest

    def close(self) -> None:
        """Ends the threads when their work is done. Safe to call twice."""
        self._pool.shutdown(wait=False)


def _hash_file(descriptor: int, size: int, stop: threading.Event) -> Digest:
    hashed, offset = hashlib.sha256(), 0
    buffer = memoryview(bytearray(min(_BUFFER, size) or 1))
    try:
        while offset < size and not stop.is_set():
            # `size` bounds it: a file that grows all the time would never end.
            got = os.preadv(descriptor, [buffer[: size - offset]], offset)
            if not got:
                raise SourceChanged(f"the file became shorter while it was read: it ends at byte {offset}")
            hashed.update(buffer[:got])
            offset += got
    except OSError as error:
        raise BlobCorrupt(f"the file can't be read at byte {offset}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    return Digest(hashed.hexdigest())
