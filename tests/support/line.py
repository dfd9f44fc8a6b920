"""A line of a given speed and length between a client and a server on this machine: a TCP relay.

    with Line(registry.host, rate=125_000_000, delay=0.025) as line:   # 1 Gbit/s, a round trip of 50 ms
        … talk to line.host …

It runs in threads of the caller's process; `LineProcess` (line_process.py) does in a process of its own.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

# What the kernel may hold of a connection before it is on the line; more is not granted without privileges (Linux,
# net.core.rmem_max). What it holds has left the client, yet not passed: it should be little.
_BUFFER: Final = 212_992
# Bytes of one piece at most: fewer cost more calls, more don't fit into the buffer.
_PIECE: Final = 128 * 1024
# Seconds of the line's time that one piece takes at most: nobody waits longer for his turn.
_TURN: Final = 0.002
# Seconds by which the line makes up for threads that woke late: what a burst may be above the rate.
_SLACK: Final = 0.02
# The speed for which a line without a rate has buffers: bytes a second.
_FASTEST: Final = 1_250_000_000
# Bytes that a delay line holds beside what is under way.
_SPARE: Final = 4 * 1024 * 1024


class Line:
    """Carries connections from `host` to `target` (both `127.0.0.1:<port>`), for the length of a `with`.

    `rate` is in bytes a second, for all connections together, from client to server; `back_rate` is that from server to
    client. None: unlimited. `delay` is in seconds, each way; bytes under way do not hold up those behind them, and a
    connection's first bytes take a round trip more, for its handshake. No byte is lost or put before another while a
    connection lives. The client's end comes to the server behind the client's last byte, at the line's speed: so it is
    with a killed process on a real line, whose kernel sends what it has taken. A reset travels behind the bytes before
    it, too, so that a server's early answer is not torn away. `cut` drops what is under way and ends both sides.

    It can't model what TCP itself makes of a long line: no slow start, no loss, no window that is too small for the
    path, no queue that others fill. A client gets its connection at once, even if the server then refuses it, and its
    own kernel takes bytes (some MB) before they are on the line.
    """

    def __init__(
        self, target: str, *, rate: float | None = None, back_rate: float | None = None, delay: float = 0.0
    ) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._pace = _Pace(rate) if rate else None
        self._back_pace = _Pace(back_rate) if back_rate else None
        self._delay = delay
        self._room = int((rate or _FASTEST) * delay) + _SPARE
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()
        self._threads: set[threading.Thread] = set()
        self._up = _Counter()
        self._down = _Counter()
        self._listener = socket.socket()

    def __enter__(self) -> Self:
        """Listens."""
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)  # those that are accepted inherit it
        if self._back_pace:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(256)
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends everything, and its threads."""
        self._listener.shutdown(socket.SHUT_RDWR)
        while True:
            self.cut()
            with self._lock:
                threads = list(self._threads)
            if not threads:
                break
            for thread in threads:
                thread.join(0.1)  # one that was just connecting is cut in the next turn
        self._listener.close()

    def cut(self) -> None:
        """Ends all connections now; new ones are carried."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.abort()

    @property
    def up(self) -> int:
        """Bytes that were given to the server's kernel."""
        return self._up.count

    @property
    def down(self) -> int:
        """Bytes that were given to the client's kernel."""
        return self._down.count

    def at(self, up: int, action: Callable[[], None]) -> None:
        """Calls `action` once, from a thread, as soon as `up` bytes have passed; at once if they have."""
        self._up.at(up, action)

    def at_down(self, down: int, action: Callable[[], None]) -> None:
        """As `at`, for the bytes that came back."""
        self._down.at(down, action)

    # ── threads ───────────────────────────────────────────────────────────────────────────────────

    def _start(self, run: Callable[[], None]) -> None:
        def leave() -> None:
            try:
                run()
            finally:
                with self._lock:
                    self._threads.discard(thread)

        thread = threading.Thread(target=leave, daemon=True)
        with self._lock:  # who sees it can join it
            self._threads.add(thread)
            thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._start(lambda client=client: self._connect(client))  # type: ignore[misc]  # mypy: no lambda defaults

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target)
        except OSError:
            _make_reset(client)
            client.close()
            return
        connection = _Connection(client, server)
        with self._lock:
            self._connections.add(connection)
        path = _Path(self._delay, self._room, connection.abort)
        ways = (
            _Way(client, server, path, 2 * self._delay, self._pace, self._up.add),
            _Way(server, client, path, 0.0, self._back_pace, self._down.add),
        )
        connection.ways = ways
        tasks = [way.read for way in ways] + ([way.deliver for way in ways] if self._delay else [])
        connection.open = len(tasks)
        for task in tasks:
            self._start(lambda task=task: self._run(connection, task))  # type: ignore[misc]  # mypy: no lambda defaults

    def _run(self, connection: _Connection, task: Callable[[], None]) -> None:
        task()
        if connection.leave():
            with self._lock:
                self._connections.discard(connection)


class _Counter:
    """How many bytes went one way, and what is to happen at how many."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()
        self._alarms: list[tuple[int, Callable[[], None]]] = []

    def add(self, count: int) -> None:
        with self._lock:
            self.count += count
            due = [alarm for alarm in self._alarms if alarm[0] <= self.count]
            for alarm in due:
                self._alarms.remove(alarm)
        for _, action in due:
            action()

    def at(self, count: int, action: Callable[[], None]) -> None:
        with self._lock:
            if self.count < count:
                self._alarms.append((count, action))
                return
        action()


class _Pace:
    """The line's time, which all connections share."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self.piece = min(_PIECE, max(1024, int(rate * _TURN)))
        self._free = 0.0
        self._lock = threading.Lock()

    def through(self, count: int) -> float:
        """When the last of `count` bytes will be on the line."""
        with self._lock:
            self._free = max(self._free, time.monotonic() - _SLACK) + count / self._rate
            return self._free


class _Connection:
    """Two sockets and the threads that serve them; the last to leave closes."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._sockets = (client, server)
        self._lock = threading.Lock()
        self.ways: tuple[_Way, ...] = ()
        self.open = 0
        for each in self._sockets:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def abort(self) -> None:
        """Wakes every thread of it with an end or an error; the close then resets."""
        with self._lock:
            for each in self._sockets:
                with suppress(OSError):  # closed
                    _make_reset(each)
                    each.shutdown(socket.SHUT_RDWR)
        for way in self.ways:
            way.drop()

    def leave(self) -> bool:
        """One thread less. True for the last one."""
        with self._lock:
            self.open -= 1
            if self.open == 0:
                for each in self._sockets:
                    each.close()
            return self.open == 0


@dataclass(frozen=True, slots=True)
class _Path:
    """How long it is, how many bytes of one direction it holds, and what a reset at its far end does."""

    delay: float
    room: int
    reset: Callable[[], None]


class _Way:
    """One direction of one connection. On a long path `read` and `deliver` run beside each other, else `read` alone.

    Its end is an empty piece, a reset is None. A sink that takes nothing any more ends the way silently: whoever
    reads from that socket learns the same, behind what was still to be read.
    """

    def __init__(
        self,
        source: socket.socket,
        sink: socket.socket,
        path: _Path,
        handshake: float,
        pace: _Pace | None,
        count: Callable[[int], None],
    ) -> None:
        self._source, self._sink, self._path, self._handshake = source, sink, path, handshake
        self._pace, self._count = pace, count
        self._piece = pace.piece if pace else _PIECE
        self._under_way: deque[tuple[float, bytes | None]] = deque()
        self._bytes = 0
        self._dropped = False
        self._changed = threading.Condition()

    def read(self) -> None:
        """Takes bytes until their end, at the line's pace."""
        opened = time.monotonic() + self._handshake
        piece: bytes | None = b"-"
        while piece and not self._dropped:
            try:
                piece = self._source.recv(self._piece)
            except OSError:
                piece = None
            arrived = time.monotonic()
            # The slack makes up for late timers; it lets no byte arrive before it came.
            left = max(self._pace.through(len(piece)), arrived) if self._pace and piece else arrived
            _wait_until(left)
            if self._path.delay:
                self._put(max(left, opened) + self._path.delay, piece)
            else:
                self._give(piece)

    def deliver(self) -> None:
        """Gives each piece at its time."""
        piece: bytes | None = b"-"
        while piece and not self._dropped:
            with self._changed:
                self._changed.wait_for(lambda: self._under_way)
                due, piece = self._under_way.popleft()
                self._bytes -= len(piece or b"")
                self._changed.notify_all()
            _wait_until(due)
            if not self._dropped:
                self._give(piece)

    def drop(self) -> None:
        """Forgets what is under way, and ends."""
        with self._changed:
            self._dropped = True
            self._under_way.append((0.0, None))  # whoever waits for a piece has one
            self._changed.notify_all()

    def _put(self, due: float, piece: bytes | None) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._bytes < self._path.room or self._dropped)
            self._under_way.append((due, piece))
            self._bytes += len(piece or b"")
            self._changed.notify_all()

    def _give(self, piece: bytes | None) -> None:
        if piece is None:
            self._path.reset()
            return
        try:
            if not piece:
                self._sink.shutdown(socket.SHUT_WR)
            rest = memoryview(piece)
            while rest:
                sent = self._sink.send(rest)
                self._count(sent)
                rest = rest[sent:]
        except OSError:
            self.drop()


def _make_reset(connection: socket.socket) -> None:
    """Has the socket's close send a reset and drop what is unsent."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _wait_until(due: float) -> None:
    if (left := due - time.monotonic()) > 0:
        time.sleep(left)
