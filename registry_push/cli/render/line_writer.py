"""`LineWriter`: lines written by a thread, so that a slow reader never slows an upload."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TextIO

# Lines that may wait for a slow reader before progress is left out: some 200 kB.
BACKLOG: Final = 1000

# Replacements for our signs in other encodings; anything else that they can't represent becomes "?".
_PLAINER: Final = str.maketrans({"→": "->", "…": "...", "·": "|"})


class LineWriter:
    """Writes whole lines, in order, to one or more text streams.

    Between `start` and `close` a thread writes and the caller never waits; before and after, the caller writes.
    If a stream fails (a closed pipe, a full disk), writing to it stops and `on_lost` is called once with the error, on
    whichever thread noticed: an asyncio program passes `lambda e: loop.call_soon_threadsafe(…, e)`. Nothing is raised,
    not even by the interpreter's last flush of that stream.
    """

    def __init__(self, on_lost: Callable[[OSError], None] | None = None) -> None:
        self._on_lost = on_lost
        self._lost: set[int] = set()
        self._queue: queue.SimpleQueue[tuple[TextIO, str] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread. It is a daemon, so that a reader that hangs does not keep an interrupted program alive.

        If no thread can be started, the caller writes.
        """
        thread = threading.Thread(target=self._run, name="registry-push output", daemon=True)
        with suppress(RuntimeError):
            thread.start()
            self._thread = thread

    def put(self, stream: TextIO, line: str) -> None:
        """Write `line`; it is never left out."""
        if self._thread is None:
            self._write(stream, line)
        else:
            self._queue.put((stream, line))

    def offer(self, stream: TextIO, line: str) -> bool:
        """Write `line`, unless the reader is far behind. Returns whether it will be written."""
        if self._queue.qsize() >= BACKLOG:
            return False
        self.put(stream, line)
        return True

    def lost(self, stream: TextIO) -> bool:
        """Return whether the stream has failed."""
        return id(stream) in self._lost

    def close(self) -> None:
        """Wait until all is written. Safe to call twice."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            self._write(*item)

    def _write(self, stream: TextIO, line: str) -> None:
        if self.lost(stream):
            return
        try:
            stream.write(encodable(line, stream.encoding) + "\n")
            stream.flush()
        except OSError as error:
            self._lost.add(id(stream))
            silence(stream)
            if self._on_lost is not None:
                self._on_lost(error)


def encodable(line: str, encoding: str | None) -> str:
    """Return `line` in characters that the stream can encode; a StringIO has no encoding and takes all."""
    if encoding is None or encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        return line.encode(errors="replace").decode()  # a lone surrogate, from a file name
    return line.translate(_PLAINER).encode(encoding, errors="replace").decode(encoding)


def silence(stream: TextIO) -> None:
    """Send what is written to a stream that has failed nowhere."""
    # Flushing the stream's buffer at the end of the interpreter would fail again, with a traceback (Python's
    # documentation of `signal`, "Note on SIGPIPE").
    try:
        descriptor = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except OSError:  # io.UnsupportedOperation: a stream without a file
        return
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
