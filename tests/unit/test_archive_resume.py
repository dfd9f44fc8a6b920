"""OCI archives that were not finished: what is left of them, and how it is continued."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry_push.content.base import Placed
from registry_push.content.body import BytesBody
from registry_push.content.oci import partial_archive
from registry_push.content.oci.archive import OCIArchive
from registry_push.content.oci.archive_writer import OCIArchiveWriter
from registry_push.content.oci.partial_archive import partial_path
from registry_push.content.partial_file import WORTH_KEEPING
from registry_push.errors import ConnectionLost, Interrupted, Unavailable, Unwritable
from registry_push.events import Placement

from ..support.archive_writing import BIG, BIG_BLOB, BOTH, EXPECTED, Counted, Failing, Unread, left, write
from ..support.layouts import BLOB, HELLO, manifest


async def test_what_was_left_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    await left(path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.tar.partial"]
    async with OCIArchiveWriter(path) as writer:
        writer.expect(EXPECTED)
        assert await writer.put(BIG_BLOB, Unread(BIG)) == Placed(Placement.PRESENT)
        assert (await writer.put(BLOB, BytesBody(HELLO))).placement is Placement.UPLOADED
        await writer.put_manifest(BOTH, "both")
        await writer.finish()
    assert path.read_bytes() == await write(tmp_path / "b.tar")


async def test_what_was_left_of_another_copy_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    await left(path, expected=[(manifest(), "other")])
    assert await write(path) == await write(tmp_path / "b.tar")


@pytest.mark.parametrize("damage", ["content", "header", "zeros", "cut"])
async def test_what_was_left_is_believed_by_its_digest_only(tmp_path: Path, damage: str) -> None:
    """The large blob is whole, what comes after it is not."""
    path = tmp_path / "a.tar"
    await left(path, small=True)
    partial = partial_path(path)
    content = partial.read_bytes()
    at = content.index(HELLO)
    assert len(content) == at + 512
    match damage:
        case "content":
            content = content.replace(HELLO, HELLO[::-1])
        case "header":
            content = content[: at - 512] + b"x" + content[at - 511 :]
        case "zeros":  # as after a power cut
            content = content[: at - 512] + bytes(1024)
        case _:
            content = content[: at + 5]
    partial.write_bytes(content)
    async with OCIArchiveWriter(path) as writer:
        writer.expect(EXPECTED)
        await writer.put(BIG_BLOB, Unread(BIG))
        assert not await writer.exists(BLOB)
        await writer.put(BLOB, BytesBody(HELLO))
        await writer.put_manifest(BOTH, "both")
        await writer.finish()
    assert path.read_bytes() == await write(tmp_path / "b.tar")


async def test_a_blob_that_was_under_way_is_continued(tmp_path: Path) -> None:
    """In a later run, and by the next put of the same one."""
    path = tmp_path / "a.tar"
    async with OCIArchiveWriter(path) as writer:
        writer.expect(EXPECTED)
        for until in (WORTH_KEEPING, WORTH_KEEPING + 5):
            with pytest.raises(ConnectionLost):
                await writer.put(BIG_BLOB, Failing(BIG, until=until))
            assert not await writer.exists(BIG_BLOB)
    assert [each.name for each in tmp_path.iterdir()] == ["a.tar.partial"]
    async with OCIArchiveWriter(path) as writer:
        writer.expect(EXPECTED)
        body = Counted(BIG)
        placed = await writer.put(BIG_BLOB, body)
        assert body.asked == [(WORTH_KEEPING + 5, len(BIG) - WORTH_KEEPING - 5)]
        assert placed == Placed(Placement.UPLOADED, len(BIG) - WORTH_KEEPING - 5)
        await writer.put(BLOB, BytesBody(HELLO))
        await writer.put_manifest(BOTH, "both")
        await writer.finish()
    assert path.read_bytes() == await write(tmp_path / "b.tar")


async def test_a_blob_that_only_lacks_its_padding(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    await left(path)
    content = partial_path(path).read_bytes()
    assert content.endswith(b"and the rest" + bytes(500))
    partial_path(path).write_bytes(content[:-495])
    async with OCIArchiveWriter(path) as writer:
        writer.expect(EXPECTED)
        body = Counted(BIG)
        assert await writer.put(BIG_BLOB, body) == Placed(Placement.UPLOADED, 0)
        assert body.asked == [(len(BIG), 0)]


async def test_a_stop_while_what_was_left_is_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it stays."""
    path, stop = tmp_path / "a.tar", asyncio.Event()
    monkeypatch.setattr(partial_archive, "_TURN", 2**20)
    async with OCIArchiveWriter(path, stop=stop) as writer:
        writer.expect(EXPECTED)
        with pytest.raises(ConnectionLost):
            await writer.put(BIG_BLOB, Failing(BIG, until=WORTH_KEEPING))
        size = partial_path(path).stat().st_size
        stop.set()
        with pytest.raises(Interrupted):
            await writer.put(BIG_BLOB, Unread(BIG))
        assert partial_path(path).stat().st_size == size


async def test_a_stop_ends_a_put_at_once(tmp_path: Path) -> None:
    """What came before it is kept, in whole megabytes."""
    path, stop = tmp_path / "a.tar", asyncio.Event()

    class Stopping(BytesBody):
        async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
            yield self.content[:WORTH_KEEPING]
            stop.set()
            yield self.content[WORTH_KEEPING:]

    async with OCIArchiveWriter(path, stop=stop) as writer:
        writer.expect(EXPECTED)
        with pytest.raises(Interrupted):
            await writer.put(BIG_BLOB, Stopping(BIG))
        stop.clear()
        body = Counted(BIG)
        await writer.put(BIG_BLOB, body)
        assert body.asked == [(WORTH_KEEPING, len(BIG) - WORTH_KEEPING)]


async def test_a_stop_does_not_wait_for_a_source_that_sends_nothing(tmp_path: Path) -> None:
    path, stop = tmp_path / "a.tar", asyncio.Event()

    class Silent(BytesBody):
        async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
            yield self.content[:WORTH_KEEPING]
            stop.set()
            await asyncio.Event().wait()

    async with OCIArchiveWriter(path, stop=stop) as writer:
        writer.expect(EXPECTED)
        with pytest.raises(Interrupted, match="what there is of it is kept"):
            await writer.put(BIG_BLOB, Silent(BIG))
    assert partial_path(path).stat().st_size > WORTH_KEEPING


@pytest.mark.parametrize("more", [0, 1000])
async def test_a_blob_that_was_under_way_and_is_damaged(tmp_path: Path, more: int) -> None:
    """It is fetched as a whole, once more. The file may be longer than the blob."""
    path = tmp_path / "a.tar"
    async with OCIArchiveWriter(path) as writer:
        writer.expect(EXPECTED)
        with pytest.raises(ConnectionLost):
            await writer.put(BIG_BLOB, Failing(BIG, until=WORTH_KEEPING))
    content = partial_path(path).read_bytes()
    partial_path(path).write_bytes(content[:-1] + b"x" + bytes(more))
    async with OCIArchiveWriter(path) as writer:
        writer.expect(EXPECTED)
        body = Counted(BIG)
        assert (await writer.put(BIG_BLOB, body)).placement is Placement.UPLOADED
        assert body.asked[-1] == (0, len(BIG))
        await writer.put(BLOB, BytesBody(HELLO))
        await writer.put_manifest(BOTH, "both")
        await writer.finish()
    assert path.read_bytes() == await write(tmp_path / "b.tar")


async def test_another_blob_takes_the_place_of_one_that_was_under_way(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    async with OCIArchiveWriter(path) as writer:
        writer.expect([(manifest(), "latest")])
        with pytest.raises(ConnectionLost):
            await writer.put(BIG_BLOB, Failing(BIG, until=WORTH_KEEPING))
        await writer.put(BLOB, BytesBody(HELLO))
        assert partial_path(path).stat().st_size < 10_000
        await writer.put_manifest(manifest(), "latest")
        with pytest.raises(ConnectionLost):
            await writer.put(BIG_BLOB, Failing(BIG, until=WORTH_KEEPING))
        await writer.finish()
    assert path.stat().st_size < 10_000
    async with OCIArchive(path) as archive:
        await archive.check(await archive.resolve("latest"))
        assert not await archive.exists(BIG_BLOB)


async def test_a_little_is_not_kept(tmp_path: Path) -> None:
    async with OCIArchiveWriter(tmp_path / "a.tar") as writer:
        await writer.put(BLOB, BytesBody(HELLO))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "second name", "pipe", "folder"])
async def test_a_trap_under_the_name_of_the_partial_file(tmp_path: Path, kind: str) -> None:
    precious, trap = tmp_path / "precious", partial_path(tmp_path / "a.tar")
    precious.write_bytes(b"mine")
    match kind:
        case "link":
            trap.symlink_to(precious)
        case "second name":
            trap.hardlink_to(precious)
        case "pipe":
            os.mkfifo(trap)
        case _:
            trap.mkdir()
    async with OCIArchiveWriter(tmp_path / "a.tar") as writer:
        with pytest.raises(Unwritable, match="can't be used"):
            await writer.put(BLOB, BytesBody(HELLO))
    assert precious.read_bytes() == b"mine"
    assert {each.name for each in tmp_path.iterdir()} == {"precious", "a.tar.partial"}


async def test_two_writers_of_one_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    async with OCIArchiveWriter(path) as first, OCIArchiveWriter(path) as second:
        await first.put(BLOB, BytesBody(HELLO))
        with pytest.raises(Unavailable, match=f"another copy is writing {path}"):  # it ends: to be tried again later
            await second.put(BLOB, BytesBody(HELLO))
        await first.put_manifest(manifest(), "latest")
        await first.finish()
    assert [each.name for each in tmp_path.iterdir()] == ["a.tar"]


KILLED = """
import asyncio, sys
from pathlib import Path
from registry_push.content.oci.archive_writer import OCIArchiveWriter
from registry_push.content.body import BytesBody
from tests.support.archive_writing import *

class Stopping(BytesBody):
    async def open(self, offset, length):
        yield self.content[:3_000_000]
        print("under way", flush=True)
        await asyncio.Event().wait()

async def main():
    writer = OCIArchiveWriter(Path(sys.argv[1]))
    writer.expect(EXPECTED)
    await writer.put(BIG_BLOB, BytesBody(BIG))
    await writer.put(described(BIG[::-1]), Stopping(BIG[::-1]))

asyncio.run(main())
"""


async def test_a_process_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        KILLED,
        str(path),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"under way\n"
    process.kill()
    await process.wait()
    async with OCIArchiveWriter(path) as writer:
        writer.expect(EXPECTED)
        await writer.put(BIG_BLOB, Unread(BIG))
        await writer.put(BLOB, BytesBody(HELLO))
        await writer.put_manifest(BOTH, "both")
        await writer.finish()
    assert path.read_bytes() == await write(tmp_path / "b.tar")
