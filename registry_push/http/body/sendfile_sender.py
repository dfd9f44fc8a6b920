"""`SendfileSender`: the kernel sends a span of a file over a socket that an event loop serves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ...protocol.upload.chunks import Span


# What may go before the loop serves the others, as long as the line takes it: some milliseconds. A turn of the loop for
# each call cost 0.3 s of CPU a GiB.
_MOST_A_TURN: Final = 8 * 1024 * 1024


class SendfileSender:
    """Sends `span` of the open `file`, `at_once` bytes a call, on the socket `line`. Both are descriptor numbers.

    `turn(n)` is asked before `n` bytes are sent, and returns the seconds to wait for that; `moved(n)` is told what each
    call has sent. `check` is called before the last bytes are sent; what it raises keeps them back. The pump works in
    the loop's callbacks, without a task that wakes for each call: 1 GiB on loopback takes some thousand of them, and as
    awaits they cost 0.1 s of CPU more. The answer can be read all the time, which `loop.sendfile` does not do, and
    uvloop has no sendfile on its transports.
    """

    def __init__(
        self,
        line: int,
        file: int,
        span: Span,
        *,
        at_once: int,
        stall: float,
        turn: Callable[[int], float],
        moved: Callable[[int], None],
        check: Callable[[], None],
    ) -> None:
        self._line = line
        self._file = file
        self._offset, self._stop = span.start, span.stop
        self._at_once = at_once
        self._stall = stall
        self._turn = turn
        self._granted = 0  # bytes whose turn has come, and that the kernel has not taken yet
        self._moved = moved
        self._check_last = check
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        # The loop watches a transport's own descriptor for nobody else, so a second one of the socket is watched.
        self._watched: int | None = None
        self._is_watching = False
        self._rest: asyncio.TimerHandle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alive_at = 0.0  # the loop's time when bytes have moved last, or will again after a rest

    async def run(self) -> None:
        """Send everything; return when the kernel has taken all of it. Cancelling is safe.

        Raises `EOFError` where the file ends early, `TimeoutError` after `stall` seconds in which the line took
        nothing, and what the kernel or `moved` raises.
        """
        try:
            self._push()
            await self._over
        finally:
            self._watch(False)
            for timer in (self._rest, self._alarm):
                if timer is not None:
                    timer.cancel()
            if self._watched is not None:
                os.close(self._watched)

    def _push(self) -> None:
        """Pass the kernel as much as it takes now."""
        turn = 0
        try:
            while self._offset < self._stop:
                if turn >= _MOST_A_TURN:
                    return self._wait()
                if not self._granted:
                    self._granted = min(self._at_once, self._stop - self._offset)
                    if pause := self._turn(self._granted):
                        return self._pause(pause)
                count = self._granted
                if self._offset + count == self._stop:
                    self._check_last()
                count = os.sendfile(self._line, self._file, self._offset, count)
                if count == 0:
                    return self._end(EOFError())
                self._offset, turn, self._granted = self._offset + count, turn + count, self._granted - count
                self._moved(count)
        except BlockingIOError:
            if turn:
                self._alive_at = self._loop.time()
            self._wait()
        except Exception as error:  # in a callback of the loop's: nobody else would hear of it
            self._end(error)
        else:
            self._end(None)
        return None

    def _wait(self) -> None:
        """Resume when the socket becomes writable or fails."""
        if self._watched is None:
            try:
                self._watched = self._line = os.dup(self._line)
            except OSError as error:  # too many are open; in a callback nobody else would hear of it
                return self._end(error)
            self._alive_at = self._loop.time()
            self._alarm = self._loop.call_later(self._stall, self._check)
        self._watch(True)
        return None

    def _pause(self, seconds: float) -> None:
        self._watch(False)
        self._alive_at = self._loop.time() + seconds
        self._rest = self._loop.call_later(seconds, self._push)

    def _check(self) -> None:
        left = self._alive_at + self._stall - self._loop.time()
        if left > 0:
            self._alarm = self._loop.call_later(left, self._check)
        else:
            self._end(TimeoutError())

    def _watch(self, wanted: bool) -> None:
        if wanted == self._is_watching or self._watched is None:
            return
        self._is_watching = wanted
        if wanted:
            self._loop.add_writer(self._watched, self._push)
        else:
            self._loop.remove_writer(self._watched)

    def _end(self, error: Exception | None) -> None:
        self._watch(False)
        if self._over.done():
            return
        if error is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(error)
