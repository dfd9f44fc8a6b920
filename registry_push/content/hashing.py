"""Hashing in threads beside the event loop: hashlib releases the GIL while it works."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import threading
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeGuard, TypeVar

from ..errors import SourceChanged
from ..model import Digest
from .base import BlobBody, LocalFile
from .body import BytesBody
from .file_worker import FileWorker
from .read_errors import read_error
from .threads import start_in

# The buffer for a file. It fits in the second-level cache: 4 MiB is slower, and with 64 KiB system calls cost.
_BUFFER: Final = 1024 * 1024
# Bytes that one turn hashes before other files, and bodies to be sent, get the thread: some hundredths of a second.
_TURN: Final = 32 * 1024 * 1024
# Bytes that are hashed on the event loop, in a tenth of a millisecond: less than a thread costs.
_AT_ONCE: Final = 128 * 1024
# sha256 does over 1 GB/s a core; more threads only compete with the network for the disk.
_MAX_THREADS: Final = 4

_own = threading.local()


class RunningHash:
    """The sha256 of a body's content up to `offset`, and the md5 of each part of it that ends at one of `ends`.

    Whoever reads the content feeds it, in threads; bytes that come twice or too early are ignored.
    """

    def __init__(self, ends: Sequence[int] = ()) -> None:
        self.offset = 0
        self._all = hashlib.sha256()
        self._ends = ends
        self._parts = [hashlib.md5(usedforsecurity=False) for _ in ends]  # what Ollama's storage knows its parts by
        self._part = 0
        # A cancelled reader may finish its piece at the same time as its successor.
        self._lock = threading.Lock()

    def take(self, offset: int, piece: memoryview) -> None:
        """Hash the part of `piece`, the content at `offset`, that comes next."""
        with self._lock:
            known = self.offset - offset
            if 0 <= known < len(piece):
                self._update(piece[known:])

    def _update(self, piece: memoryview) -> None:
        self._all.update(piece)
        start = 0
        while self._part < len(self._ends) and start < len(piece):
            end = min(len(piece), self._ends[self._part] - self.offset)
            self._parts[self._part].update(piece[start:end])
            start = end
            if self.offset + end == self._ends[self._part]:
                self._part += 1
        self.offset += len(piece)

    def copy(self) -> RunningHash:
        """Return another one that has taken the same, and goes on from there."""
        with self._lock:
            other = RunningHash(self._ends)
            other.offset, other._part = self.offset, self._part
            other._all, other._parts = self._all.copy(), [part.copy() for part in self._parts]
            return other

    @property
    def digest(self) -> Digest:
        """Of what was taken."""
        return Digest(self._all.hexdigest())

    @property
    def md5s(self) -> tuple[bytes, ...]:
        """Of the parts."""
        return tuple(part.digest() for part in self._parts)


class Hasher:
    """Threads that hash bodies, `threads` of them at most. One for a run; `close` it at the end."""

    def __init__(self, threads: int = _MAX_THREADS) -> None:
        self._pool = ThreadPoolExecutor(min(os.cpu_count() or 1, threads), thread_name_prefix="hash")

    async def sha256(self, body: BlobBody) -> Digest:
        """Return the digest of all of `body`; raises as `finish`."""
        running = RunningHash()
        await self.finish(body, running)
        return running.digest

    async def finish(self, body: BlobBody, running: RunningHash, *, end: int | None = None) -> None:
        """Feed `running` with all that it misses of `body`, up to `end` if that is given.

        Raises `SourceChanged` if a file has not the size its body said; else what the body raises. Cancelling is safe,
        and stops the work within one piece.
        """
        end = body.size if end is None else end
        if is_hashed_at_once(body):
            running.take(0, memoryview(body.content)[:end])
        elif isinstance(body, LocalFile):
            await self.finish_span(body.file, 0, running, end=end, name=body.name)
            body.check_size()
        else:
            offset = running.offset
            async for piece in body.open(offset, end - offset):
                await start_in(self._pool, partial(running.take, offset, memoryview(piece)))
                offset += len(piece)

    def turns(self, *descriptors: int) -> FileWorker:
        """Yield turns of the threads on copies of `descriptors`."""
        return FileWorker(self._pool, *descriptors)

    async def pieces(
        self, body: LocalFile, offset: int, length: int, running: RunningHash | None, *, at_once: int
    ) -> AsyncGenerator[bytes, None]:
        """Yield `length` bytes of `body` from `offset`, which `running` takes, `at_once` a piece; one is read ahead.

        Raises `SourceChanged` if the file ends early; for bytes the disk can't give as `read_error`.
        """
        end, turns = offset + length, self.turns(body.file.fileno())

        def reading(offset: int) -> asyncio.Future[bytes]:
            return turns.start(partial(_piece, turns.own[0], offset, min(at_once, end - offset), running, body.name))

        ahead = reading(offset) if length else None
        try:
            while ahead is not None:
                ready = [await asyncio.shield(ahead)]
                offset += len(ready[0])
                ahead = reading(offset) if offset < end else None  # one at a time: they are hashed in their order
                yield ready.pop()  # its receiver keeps it as long as it needs it
        finally:
            turns.close()

    async def along(
        self, body: BlobBody, offset: int, length: int, running: RunningHash
    ) -> AsyncGenerator[bytes, None]:
        """Yield the pieces of `body` while `running` takes them; the last one when it has taken all.

        Raises what the body raises.
        """
        end = offset + length
        async for piece in body.open(offset, length):
            taking = self._take(running, offset, piece)
            offset += len(piece)
            if offset == end:
                await taking
            yield piece
            await taking

    def _take(self, running: RunningHash, offset: int, piece: bytes) -> asyncio.Future[None]:
        if len(piece) > _AT_ONCE:
            return start_in(self._pool, partial(running.take, offset, memoryview(piece)))
        running.take(offset, memoryview(piece))
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def finish_span(self, file: io.FileIO, start: int, running: RunningHash, *, end: int, name: str) -> None:
        """As `finish`, for content that begins at `start` in an open file."""
        turns = self.turns(file.fileno())
        try:
            while running.offset < end:
                await turns.take(partial(_hash_on, turns, start, end, running, name))
        finally:
            turns.close()

    def close(self) -> None:
        """End the threads when their work is done. Safe to call twice."""
        self._pool.shutdown(wait=False)


def is_hashed_at_once(body: BlobBody) -> TypeGuard[BytesBody]:
    """Return whether hashing takes no time, and no thread."""
    return isinstance(body, BytesBody) and body.size <= _AT_ONCE


def take_next(
    descriptor: int, buffer: memoryview, offset: int, running: RunningHash | None, name: str, *, start: int = 0
) -> int:
    """Read into `buffer` what the content called `name`, from `start` on in the file, has at `offset`, and have
    `running` take it.

    Returns how many bytes that is. Raises `SourceChanged` if the file ends there; for bytes the disk can't give as
    `read_error`.
    """
    try:
        count = os.preadv(descriptor, [buffer], start + offset)
    except OSError as error:
        raise read_error(error, f"byte {offset} of {name}") from error
    return len(_taken(buffer[:count], offset, running, name))


def probe(descriptor: int, offset: int, length: int, name: str) -> None:
    """Read `length` bytes at `offset` and forget them. Raises as `take_next`: then the file is at fault, not the line.

    Runs in a thread, since a disk that fails can take seconds to say so, and closes `descriptor`, which is its own: the
    caller may be cancelled meanwhile.
    """
    try:
        end = offset + length
        buffer = scratch(min(_BUFFER, length))
        while offset < end:
            offset += take_next(descriptor, buffer[: end - offset], offset, None, name)
    finally:
        os.close(descriptor)


_Content = TypeVar("_Content", bytes, memoryview)


def _taken(content: _Content, offset: int, running: RunningHash | None, name: str) -> _Content:
    if not content:
        raise SourceChanged(f"{name} became shorter while it was read: it ends at byte {offset}")
    if running is not None:
        running.take(offset, memoryview(content))
    return content


def scratch(size: int) -> memoryview:
    """Return `size` bytes of this thread's own buffer, which it may use until its turn ends.

    To fill a new one with zeros for each body took 5 % of a push of 400 bodies of 2 MiB, hashes aside.
    """
    buffer: bytearray | None = getattr(_own, "buffer", None)
    if buffer is None or len(buffer) < size:
        _own.buffer = buffer = bytearray(size)
    return memoryview(buffer)[:size]


def _piece(descriptor: int, offset: int, count: int, running: RunningHash | None, name: str) -> bytes:
    try:
        content = os.pread(descriptor, count, offset)
    except OSError as error:
        raise read_error(error, f"byte {offset} of {name}") from error
    return _taken(content, offset, running, name)


def _hash_on(turns: FileWorker, start: int, size: int, running: RunningHash, name: str) -> None:
    # `size` bounds it: a file that grows all the time would never end.
    offset, end = running.offset, min(running.offset + _TURN, size)
    buffer = scratch(min(_BUFFER, end - offset))
    while offset < end and not turns.is_over:
        offset += take_next(turns.own[0], buffer[: end - offset], offset, running, name, start=start)
