"""Bodies, hashing and spools on real files."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_push.content.base import LocalFile
from registry_push.content.body import PIECE, BytesBody, FileBody, opened
from registry_push.content.hashing import Hasher, RunningHash
from registry_push.content.spool import Spool
from registry_push.errors import BlobCorrupt, SourceChanged
from registry_push.model import Digest

CONTENT = bytes(range(251)) * 12_000  # about three pieces, and not a multiple of one


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "blob"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
async def body(path: Path) -> AsyncIterator[FileBody]:
    body = FileBody(path.open("rb", buffering=0), name=str(path))
    yield body
    await body.close()


@pytest.fixture
async def hasher() -> AsyncIterator[Hasher]:
    hasher = Hasher()
    yield hasher
    hasher.close()


async def pieces(body: FileBody | BytesBody, offset: int, length: int) -> list[bytes]:
    return [piece async for piece in body.open(offset, length)]


async def test_file_reads_again_from_anywhere_in_pieces(body: FileBody) -> None:
    assert isinstance(body, LocalFile)
    assert body.size == len(CONTENT)
    for _ in range(2):
        read = await pieces(body, 7, len(CONTENT) - 9)
        assert b"".join(read) == CONTENT[7:-2]
        assert max(map(len, read)) == PIECE
    assert body.file.tell() == 0


async def test_two_readers_do_not_disturb_each_other(body: FileBody) -> None:
    first, second = await asyncio.gather(pieces(body, 0, body.size), pieces(body, 1000, 2_000_000))
    assert (b"".join(first), b"".join(second)) == (CONTENT, CONTENT[1000:2_001_000])


@pytest.mark.parametrize(("offset", "length"), [(0, len(CONTENT) + 1), (len(CONTENT), 1), (-1, 1), (5, -1)])
async def test_bytes_that_were_never_there(body: FileBody, offset: int, length: int) -> None:
    for each in (body, BytesBody(CONTENT)):
        with pytest.raises(BlobCorrupt):
            await pieces(each, offset, length)


async def test_file_that_shrinks_while_it_is_read(body: FileBody, path: Path) -> None:
    with pytest.raises(SourceChanged, match="shorter"):
        async for _ in body.open(0, body.size):
            os.truncate(path, 100)


async def test_file_that_grows(body: FileBody, path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(SourceChanged):
        body.check_size()
    with pytest.raises(SourceChanged):
        await pieces(body, 0, 10)


async def test_new_time_is_a_new_version_and_no_error(body: FileBody, path: Path) -> None:
    before = body.identity
    assert before == body.identity
    os.utime(path, ns=(before.modified, before.modified + 1))
    assert (body.identity.size, body.identity.modified) == (len(CONTENT), before.modified + 1)
    body.check_size()
    assert len(await pieces(body, 0, 10)) == 1


async def test_disk_that_cannot_read(body: FileBody, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    with pytest.raises(BlobCorrupt, match="Input/output error"):
        await pieces(body, 0, 10)


async def test_bytes_come_in_pieces() -> None:
    assert list(map(len, await pieces(BytesBody(CONTENT), 0, len(CONTENT)))) == [
        PIECE,
        PIECE,
        len(CONTENT) - 2 * PIECE,
    ]


# ── hashing ───────────────────────────────────────────────────────────────────────────────────────


async def test_hash_of_a_file_and_of_bytes(hasher: Hasher, body: FileBody) -> None:
    assert await hasher.sha256(body) == Digest.of(CONTENT)
    assert await hasher.sha256(BytesBody(CONTENT)) == Digest.of(CONTENT)
    assert await hasher.sha256(BytesBody(b"")) == Digest.of(b"")
    assert body.file.tell() == 0


@given(
    content=st.binary(min_size=1, max_size=300),
    cuts=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 100)), max_size=40),
    ends=st.lists(st.integers(1, 300), max_size=4),
)
def test_a_running_hash_takes_what_comes_next_whatever_it_is_shown(
    content: bytes, cuts: list[tuple[int, int]], ends: list[int]
) -> None:
    parts = sorted({end for end in ends if end < len(content)} | {len(content)})
    running = RunningHash(parts)
    for start, length in [*cuts, (0, len(content))]:
        before = running.offset
        piece = content[start : start + length]
        running.take(start, memoryview(piece))
        follows = start <= before < start + len(piece)
        assert running.offset == (start + len(piece) if follows else before)
    assert running.digest == Digest.of(content)
    spans = zip([0, *parts], parts, strict=False)
    assert running.md5s == tuple(hashlib.md5(content[start:stop]).digest() for start, stop in spans)


async def test_pieces_are_hashed_in_their_order_while_they_are_given(hasher: Hasher, body: FileBody) -> None:
    running = RunningHash()
    given = b"".join([bytes(piece) async for piece in hasher.pieces(body, 0, len(CONTENT), running, at_once=PIECE)])
    assert given == CONTENT
    assert running.digest == Digest.of(CONTENT)


async def test_whole_files_that_are_hashed_leave_others_their_turn(
    hasher: Hasher, body: FileBody, tmp_path: Path
) -> None:
    # As many as there can be threads, and each much longer than a turn.
    longs = []
    for number in range(4):
        (tmp_path / f"long{number}").touch()
        os.truncate(tmp_path / f"long{number}", 512 * 1024 * 1024)
        longs.append(FileBody((tmp_path / f"long{number}").open("rb", buffering=0)))
    hashes = [RunningHash() for _ in longs]
    work = [asyncio.create_task(hasher.finish(long, running)) for long, running in zip(longs, hashes, strict=True)]
    while not all(running.offset for running in hashes):
        await asyncio.sleep(0)
    assert len([piece async for piece in hasher.pieces(body, 0, 1000, None, at_once=PIECE)]) == 1
    assert all(running.offset < long.size for running, long in zip(hashes, longs, strict=True))
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    for long in longs:
        await long.close()


async def test_a_turn_that_fails_behind_its_caller_is_no_noise(hasher: Hasher, path: Path) -> None:
    go_on, closed = threading.Event(), threading.Event()
    descriptor = os.open(path, os.O_RDONLY)
    turns = hasher.turns(descriptor)
    os.close(descriptor)

    def work() -> None:
        go_on.wait()
        assert os.fstat(turns.own[0]).st_size == len(CONTENT), "its own, whatever became of the other"
        closed.set()
        raise OSError(5, "nobody waits for this")

    task = asyncio.create_task(turns.take(work))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    turns.close()
    assert turns.is_over
    go_on.set()
    await asyncio.to_thread(closed.wait)
    while True:
        try:
            os.fstat(turns.own[0])
        except OSError:
            break
        await asyncio.sleep(0)


async def test_pieces_that_nobody_takes_any_more_leave_nothing_behind(hasher: Hasher, body: FileBody) -> None:
    pieces = hasher.pieces(body, 0, len(CONTENT), None, at_once=1000)
    assert bytes(await anext(pieces)) == CONTENT[:1000]
    await pieces.aclose()


async def test_hash_of_an_empty_file(hasher: Hasher, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    body = FileBody((tmp_path / "empty").open("rb", buffering=0))
    assert await hasher.sha256(body) == Digest.of(b"")
    await body.close()


async def test_hash_of_a_file_that_became_shorter(hasher: Hasher, body: FileBody, path: Path) -> None:
    os.truncate(path, 100)
    with pytest.raises(SourceChanged, match="shorter"):
        await hasher.sha256(body)


async def test_hash_of_a_file_that_grew(hasher: Hasher, body: FileBody, path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(SourceChanged):
        await hasher.sha256(body)


async def test_cancelled_hash_stops_within_a_piece(
    hasher: Hasher, body: FileBody, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on = threading.Event(), threading.Event()
    closed = threading.Event()
    reads = 0
    really_read, really_close = os.preadv, os.close

    def preadv(*arguments: object) -> int:
        nonlocal reads
        reads += 1
        reading.set()
        go_on.wait()
        return really_read(*arguments)  # type: ignore[arg-type]

    def close(descriptor: int) -> None:
        really_close(descriptor)
        if go_on.is_set():  # its own, behind the thread's turn
            closed.set()

    monkeypatch.setattr(os, "preadv", preadv)
    monkeypatch.setattr(os, "close", close)
    work = asyncio.create_task(hasher.sha256(body))
    await asyncio.to_thread(reading.wait)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    await body.close()  # the thread has a descriptor of its own
    go_on.set()
    await asyncio.to_thread(closed.wait)
    assert reads == 1


# ── spools ────────────────────────────────────────────────────────────────────────────────────────


def test_spool_becomes_a_file_in_one_step(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert not list(tmp_path.iterdir())
    spool.write(b"hello ")
    spool.write(b"world")
    assert (spool.size, spool.digest) == (11, Digest.of(b"hello world"))
    spool.commit(tmp_path / "blob")
    spool.discard()
    assert [entry.name for entry in tmp_path.iterdir()] == ["blob"]
    assert (tmp_path / "blob").read_bytes() == b"hello world"


def test_spool_without_content(tmp_path: Path) -> None:
    Spool(tmp_path).commit(tmp_path / "blob")
    assert (tmp_path / "blob").read_bytes() == b""


def test_spool_that_is_discarded_leaves_nothing_and_takes_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.write(b"hello")
    spool.discard()
    spool.write(b"late")
    spool.commit(tmp_path / "blob")
    assert not list(tmp_path.iterdir())


def test_spool_that_cannot_get_its_name_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.write(b"hello")
    with pytest.raises(OSError, match="No such file"):
        spool.commit(tmp_path / "absent" / "blob")
    assert not list(tmp_path.iterdir())


def test_spool_goes_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.write(b"hello ")
    mark = spool.mark()
    for _ in range(2):
        spool.write(b"longer and wrong")
        spool.rewind(mark)
    spool.write(b"world")
    spool.commit(tmp_path / "blob")
    assert spool.digest.hex == hashlib.sha256((tmp_path / "blob").read_bytes()).hexdigest()
    assert (tmp_path / "blob").read_bytes() == b"hello world"


@pytest.mark.parametrize("when", ["before it is open", "after it is open"])
async def test_cancelled_opening_leaves_no_file_open(tmp_path: Path, when: str) -> None:
    (tmp_path / "blob").touch()
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()
    files: list[io.FileIO] = []

    def slowly() -> io.FileIO:
        begun.set()
        if when == "before it is open":
            go_on.wait()
        files.append(io.FileIO(tmp_path / "blob"))
        done.set()
        return files[0]

    task = asyncio.create_task(opened(slowly))
    await asyncio.to_thread(begun.wait)
    if when == "after it is open":
        await asyncio.to_thread(done.wait)
    task.cancel()
    await asyncio.wait([task])
    go_on.set()
    if task.cancelled():
        await asyncio.to_thread(done.wait)
        while not files[0].closed:
            await asyncio.sleep(0)
    else:  # it was open before the cancellation came
        task.result().close()
