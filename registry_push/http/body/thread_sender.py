"""`ThreadSender`: threads send a span of a body over a socket that an event loop serves, and hash it as it passes."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ...content.base import LocalFile
from ...content.blocks import EMPTY, Blocks
from ...content.hashing import Hasher, RunningHash, scratch, take_next
from ..descriptors import writable

if TYPE_CHECKING:
    from ...protocol.upload.chunks import Span

# Bytes read, hashed and sent in one go: most of them are still in the second-level cache when the kernel copies them.
# 400 blobs of 4 MiB take 0.84 of the CPU that they take when each is read and hashed as a whole first, and in pieces of
# 256 KiB 0.91.
_PIECE: Final = 1024 * 1024
# Bytes until other bodies, and small ones that wait to be hashed, have their turn: some milliseconds.
_TURN: Final = 8 * 1024 * 1024
# Milliseconds that a thread waits for a line that is full: on a fast one it is ready in less than it takes to tell the
# loop; for a slow one the loop waits, which needs no thread.
_PATIENCE: Final = 3

Check = Callable[[], None]


def nothing() -> None:
    """Check nothing."""


class ThreadSender:
    """Sends `span` of `body` on the socket with the descriptor number `line`; `running` takes what passes.

    `check` is called in a thread when all is hashed and the last piece is not sent yet; what it raises keeps that back.
    `moved(n)` is told in the loop, after each turn of a thread, what has gone; `sent` is what the kernel has by now.
    Reading once what is hashed and sent is quicker than letting the kernel send it from the file beside a thread that
    hashes it: 1 GiB to distribution 3 on loopback took 1.52 s and 0.96 s of CPU so, and 1.9-2.1 s and 0.90 s of CPU
    with sendfile. What comes over a line is taken from its blocks in the same turns: 2 GiB from one registry to
    another took 0.6 of the CPU so.
    """

    def __init__(
        self,
        line: int,
        body: LocalFile | Blocks,
        span: Span,
        running: RunningHash | None,
        hasher: Hasher,
        *,
        stall: float,
        moved: Callable[[int], None],
        check: Check = nothing,
    ) -> None:
        self._blocks = body if isinstance(body, Blocks) else None
        self._body = body if isinstance(body, LocalFile) else None
        self._turns = hasher.turns(line, *([self._body.file.fileno()] if self._body is not None else []))
        self._line = self._turns.own[0]
        self._span = span
        self._running = running
        self._stall = stall
        self._moved = moved
        self._check = check
        self.sent = 0
        self._left = EMPTY  # read, and not sent yet
        self._is_dry = False  # nothing is there to be sent just now

    async def run(self) -> None:
        """Returns when the kernel has taken all of it. Cancelling is safe; a thread ends its piece.

        Raises `TimeoutError` after `stall` seconds in which the line took nothing, `SourceChanged` if the file ends
        early, for bytes the disk can't give as `read_error`, and what the kernel or `moved` raises.
        """
        try:
            await self._run()
        except asyncio.CancelledError:
            # The answer can be here before a thread's last turn is heard of; the line is at its end, and can be used
            # again, if this is not taken for a body that was broken off.
            await self._finish_turn()
            if self.sent < self._span.length:
                raise
        finally:
            self._turns.close()

    async def _finish_turn(self) -> None:
        self._turns.is_over = True
        while self._turns.is_working:
            with suppress(asyncio.CancelledError):  # aiohttp cancels at the answer's end, and again when it lets go
                await self._turns.ended()

    async def at_rest(self) -> None:
        """Wait until no thread is sending, so that `sent` counts everything."""
        await self._turns.ended()

    async def _run(self) -> None:
        told = 0
        while told < self._span.length:
            await self._turns.take(self._carry)
            if self._is_dry and self._blocks is not None:
                await self._blocks.ready()
            elif self.sent == told:
                async with asyncio.timeout(self._stall):
                    await writable(self._line)
            if self.sent > told:
                told, before = self.sent, told
                self._moved(told - before)

    def _carry(self) -> None:
        """Run one turn in a thread, or until the line takes no more."""
        end = min(self.sent + _TURN, self._span.length)
        line = select.poll()
        line.register(self._line, select.POLLOUT)
        self._is_dry = False
        while self.sent < end and not self._turns.is_over:
            if not self._left:
                self._left = self._next()
                if not self._left:
                    self._is_dry = True
                    break
            try:
                count = os.write(self._line, self._left)
            except BlockingIOError:
                if not line.poll(_PATIENCE):
                    break
            else:
                self._left = self._left[count:]
                self.sent += count
        if not self._left:
            self._left = EMPTY  # a part of nothing still holds all of it
        elif isinstance(self._left.obj, bytearray):  # the thread's own buffer, which is another's from now on
            self._left = memoryview(bytes(self._left))

    def _next(self) -> memoryview:
        offset, left = self._span.start + self.sent, self._span.length - self.sent
        if self._body is not None:
            buffer = scratch(min(_PIECE, left))
            piece = buffer[: take_next(self._turns.own[1], buffer, offset, self._running, self._body.name)]
        else:
            assert self._blocks is not None, "it has the one or the other"
            piece = self._blocks.take(left)
            if piece and self._running is not None:
                self._running.take(offset, piece)
        if len(piece) == left:
            self._check()
        return piece
