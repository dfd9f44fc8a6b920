"""Content that threads take off the line: it is exact, lines are used again, and what breaks is gone on with."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from registry_push.content.blocks import blocks_of
from registry_push.content.hashing import Hasher
from registry_push.content.pouring import pour_blocks
from registry_push.errors import SourceUnavailable, TimedOut
from registry_push.http.body.socket_reader import SocketReader
from registry_push.model import Descriptor, Digest
from registry_push.registry.repository import Repository
from registry_push.settings import Settings
from tests.support.hosts import repository_at
from tests.support.scripted import NOWHERE, Says, Scripted, Seen, opened

# More than what comes with the headers, than one turn of a thread, and than what kernels hold on the way.
CONTENT = os.urandom(1024 * 1024) * 20
BLOB = Descriptor("application/vnd.ollama.image.model", Digest.of(CONTENT), len(CONTENT))
PATH = f"/v2/a/b/blobs/{BLOB.digest}"
WHOLE = Says(200, body=CONTENT)


@asynccontextmanager
async def _repository(server: Scripted, *, retries: int = 0) -> AsyncIterator[Repository]:
    settings, hasher = Settings(home=NOWHERE, retries=retries), Hasher()
    async with opened(server.origin, retries=retries) as client:
        yield repository_at(client, "a/b", settings, hasher)
    hasher.close()


def _from(seen: Seen) -> int:
    return int(seen.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))


def _ranged(seen: Seen) -> Says:
    start = _from(seen)
    rest = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
    return Says(206, (("Content-Range", rest),), CONTENT[start:]) if start else WHOLE


async def _poured(repository: Repository, *lengths: int) -> bytes:
    """The blob, in parts of so many bytes."""
    body, content = await repository.open(BLOB), bytearray()

    def write(pieces: Sequence[bytes | memoryview]) -> None:
        content.extend(b"".join(pieces))

    try:
        for length in lengths or (len(CONTENT),):
            blocks = blocks_of(body, len(content), length)
            assert blocks is not None, "what is not encrypted has blocks"
            await pour_blocks(blocks, length, write)
    finally:
        await body.close()
    return bytes(content)


async def test_what_is_taken_is_the_content_and_its_line_is_used_again() -> None:
    async with Scripted() as server:
        server.on("GET", PATH, WHOLE)
        async with _repository(server) as repository:
            assert [await _poured(repository) == CONTENT for _ in range(3)] == [True, True, True]
        assert (len(server.seen), server.connections) == (3, 1)


async def test_parts_that_follow_each_other_take_one_answer() -> None:
    async with Scripted() as server:
        server.on("GET", PATH, WHOLE)
        async with _repository(server) as repository:
            assert await _poured(repository, 1, 5_000_000, len(CONTENT) - 5_000_001) == CONTENT
        assert len(server.seen) == 1


async def test_what_is_left_of_an_earlier_answer_on_the_line_takes_nothing_of_the_next() -> None:
    """Its connection is free when it has come, and the loop went on reading when it was read: bytes were lost."""
    earlier = os.urandom(390_000)  # more than the loop reads at once
    blob = Descriptor(BLOB.media_type, Digest.of(earlier), len(earlier))
    async with Scripted() as server:
        server.on("GET", PATH, WHOLE)
        server.on("GET", f"/v2/a/b/blobs/{blob.digest}", Says(200, body=earlier))
        async with _repository(server) as repository:
            first, second = await repository.open(blob), await repository.open(BLOB)
            pieces, content = first.open(0, len(earlier)), bytearray()
            begin = await anext(pieces)
            assert len(begin) < len(earlier)
            session = repository.client.transport._session
            assert session is not None and session.connector is not None
            while not session.connector._conns:  # the rest has come, and the connection waits for another request
                await asyncio.sleep(0.001)

            def write(pieces: Sequence[bytes | memoryview]) -> None:
                content.extend(b"".join(pieces))

            async def pour(length: int) -> None:
                blocks = blocks_of(second, len(content), length)
                assert blocks is not None
                await pour_blocks(blocks, length, write)

            await pour(1_500_000)
            rest = b"".join([piece async for piece in pieces])
            await asyncio.sleep(0.05)  # time for the loop to read what it should not
            await pour(len(CONTENT) - 1_500_000)
            assert (begin + rest, bytes(content)) == (earlier, CONTENT)
            for body in (first, second):
                await body.close()
        assert server.connections == 1


async def test_a_part_is_taken_by_threads_and_the_next_by_the_loop() -> None:
    async with Scripted() as server:
        server.on("GET", PATH, WHOLE)
        async with _repository(server) as repository:
            body, head = await repository.open(BLOB), bytearray()
            blocks = blocks_of(body, 0, 3_000_000)
            assert blocks is not None
            await pour_blocks(blocks, 3_000_000, lambda pieces: head.extend(b"".join(pieces)))
            rest = b"".join([piece async for piece in body.open(3_000_000, len(CONTENT) - 3_000_000)])
            await body.close()
        assert bytes(head) + rest == CONTENT
        assert len(server.seen) == 1


async def test_an_answer_that_ends_early_is_gone_on_with_where_it_ended() -> None:
    async with Scripted() as server:
        server.on("GET", PATH, Says(200, body=CONTENT, cut_answer_at=9_000_001), _ranged)
        async with _repository(server, retries=1) as repository:
            assert await _poured(repository) == CONTENT
        assert [_from(seen) for seen in server.seen] == [0, 9_000_001]


async def test_without_another_try_it_is_the_source_that_fails() -> None:
    async with Scripted() as server:
        server.on("GET", PATH, Says(200, body=CONTENT, cut_answer_at=9_000_001))
        async with _repository(server) as repository:
            with pytest.raises(SourceUnavailable, match="11971519 bytes early"):
                await _poured(repository)


async def test_a_line_that_falls_silent_is_not_waited_for_without_end() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        reader = SocketReader(b"half", os.dup(ours.fileno()), 10, patience=0.01, netloc="there", over=lambda: None)
        await reader.ready()  # waits for nothing: on a busy machine 0.01 s would be over before it had looked
        assert bytes(reader.take(10)) == b"half"
        with pytest.raises(TimedOut, match="there sends nothing more of the content"):
            await reader.ready()
        reader.close()


async def test_an_answer_in_chunks_is_taken_too() -> None:
    chunk = f"{len(CONTENT):x}\r\n".encode() + CONTENT + b"\r\n0\r\n\r\n"
    head = b"HTTP/1.1 200 Said\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with Scripted() as server:
        server.on("GET", PATH, Says(raw=head + chunk))
        async with _repository(server) as repository:
            assert await _poured(repository) == CONTENT


async def test_what_follows_the_content_ends_the_connection() -> None:
    head = f"HTTP/1.1 200 Said\r\nContent-Length: {len(CONTENT)}\r\n\r\n".encode()
    async with Scripted() as server:
        server.on("GET", PATH, Says(raw=head + CONTENT + b"and more"), WHOLE)
        async with _repository(server) as repository:
            assert await _poured(repository) == CONTENT
            assert await _poured(repository) == CONTENT
        assert server.connections == 2


async def test_what_comes_later_on_a_resting_line_ends_it() -> None:
    head = f"HTTP/1.1 200 Said\r\nContent-Length: {len(CONTENT)}\r\n\r\n".encode()
    rests, ended, wrong = asyncio.Event(), asyncio.Event(), list[object]()

    async def say_more(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + CONTENT)
        await rests.wait()
        writer.write(b"and more")
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        ended.set()

    asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
    server = await asyncio.start_server(say_more, "127.0.0.1", 0)
    async with _repository(Scripted(_server=server)) as repository:
        assert await _poured(repository) == CONTENT
        rests.set()
        async with asyncio.timeout(20):  # one that rests undisturbed is closed after 45 seconds
            await ended.wait()
    server.close()
    assert wrong == []


async def test_all_is_hashed_in_its_order_when_it_ends() -> None:
    async with Scripted() as server:
        server.on("GET", PATH, WHOLE)
        async with _repository(server) as repository:
            body, hashed, is_written = await repository.open(BLOB), hashlib.sha256(), threading.Event()
            blocks, written, taken = blocks_of(body, 0, len(CONTENT)), 0, 0
            assert blocks is not None

            def write(pieces: Sequence[bytes | memoryview]) -> None:
                nonlocal written
                written += sum(map(len, pieces))
                if written == len(CONTENT):
                    is_written.set()

            def take(piece: memoryview) -> None:
                nonlocal taken
                taken += len(piece)
                if taken == len(CONTENT) and threading.current_thread().name == "hash-beside":
                    is_written.wait()  # the last piece is hashed after it is written, which takes a while
                    for _ in range(100):
                        hashlib.sha256(piece)
                hashed.update(piece)

            ends: list[tuple[int, str]] = []
            await pour_blocks(blocks, len(CONTENT), write, take, lambda: ends.append((written, hashed.hexdigest())))
            assert ends == [(len(CONTENT), BLOB.digest.hex)]
            await body.close()


async def test_a_write_that_fails_ends_it_though_pieces_wait_to_be_hashed() -> None:
    async with Scripted() as server:
        server.on("GET", PATH, WHOLE)
        async with _repository(server) as repository:
            body = await repository.open(BLOB)
            blocks = blocks_of(body, 0, len(CONTENT))
            assert blocks is not None

            def write(_: Sequence[bytes | memoryview]) -> None:
                raise OSError(errno.ENOSPC, "full")

            with pytest.raises(OSError, match="full"):
                await pour_blocks(blocks, len(CONTENT), write, hashlib.sha256().update)
            await body.close()
    assert not [each for each in threading.enumerate() if each.name == "hash-beside" and not _ends(each)]


def _ends(thread: threading.Thread) -> bool:
    thread.join(10)
    return not thread.is_alive()


@pytest.mark.parametrize("hashing", [None, hashlib.sha256().update], ids=["written only", "hashed too"])
async def test_a_cancelled_call_leaves_no_thread_that_writes(hashing: Callable[[memoryview], None] | None) -> None:
    async with Scripted() as server:
        server.on("GET", PATH, WHOLE)
        async with _repository(server) as repository:
            body, written = await repository.open(BLOB), 0
            blocks = blocks_of(body, 0, len(CONTENT))
            assert blocks is not None
            loop, begun = asyncio.get_running_loop(), asyncio.Event()

            def write(pieces: Sequence[bytes | memoryview]) -> None:
                nonlocal written
                written += sum(map(len, pieces))
                loop.call_soon_threadsafe(begun.set)

            pouring = asyncio.create_task(pour_blocks(blocks, len(CONTENT), write, hashing))
            await begun.wait()
            pouring.cancel()
            await asyncio.gather(pouring, return_exceptions=True)
            before = written
            assert len(blocks.take(1)) == 0, "it is closed"
            await body.close()
            assert written == before
