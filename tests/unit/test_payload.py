"""Bodies on the line: from the file by the kernel, early answers, cuts, and files that change meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp.client_proto import ResponseHandler

from registry_push.content.base import BlobBody
from registry_push.content.body import BytesBody, FileBody
from registry_push.content.hashing import Hasher, RunningHash
from registry_push.errors import BlobCorrupt, ConnectionLost, SourceChanged, TimedOut, Unavailable
from registry_push.http.body.payload import SpanPayload
from registry_push.http.body.thread_sender import ThreadSender
from registry_push.http.response import Response
from registry_push.model import Digest
from registry_push.protocol.bandwidth import Bandwidth
from registry_push.protocol.upload.chunks import Span
from registry_push.registry.client import Client
from tests.support.scripted import Says, Scripted, Seen, opened

# More than all socket buffers on the way hold, so that what was not sent stays unsent.
BIG = 64 * 1024 * 1024


@pytest.fixture
async def big(tmp_path: Path) -> AsyncIterator[FileBody]:
    """A file of `BIG` bytes, most of them a hole."""
    path = tmp_path / "blob"
    path.write_bytes(os.urandom(4096))
    os.truncate(path, BIG)
    body = FileBody(io.FileIO(path))
    yield body
    await body.close()


# From a file by the kernel, from a file by threads that hash it too, and what is no file.
WAYS = ("kernel", "threads", "pieces")
HASHER = Hasher()


def _payload(
    body: BlobBody,
    span: Span | None = None,
    *,
    stall: float = 60,
    on_sent: Callable[[int], None] = lambda _: None,
    way: str = "kernel",
    running: RunningHash | None = None,
) -> SpanPayload:
    hashing = (HASHER, running or RunningHash()) if way == "threads" else ()
    return SpanPayload(body, span or Span(0, body.size), *hashing, stall=stall, on_sent=on_sent)


async def _put(client: Client, payload: SpanPayload) -> Response:
    length = payload.size
    return await client.transport.send("PUT", client.url("/up"), {"Content-Length": str(length)}, payload)


@pytest.mark.parametrize("way", ["kernel", "threads"])
@pytest.mark.parametrize("span", [Span(0, BIG), Span(1000, 9_000_000), Span(BIG - 5, BIG), Span(7, 9)])
async def test_a_span_of_a_file_arrives_as_it_is(big: FileBody, span: Span, way: str) -> None:
    told: list[int] = []
    async with Scripted() as server, opened(server.origin) as client:
        server.on("PUT", "/up", Says(201))
        payload = _payload(big, span, on_sent=told.append, way=way)
        assert (await _put(client, payload)).status == 201
        content = os.pread(big.file.fileno(), span.length, span.start)
        assert hashlib.sha256(server.seen[0].body).digest() == hashlib.sha256(content).digest()
        assert told == sorted(set(told))
        assert payload.sent == span.length
        if way == "kernel":  # the answer may be here before the thread's last turn is heard of
            assert told[-1] == span.length
        assert payload.complete


async def test_what_threads_send_is_what_they_hash(big: FileBody) -> None:
    running, spans = RunningHash(), (Span(0, 20_000_000), Span(20_000_000, BIG))
    async with Scripted() as server, opened(server.origin) as client:
        server.on("PUT", "/up", Says(202))
        for span in spans:
            payload = _payload(big, span, way="threads", running=running)
            assert (await _put(client, payload)).status == 202
            assert (payload.sent, running.offset) == (span.length, span.stop)
        assert running.digest == Digest.of(b"".join(seen.body for seen in server.seen))


@pytest.mark.parametrize("way", ["threads", "pieces"])
@pytest.mark.parametrize("size", [2, 3_000_000])
async def test_the_last_bytes_wait_for_the_check(tmp_path: Path, way: str, size: int) -> None:
    content, running = os.urandom(size), RunningHash()
    (tmp_path / "blob").write_bytes(content)
    file = FileBody(io.FileIO(tmp_path / "blob"))
    body = file if way == "threads" else BytesBody(content)
    seen: list[int] = []

    def check() -> None:
        seen.append(running.offset)
        raise BlobCorrupt("not the blob")

    async with Scripted() as server, opened(server.origin) as client:
        server.on("PUT", "/up", Says(201))
        payload = SpanPayload(body, Span(0, size), HASHER, running, stall=60, on_sent=lambda _: None, check=check)
        with pytest.raises(BlobCorrupt, match="not the blob"):
            await _put(client, payload)
        assert seen == [size], "all of it was hashed by then"
        assert payload.sent < size
        assert all(each.received < size for each in server.seen)
    await file.close()


async def test_a_disk_that_cannot_read_is_said_by_the_threads(big: FileBody, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", broken)
    async with Scripted() as server, opened(server.origin) as client:
        server.on("PUT", "/up", Says(201))
        with pytest.raises(BlobCorrupt, match="Input/output error"):
            await _put(client, _payload(big, way="threads"))


async def test_a_body_that_is_no_file_arrives_as_it_is() -> None:
    content = os.urandom(3_000_000)
    async with Scripted() as server, opened(server.origin) as client:
        server.on("PUT", "/up", Says(201))
        assert (await _put(client, _payload(BytesBody(content), Span(10, 2_900_000)))).status == 201
        assert server.seen[0].body == content[10:2_900_000]


@pytest.mark.parametrize("way", ["kernel", "threads"])
async def test_bodies_follow_each_other_on_one_connection(big: FileBody, way: str) -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("PUT", "/up", Says(202))
        for number in range(60):
            span = Span(number * 1000, (number + 1) * 1000)
            assert (await _put(client, _payload(big, span, way=way))).status == 202
        assert server.connections == 1


async def test_an_answer_that_beats_the_news_of_the_last_turn_leaves_the_connection_good(
    big: FileBody, monkeypatch: pytest.MonkeyPatch
) -> None:
    # aiohttp starts to wait for the answer when the body has ended: here that is behind the answer, on a connection
    # that is idle by then, or has another body on it.
    carry = ThreadSender._carry

    def slow(self: ThreadSender) -> None:
        carry(self)
        time.sleep(0.05)

    monkeypatch.setattr(ThreadSender, "_carry", slow)
    async with Scripted() as server, opened(server.origin, timeout=1) as client:
        server.on("PUT", "/up", Says(202))
        assert (await _put(client, _payload(big, Span(0, 1000), way="threads"))).status == 202
        await asyncio.sleep(1.2)
        assert (await _put(client, _payload(big, Span(0, 1000)))).status == 202
        assert server.connections == 1


@pytest.mark.parametrize("next_takes", ["a second of rest", "a body of two seconds"])
async def test_an_answer_that_comes_with_the_news_of_the_bodys_end_leaves_the_connection_good(
    big: FileBody, monkeypatch: pytest.MonkeyPatch, next_takes: str
) -> None:
    # Both are heard of in one turn of the loop, the news first: nobody cancels the writer, and aiohttp starts to wait.
    held: list[asyncio.Future[None]] = []
    early: list[tuple[ResponseHandler, bytes]] = []
    run, received = ThreadSender._run, ResponseHandler.data_received

    async def held_back(self: ThreadSender) -> None:
        await run(self)
        held.append(asyncio.get_running_loop().create_future())
        for connection, data in early:  # the answer was here before the news: it waits for it
            asyncio.get_running_loop().call_soon(both, connection, data)
        await held[0]

    def both(connection: ResponseHandler, data: bytes) -> None:
        held[0].set_result(None)
        received(connection, data)

    def received_with_it(self: ResponseHandler, data: bytes) -> None:
        if held:
            both(self, data)
        else:
            early.append((self, data))

    async with Scripted() as server, opened(server.origin, timeout=1) as client:
        server.on("PUT", "/up", Says(202))
        with monkeypatch.context() as patched:
            patched.setattr(ThreadSender, "_run", held_back)
            patched.setattr(ResponseHandler, "data_received", received_with_it)
            assert (await _put(client, _payload(big, Span(0, 1000), way="threads"))).status == 202
        if next_takes == "a second of rest":
            await asyncio.sleep(1.2)
            payload = _payload(big, Span(0, 1000))
        else:
            payload = SpanPayload(big, Span(0, 12_000), stall=60, on_sent=lambda _: None, bandwidth=Bandwidth(6000))
        assert (await _put(client, payload)).status == 202
        assert server.connections == 1


@pytest.mark.parametrize("way", WAYS)
async def test_an_early_413_is_seen_and_stops_the_body(big: FileBody, way: str) -> None:
    # `loop.sendfile` takes the reader out of the loop: with it nothing was read until the last byte was sent.
    body = BytesBody(bytes(BIG)) if way == "pieces" else big
    async with Scripted() as server, opened(server.origin) as client:
        server.on("PUT", "/up", Says(413, body=b"too large", early=True), Says(201))
        payload = _payload(body, way=way)
        response = await _put(client, payload)
        assert (response.status, response.body) == (413, b"too large")
        assert not payload.complete
        assert (await _put(client, _payload(big, Span(0, 10)))).status == 201
        assert server.connections == 2, "the first one had half a body on it"
        assert server.seen[0].received < BIG


@pytest.mark.parametrize("way", WAYS)
async def test_an_early_413_before_the_line_is_cut_is_seen(big: FileBody, way: str) -> None:
    # nginx and Go: the answer, then a reset under what we still send.
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        await writer.drain()
        writer.close()  # with bytes unread this is a reset

    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, opened(f"http://127.0.0.1:{port}") as client:
        payload = _payload(BytesBody(bytes(BIG)) if way == "pieces" else big, way=way)
        response = await _put(client, payload)
        assert (response.status, response.body) == (413, b"no")
        assert not payload.complete


async def test_an_early_413_is_seen_though_the_server_reads_no_more(big: FileBody) -> None:
    # Who waits for room in the socket must read meanwhile.
    async with Scripted() as server, opened(server.origin) as client:
        server.on("PUT", "/up", Says(413, deaf=True))
        assert (await _put(client, _payload(big, stall=1))).status == 413


async def test_an_answer_is_waited_for_though_the_line_takes_no_more(
    big: FileBody, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(os, "sendfile", broken)
    async with Scripted() as server, opened(server.origin) as client:
        server.on("PUT", "/up", Says(413, early=True))
        assert (await _put(client, _payload(big))).status == 413


@pytest.mark.parametrize("way", WAYS)
async def test_a_line_that_takes_nothing_times_out(big: FileBody, way: str) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # typeshed knows the base class only
        await closing.wait()
        writer.transport.abort()

    closing = asyncio.Event()
    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, opened(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(TimedOut):
            await _put(client, _payload(BytesBody(bytes(BIG)) if way == "pieces" else big, stall=0.2, way=way))
        closing.set()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", [0, 1, 1_000_000])
async def test_a_line_that_is_cut_in_the_body_is_lost(big: FileBody, at: int, way: str) -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("PUT", "/up", Says(cut_request_at=at))
        payload = _payload(BytesBody(bytes(BIG)) if way == "pieces" else big, way=way)
        with pytest.raises(ConnectionLost) as caught:
            await _put(client, payload)
        assert caught.value.exit_code == 6
        assert not payload.complete
        assert len(server.seen) == 1


@pytest.mark.parametrize("way", ["kernel", "threads"])
async def test_a_file_that_was_cut_short_is_a_changed_source(big: FileBody, tmp_path: Path, way: str) -> None:
    os.truncate(tmp_path / "blob", 3_000_000)
    async with Scripted() as server, opened(server.origin) as client:
        server.on("PUT", "/up", Says(201))
        with pytest.raises(SourceChanged) as caught:
            await _put(client, _payload(big, way=way))
        assert caught.value.exit_code == 7


@pytest.mark.parametrize("way", ["kernel", "threads"])
async def test_a_file_that_is_cut_short_while_it_is_sent_is_a_changed_source(
    big: FileBody, tmp_path: Path, way: str
) -> None:
    def cut(_: int) -> None:
        os.truncate(tmp_path / "blob", 1_000_000)

    async with Scripted() as server, opened(server.origin) as client:
        server.on("PUT", "/up", Says(201))
        with pytest.raises(SourceChanged):
            await _put(client, _payload(big, on_sent=cut, way=way))
        assert all(seen.received < BIG for seen in server.seen)


async def test_a_body_that_ends_early_is_never_taken_for_whole() -> None:
    class Short(BytesBody):
        async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
            yield b"x" * (length - 1)
            raise BlobCorrupt("one byte is missing")

    async with Scripted() as server, opened(server.origin) as client:
        server.on("PUT", "/up", Says(201))
        with pytest.raises(BlobCorrupt, match="one byte"):
            await _put(client, _payload(Short(b"y" * 100)))
        assert not any(seen.received for seen in server.seen), "the server never had the whole body"


async def test_a_source_that_loses_its_own_line_says_so_itself() -> None:
    class Lost(BytesBody):
        async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
            yield b"x"
            raise ConnectionLost("the other registry is gone")

    async with Scripted() as server, opened(server.origin) as client:
        server.on("PUT", "/up", Says(201))
        with pytest.raises(Unavailable, match="the other registry"):
            await _put(client, _payload(Lost(b"y" * 100)))


@pytest.mark.parametrize("way", ["kernel", "threads"])
async def test_a_cancelled_body_leaves_the_file_usable(big: FileBody, way: str) -> None:
    half_way = asyncio.Event()

    def sent(_: int) -> None:
        half_way.set()

    async with Scripted() as server, opened(server.origin) as client:
        never = asyncio.Event()
        server.on("PUT", "/up", lambda _: Says(201, after=never))
        task = asyncio.create_task(_put(client, _payload(big, on_sent=sent, way=way)))
        await half_way.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        def stored(seen: Seen) -> Says:
            return Says(201 if len(seen.body) == 10 else 400)

        server.on("PUT", "/up", stored)
        assert (await _put(client, _payload(big, Span(0, 10)))).status == 201
