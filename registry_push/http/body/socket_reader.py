"""`SocketReader`: threads read the rest of an answer's body from its socket."""

from __future__ import annotations

import asyncio
import os
import select
import threading
from collections.abc import Callable
from typing import Final

from ...content.blocks import EMPTY
from ...content.hashing import scratch
from ...errors import ConnectionLost, TimedOut
from ..descriptors import readable

# Bytes read, hashed and written in one go: they are still in the second-level cache when the kernel copies them. With
# half of it, 400 blobs of 4.5 MiB into a layout took 1.1 of the CPU: each piece costs three turns of the interpreter's
# lock, for which all threads compete. With twice of it they took as long.
_PIECE: Final = 512 * 1024
# Milliseconds that a thread waits for a line on which nothing is: on a fast one the next bytes are there in less than
# it takes to tell the loop; for a slow one the loop waits, which needs no thread.
_PATIENCE: Final = 3


class SocketReader:
    """The last bytes of a body: those `come` already, and `left` ones from the socket `line`, a descriptor of its own.

    `patience` are the seconds in which something has to come. `over` is called by `close` if all was read and
    nothing follows: then the connection can be used again.
    """

    def __init__(
        self, come: bytes, line: int, left: int, *, patience: float, netloc: str, over: Callable[[], None]
    ) -> None:
        self._come = memoryview(come)
        self._line: int | None = line
        self._left = left
        self._patience = patience
        self._netloc = netloc
        self._over = over
        self._trouble = ""
        # A caller that was cancelled closes it while its thread still reads: that takes milliseconds.
        self._lock = threading.Lock()

    async def ready(self) -> None:
        """As `Blocks.ready`. Raises `TimedOut`, and `ConnectionLost` for a body that ends early."""
        if self._come:
            return
        if self._trouble or not self._left or self._line is None:
            raise ConnectionLost(self._trouble or f"{self._netloc} has sent all of its answer, and it is too short")
        try:
            async with asyncio.timeout(self._patience):
                await readable(self._line)
        except TimeoutError as error:
            raise TimedOut(f"{self._netloc} sends nothing more of the content") from error

    def take(self, most: int, buffer: memoryview | None = None) -> memoryview:
        """As `Blocks.take`."""
        with self._lock:
            if self._come:
                most = min(most, len(buffer)) if buffer is not None else most
                piece, self._come = self._come[:most], self._come[most:]
                return piece
            if not self._left or self._line is None:
                return EMPTY
            most = min(most, self._left)
            buffer = buffer[:most] if buffer is not None else scratch(min(_PIECE, most))
            try:
                count = self._read(self._line, buffer)
            except OSError as error:
                self._trouble = f"{self._netloc} broke the connection in its answer: {error.strerror}"
                return EMPTY
            if count == 0:
                self._trouble = f"{self._netloc} ended the connection {self._left} bytes early"
            self._left -= count or 0
            return buffer[: count or 0]

    def _read(self, line: int, buffer: memoryview) -> int | None:
        """How many bytes were read, 0 at the end of the line; None if there are none just now."""
        try:
            return os.readv(line, [buffer])
        except BlockingIOError:
            waiting = select.poll()
            waiting.register(line, select.POLLIN)
            if not waiting.poll(_PATIENCE):
                return None
        try:
            return os.readv(line, [buffer])
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Read no more. Safe to call twice."""
        with self._lock:
            if self._line is None:
                return
            waiting = select.poll()
            waiting.register(self._line, select.POLLIN)
            is_quiet = not waiting.poll(0)  # else bytes left on the line would be taken for the next answer
            os.close(self._line)
            self._line = None
        if is_quiet and not self._left and not self._come:
            self._over()
