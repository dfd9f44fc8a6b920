"""Content on its way into an Ollama store: what a process that ends leaves of it, and what the next makes of that."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from registry_push.content.base import Placed
from registry_push.content.body import BytesBody
from registry_push.content.ollama.files import StoreFiles
from registry_push.content.ollama.fresh import FreshBlobs
from registry_push.content.ollama.partial import PartialBlob, remove_stale
from registry_push.content.ollama.target import OllamaTarget
from registry_push.errors import BlobCorrupt, ConnectionLost, Interrupted, Unavailable, Unwritable
from registry_push.events import Placement
from registry_push.model import Descriptor, Digest, ModelName

from ..support.bodies import CountedBody, HaltingBody
from ..support.layouts import BLOB, HELLO, described, manifest

# Several times what a thread writes at once.
BIG = bytes(range(256)) * 20_000 + b"and the rest"
BIG_BLOB = described(BIG)
DAY = 24 * 3600.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


def model(root: Path, **given: Any) -> OllamaTarget:
    return OllamaTarget(root, ModelName.parse("me/tiny"), **given)


def partial_of(root: Path) -> Path:
    return root / ".registry-push" / f"{BIG_BLOB.digest.path_name}.partial"


def left(root: Path, content: bytes | bytearray) -> Path:
    """What an earlier pull was killed with."""
    path = partial_of(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def stored(root: Path) -> bytes:
    return (root / "blobs" / BIG_BLOB.digest.path_name).read_bytes()


async def test_a_blob_that_comes_between_the_look_and_the_lock_is_taken_as_it_is(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = PartialBlob.claim

    def late(files: StoreFiles, blob: Descriptor) -> PartialBlob:
        partial = claim(files, blob)
        (root / "blobs" / blob.digest.path_name).write_bytes(BIG)
        return partial

    monkeypatch.setattr(PartialBlob, "claim", late)
    noted, body = Noted(root), CountedBody(BIG)
    assert await model(root, fresh=noted).put(BIG_BLOB, body) == Placed(Placement.PRESENT)
    assert (body.asked, noted.digests) == ([], [BIG_BLOB.digest])
    claim(StoreFiles(root), BIG_BLOB).close()  # raises if it were held still


class Noted(FreshBlobs):
    """Keeps what is noted."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.digests: list[Digest] = []

    def note(self, digest: Digest) -> None:
        self.digests.append(digest)


# ── resumed ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("until", [1, 1_000_000, 1_048_576, 5_000_000, len(BIG)])
async def test_what_came_before_the_line_broke_is_kept(root: Path, until: int) -> None:
    with pytest.raises(ConnectionLost):
        await model(root).put(BIG_BLOB, CountedBody(BIG, until=until))
    assert partial_of(root).read_bytes() == BIG[:until]
    assert not await model(root).exists(BIG_BLOB)
    body = CountedBody(BIG)
    assert await model(root).put(BIG_BLOB, body) == Placed(Placement.UPLOADED, len(BIG) - until)
    assert body.asked == ([(until, len(BIG) - until)] if until < len(BIG) else [])
    assert stored(root) == BIG
    assert list(partial_of(root).parent.iterdir()) == []


async def test_what_came_before_it_was_cancelled_is_kept(root: Path) -> None:
    body = HaltingBody(BIG, 3_000_000)
    putting = asyncio.create_task(model(root).put(BIG_BLOB, body))
    await body.halted.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert partial_of(root).read_bytes() == BIG[:3_000_000]


@pytest.mark.parametrize("is_silent", [False, True])
async def test_a_stop_keeps_all_that_has_come(root: Path, is_silent: bool) -> None:
    """At once, even if the source sends nothing more."""
    stop = asyncio.Event()
    body = HaltingBody(BIG, 3_000_000, stop.set)
    if not is_silent:
        body.go_on.set()
    with pytest.raises(Interrupted, match="is kept"):
        await model(root, stop=stop).put(BIG_BLOB, body)
    kept = partial_of(root).read_bytes()
    assert kept == (BIG[:3_000_000] if is_silent else BIG), "what is in memory already takes no time"


async def test_nothing_is_left_of_what_brought_no_byte(root: Path) -> None:
    with pytest.raises(ConnectionLost):
        await model(root).put(BIG_BLOB, CountedBody(BIG, until=0))
    assert list(partial_of(root).parent.iterdir()) == []


@pytest.mark.parametrize("bit", [0, 8_000_000, (len(BIG) - 13) * 8])
@pytest.mark.parametrize("has", [len(BIG) - 12, len(BIG)], ids=["most of it", "all of it"])
async def test_a_bit_that_flipped_on_the_disk_is_never_committed(root: Path, bit: int, has: int) -> None:
    content = bytearray(BIG[:has])
    content[bit // 8] ^= 1 << bit % 8
    left(root, content)
    body = CountedBody(BIG)
    placed = await model(root).put(BIG_BLOB, body)
    assert stored(root) == BIG
    assert body.asked[-1] == (0, len(BIG)), "it is fetched again, all of it"
    assert placed.sent == len(BIG) - has + len(BIG)


@pytest.mark.parametrize("length", [len(BIG), len(BIG) + 1, 2 * len(BIG)], ids=["zeros", "one too many", "twice"])
async def test_a_partial_file_that_is_wrong_or_too_long_is_started_anew(root: Path, length: int) -> None:
    left(root, bytes(length))
    body = CountedBody(BIG)
    await model(root).put(BIG_BLOB, body)
    assert stored(root) == BIG
    assert body.asked == [(0, len(BIG))]


async def test_wrong_content_is_fetched_once_more_only_if_it_may_have_been_ours(root: Path) -> None:
    body = CountedBody(BIG[::-1])
    with pytest.raises(BlobCorrupt, match="has the digest"):
        await model(root).put(BIG_BLOB, body)
    assert body.asked == [(0, len(BIG))]
    left(root, BIG[:1000])
    body.asked.clear()
    with pytest.raises(BlobCorrupt, match="has the digest"):
        await model(root).put(BIG_BLOB, body)
    assert body.asked == [(1000, len(BIG) - 1000), (0, len(BIG))]
    assert list(partial_of(root).parent.iterdir()) == [], "what is wrong is not resumed"


class LongBody(BytesBody):
    """More comes than was asked for."""

    async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
        yield self.content[offset:]
        yield b"and more"


class ShortBody(BytesBody):
    """Less comes than was asked for."""

    async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
        yield self.content[offset:-1]


@pytest.mark.parametrize("kind", [LongBody, ShortBody])
async def test_a_body_that_does_not_keep_its_word(root: Path, kind: type[BytesBody]) -> None:
    with pytest.raises(BlobCorrupt):
        await model(root).put(BIG_BLOB, kind(BIG))
    assert not await model(root).exists(BIG_BLOB)
    await model(root).put(BIG_BLOB, BytesBody(BIG))
    assert stored(root) == BIG


# ── traps ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["link", "link to nothing", "second name", "pipe", "socket"])
async def test_a_trap_under_the_name_of_a_partial_file(root: Path, tmp_path: Path, kind: str) -> None:
    precious, trap = tmp_path / "precious", partial_of(root)
    precious.write_bytes(BIG[:1000])
    trap.parent.mkdir(parents=True)
    match kind:
        case "link":
            trap.symlink_to(precious)
        case "link to nothing":
            trap.symlink_to(tmp_path / "nothing")
        case "second name":
            trap.hardlink_to(precious)
        case "pipe":
            os.mkfifo(trap)
        case _:
            before = Path.cwd()
            os.chdir(trap.parent)  # a socket's path may have 108 bytes
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(trap.name)
            os.chdir(before)
    body = CountedBody(BIG)
    await model(root).put(BIG_BLOB, body)
    assert stored(root) == BIG
    assert body.asked == [(0, len(BIG))]
    assert precious.read_bytes() == BIG[:1000]
    assert not (tmp_path / "nothing").exists()


async def test_a_folder_in_its_place_is_named(root: Path) -> None:
    partial_of(root).mkdir(parents=True)
    with pytest.raises(Unwritable, match=r"\.partial can't be written: Is a directory") as error:
        await model(root).put(BIG_BLOB, BytesBody(BIG))
    assert "move it away" in (error.value.hint or "")
    assert error.value.exit_code == 4


async def test_a_file_that_was_left_before_it_had_its_mode_gets_it(root: Path) -> None:
    left(root, BIG[:1000]).chmod(0o600)
    await model(root).put(BIG_BLOB, BytesBody(BIG))
    assert (root / "blobs" / BIG_BLOB.digest.path_name).stat().st_mode & 0o777 == 0o644


# ── two at once ───────────────────────────────────────────────────────────────────────────────────


async def test_two_that_fetch_the_same_blob_fetch_it_once(root: Path) -> None:
    first, second = HaltingBody(BIG, 3_000_000), CountedBody(BIG)
    looked_again = asyncio.Event()

    async def sleep(_: float) -> None:
        looked_again.set()
        await asyncio.sleep(0)

    one = asyncio.create_task(model(root).put(BIG_BLOB, first))
    await first.halted.wait()
    two = asyncio.create_task(model(root, sleep=sleep).put(BIG_BLOB, second))
    await looked_again.wait()
    first.go_on.set()
    assert (await one).placement is Placement.UPLOADED
    assert (await two).placement is Placement.PRESENT
    assert second.asked == []


async def test_who_waited_for_one_that_was_killed_goes_on_with_what_it_left(root: Path) -> None:
    held = StoreFiles(root)
    partial = PartialBlob.claim(held, BIG_BLOB)
    partial.add([BIG[:1000]])
    partial.drain()

    async def sleep(_: float) -> None:
        partial.close()

    body = CountedBody(BIG)
    await model(root, sleep=sleep).put(BIG_BLOB, body)
    assert body.asked == [(1000, len(BIG) - 1000)]


async def test_a_stop_ends_the_wait_for_another(root: Path) -> None:
    partial = PartialBlob.claim(StoreFiles(root), BIG_BLOB)
    stop = asyncio.Event()

    async def sleep(_: float) -> None:
        stop.set()
        await asyncio.Event().wait()

    with pytest.raises(Interrupted, match="another process"):
        await model(root, sleep=sleep, stop=stop).put(BIG_BLOB, BytesBody(BIG))
    partial.close()


# ── a disk that is full, and what is old ──────────────────────────────────────────────────────────


async def test_a_full_disk_keeps_what_has_come(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite

    def pwrite(descriptor: int, content: bytes, offset: int) -> int:
        if offset >= 2_000_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, content, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)

    class Pieces(BytesBody):
        async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
            for start in range(offset, offset + length, 100_000):
                yield self.content[start : start + 100_000]

    with pytest.raises(Unavailable, match="No space left") as full:
        await model(root).put(BIG_BLOB, Pieces(BIG))
    assert full.value.exit_code == 6 and "make room" in (full.value.hint or "")
    monkeypatch.undo()
    kept = len(partial_of(root).read_bytes())
    assert kept == 2_000_000
    body = CountedBody(BIG)
    await model(root).put(BIG_BLOB, body)
    assert body.asked == [(kept, len(BIG) - kept)]


async def test_what_nobody_has_touched_for_a_week_is_removed_unless_it_is_held(root: Path) -> None:
    old, held, young = (root / ".registry-push" / name for name in ("old", "held.partial", "young"))
    old.parent.mkdir(parents=True)
    for path, days in ((old, 8), (held, 8), (young, 6)):
        path.write_bytes(b"x")
        os.utime(path, (time.time() - days * DAY,) * 2)
    partial = PartialBlob.claim(StoreFiles(root), BIG_BLOB)
    partial.add([BIG[:10]])
    partial.drain()
    os.utime(partial_of(root), (time.time() - 8 * DAY,) * 2)
    await model(root).put(BLOB, BytesBody(HELLO))
    assert not old.exists() and not held.exists() and young.exists()
    assert partial_of(root).exists(), "a process has it"
    partial.close()


class Sleeps:
    """Lets the test say when a pause is over, and how long it was to be."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[float] = asyncio.Queue()
        self.over = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.asked.put_nowait(seconds)
        await self.over.wait()
        self.over.clear()


async def test_finished_blobs_stay_young_while_others_come(root: Path) -> None:
    """At its start Ollama deletes what no manifest names and is older than an hour."""
    sleeps = Sleeps()
    async with FreshBlobs(root, sleep=sleeps) as fresh:
        target = model(root, fresh=fresh)
        assert await sleeps.asked.get() <= 15 * 60
        found, fetched = b"found", b"fetched"
        await model(root).put(described(found), BytesBody(found))
        assert await target.exists(described(found))
        await target.put(described(fetched), BytesBody(fetched))
        other = manifest(layers=[described(found)])
        await target.put_manifest(other, str(other.digest))
        paths = sorted((root / "blobs").iterdir())
        assert len(paths) == 3
        for _ in range(3):
            for path in paths:
                os.utime(path, (0, 0))
            sleeps.over.set()
            await sleeps.asked.get()
            assert min(path.stat().st_mtime for path in paths) > time.time() - 60


async def test_a_blob_that_vanished_does_not_keep_the_others_from_being_kept(root: Path) -> None:
    sleeps = Sleeps()
    async with FreshBlobs(root, sleep=sleeps) as fresh:
        target = model(root, fresh=fresh)
        for content in (b"one", b"two"):
            await target.put(described(content), BytesBody(content))
        gone, kept = sorted((root / "blobs").iterdir())
        gone.unlink()
        os.utime(kept, (0, 0))
        await sleeps.asked.get()
        sleeps.over.set()
        await sleeps.asked.get()
        assert kept.stat().st_mtime > 0


def test_what_a_pull_has_left_is_removed_when_it_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "manifests").mkdir()
    left = tmp_path / ".registry-push" / f"sha256-{'0' * 64}.partial"
    left.parent.mkdir()
    left.write_bytes(b"some of it")
    remove_stale(StoreFiles(tmp_path))
    assert left.exists(), "it is not a week old"
    remove_stale(StoreFiles(tmp_path), older=0.0)
    assert not left.exists()


def test_hashing_that_is_ahead_of_writing_moves_nothing(root: Path) -> None:
    partial = PartialBlob.claim(StoreFiles(root), BIG_BLOB)
    partial.begin_appending()
    for piece in (BIG[:1000], BIG[1000:]):
        partial.hash(memoryview(piece))
        partial.append([piece])
    partial.commit()
    assert stored(root) == BIG
