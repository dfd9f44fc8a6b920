"""The line that other tests and the benchmarks are measured on."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.support.line import Line
from tests.support.line_process import LineProcess

MB = 1_000_000
# Seconds that the line may make up for at once, and the first piece's share.
SLACK = 0.03

Serve = Callable[[socket.socket], None]


@contextmanager
def server(serve: Serve) -> Iterator[str]:
    """`127.0.0.1:<port>` of a server that gives each connection to `serve`, in a thread, and then closes it."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener, ThreadPoolExecutor(64) as pool:

        def one(connection: socket.socket) -> None:
            with connection:
                serve(connection)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                pool.submit(one, connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def connected(host: str) -> socket.socket:
    address, _, port = host.rpartition(":")
    return socket.create_connection((address, int(port)), timeout=20)


def everything(connection: socket.socket) -> bytes:
    pieces = []
    while piece := connection.recv(1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def digest(connection: socket.socket) -> None:
    """Reads to the end, and only then answers: the answer comes over a line that is half closed."""
    connection.sendall(hashlib.sha256(everything(connection)).digest())


def echo(connection: socket.socket) -> None:
    while piece := connection.recv(1 << 16):
        connection.sendall(piece)


def sent(host: str, content: bytes) -> bytes:
    with connected(host) as client:
        client.sendall(content)
        client.shutdown(socket.SHUT_WR)
        return everything(client)


@pytest.mark.parametrize("delay", [0.0, 0.003])
@pytest.mark.parametrize("rate", [None, 60 * MB])
def test_every_byte_arrives_in_its_place(rate: float | None, delay: float) -> None:
    contents = [os.urandom(size) for size in (0, 1, 70_001, 3 * MB, 3 * MB)]
    with (
        server(digest) as target,
        Line(target, rate=rate, delay=delay) as line,
        ThreadPoolExecutor(len(contents)) as pool,
    ):
        answers = list(pool.map(lambda content: sent(line.host, content), contents))
    assert answers == [hashlib.sha256(content).digest() for content in contents]
    assert line.up == sum(map(len, contents))
    assert line.down == 32 * len(contents)


@pytest.mark.parametrize("delay", [0.0, 0.05])
@pytest.mark.parametrize("connections", [1, 6])
def test_the_rate_is_that_of_all_connections_together(connections: int, delay: float) -> None:
    size, rate = 12 * MB, 40 * MB
    content = os.urandom(size // connections)
    with server(digest) as target, Line(target, rate=rate, delay=delay) as line, ThreadPoolExecutor(8) as pool:
        began = time.monotonic()
        list(pool.map(lambda _: sent(line.host, content), range(connections)))
        took = time.monotonic() - began
    # On a line whose bytes waited for each other the delay alone would take 12 MB / 128 KiB × 50 ms = 4.6 s more.
    assert size / rate - SLACK <= took < size / rate + 4 * delay + 2.0


@pytest.mark.parametrize("rate", [None, 125 * MB])
def test_a_long_line_takes_a_round_trip_for_an_answer_and_one_for_the_handshake(rate: float | None) -> None:
    delay = 0.02
    with server(echo) as target, Line(target, rate=rate, delay=delay) as line:
        began = time.monotonic()
        with connected(line.host) as client:
            client.sendall(b"one")
            assert client.recv(10) == b"one"
            first = time.monotonic() - began
            client.sendall(b"two")
            assert client.recv(10) == b"two"
            second = time.monotonic() - began - first
    assert 4 * delay <= first < 4 * delay + 2.0
    assert 2 * delay <= second < 2 * delay + 2.0


def test_bytes_that_a_dead_client_had_given_arrive_then_the_end() -> None:
    seen, over = bytearray(), threading.Event()

    def watch(connection: socket.socket) -> None:
        seen.extend(everything(connection))
        over.set()

    with server(watch) as target, Line(target, rate=10 * MB, delay=0.005) as line:
        with connected(line.host) as client:
            client.sendall(b"x" * MB)
        assert over.wait(20)
    assert len(seen) == MB


@pytest.mark.parametrize("delay", [0.0, 0.005])
def test_a_clients_reset_gets_to_the_server(delay: float) -> None:
    ended: list[BaseException | None] = []
    over = threading.Event()

    def watch(connection: socket.socket) -> None:
        connection.sendall(b"hello")
        try:
            everything(connection)
            connection.sendall(b"are you there?" * MB)
        except OSError as error:
            ended.append(error)
        over.set()

    with server(watch) as target, Line(target, delay=delay) as line:
        client = connected(line.host)
        client.recv(5)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        assert over.wait(20)
    assert len(ended) == 1


@pytest.mark.parametrize("delay", [0.0, 0.005])
def test_an_early_answer_is_not_torn_away_by_the_reset_behind_it(delay: float) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(10)
        connection.sendall(b"413")  # and closes with bytes unread, which resets

    with server(refuse) as target, Line(target, rate=20 * MB, delay=delay) as line, connected(line.host) as client:
        refused = threading.Event()

        def send() -> None:
            try:
                while True:
                    client.sendall(bytes(MB))
            except OSError:
                refused.set()

        thread = threading.Thread(target=send)
        thread.start()
        assert client.recv(3) == b"413"
        assert refused.wait(20)
        thread.join()


@pytest.mark.parametrize("delay", [0.0, 0.005])
def test_a_cut_ends_both_sides_at_once_and_the_line_goes_on(delay: float) -> None:
    over, halfway = threading.Event(), threading.Event()

    def watch(connection: socket.socket) -> None:
        try:
            while connection.recv(1 << 20):
                halfway.set()
        except OSError:
            pass
        over.set()

    with server(watch) as target, Line(target, rate=1 * MB, delay=delay) as line, connected(line.host) as client:
        client.sendall(bytes(100_000))
        assert halfway.wait(20)
        line.cut()
        assert over.wait(20)
        with pytest.raises(OSError):  # an end, then a reset
            while True:
                client.sendall(bytes(MB))
        over.clear()
        with connected(line.host) as another:
            another.sendall(b"x")
        assert over.wait(20)


def test_an_alarm_goes_off_where_it_was_set() -> None:
    heard: list[int] = []
    with server(digest) as target, Line(target, rate=50 * MB) as line:
        line.at(2 * MB, lambda: heard.append(line.up))
        sent(line.host, bytes(3 * MB))
        line.at(MB, lambda: heard.append(line.up))
    assert len(heard) == 2
    assert 2 * MB <= heard[0] <= 2 * MB + 128 * 1024
    assert heard[1] == 3 * MB


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        target = f"127.0.0.1:{gone.getsockname()[1]}"
    with Line(target) as line, pytest.raises(ConnectionResetError), connected(line.host) as client:
        client.recv(1)


def test_a_line_in_a_process_of_its_own() -> None:
    content = os.urandom(MB)
    with server(echo) as target, LineProcess(target, rate=50 * MB, delay=0.002) as line, connected(line.host) as client:
        client.sendall(content)
        client.shutdown(socket.SHUT_WR)
        assert everything(client) == content
        assert (line.up, line.down) == (MB, MB)
        with connected(line.host) as another:
            another.sendall(b"x")
            assert another.recv(1) == b"x"  # now it is on the line
            line.cut()
            with pytest.raises(OSError):
                while True:
                    another.sendall(bytes(MB))
