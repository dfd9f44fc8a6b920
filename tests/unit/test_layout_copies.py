"""Copies into image layouts that are broken off and continued, and what a layout knows as a source."""

from __future__ import annotations

import asyncio
import os
import tarfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from registry_push.content.base import Placed
from registry_push.content.body import BytesBody
from registry_push.content.oci.archive import OCIArchive
from registry_push.content.oci.index import LayoutIndex
from registry_push.content.oci.layout import OCILayout
from registry_push.content.partial_file import WORTH_KEEPING
from registry_push.errors import BlobCorrupt, BlobMissing, ConnectionLost, ManifestCorrupt
from registry_push.events import Placement
from registry_push.model import Descriptor

from ..support.layouts import BLOB, HELLO, described, manifest


@pytest.fixture
async def layout(tmp_path: Path) -> OCILayout:
    """A layout with one blob and one manifest, `latest`."""
    layout = OCILayout(tmp_path / "layout")
    await layout.put(BLOB, BytesBody(HELLO))
    await layout.put_manifest(manifest(), "latest")
    return layout


BIG = bytes(range(256)) * (WORTH_KEEPING // 256) + b"and the rest"
BIG_BLOB = described(BIG)


class Counted(BytesBody):
    """Content that keeps what is asked of it, and breaks off before the byte `until`."""

    def __init__(self, content: bytes, *, until: int | None = None) -> None:
        super().__init__(content)
        self.asked: list[tuple[int, int]] = []
        self._until = until

    async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
        self.asked.append((offset, length))
        if self._until is None:
            yield self.content[offset : offset + length]
        else:
            yield self.content[offset : self._until]
            raise ConnectionLost("the line broke")


def partial_of(layout: OCILayout) -> Path:
    return layout.path / f".partial-{BIG_BLOB.digest.hex}"


async def test_a_copy_that_broke_off_is_continued(layout: OCILayout) -> None:
    kept = WORTH_KEEPING + 3
    with pytest.raises(ConnectionLost):
        await layout.put(BIG_BLOB, Counted(BIG, until=kept))
    assert not await layout.exists(BIG_BLOB)
    assert partial_of(layout).read_bytes() == BIG[:kept]
    body = Counted(BIG)
    placed = await layout.put(BIG_BLOB, body)
    assert body.asked == [(kept, len(BIG) - kept)]
    assert placed == Placed(Placement.UPLOADED, len(BIG) - kept)
    assert layout.blob_path(BIG_BLOB.digest).read_bytes() == BIG
    assert not partial_of(layout).exists()


async def test_a_little_is_not_kept(layout: OCILayout) -> None:
    with pytest.raises(ConnectionLost):
        await layout.put(BIG_BLOB, Counted(BIG, until=WORTH_KEEPING - 1))
    assert not partial_of(layout).exists()


@pytest.mark.parametrize("left", [b"\0" * 1000, b"\0" * len(BIG), b"\0" * (len(BIG) + 1)], ids=len)
async def test_what_was_left_is_believed_by_its_digest_only(layout: OCILayout, left: bytes) -> None:
    """A file whose end never reached the disk is full of zeros."""
    partial_of(layout).write_bytes(left)
    body = Counted(BIG)
    await layout.put(BIG_BLOB, body)
    assert body.asked[-1] == (0, len(BIG))
    assert layout.blob_path(BIG_BLOB.digest).read_bytes() == BIG


async def test_all_of_it_was_left(layout: OCILayout) -> None:
    partial_of(layout).write_bytes(BIG)
    body = Counted(BIG)
    assert (await layout.put(BIG_BLOB, body)).sent == 0
    assert body.asked == [(len(BIG), 0)]
    assert await layout.exists(BIG_BLOB)


async def test_wrong_content_is_not_kept(layout: OCILayout) -> None:
    with pytest.raises(BlobCorrupt):
        await layout.put(BIG_BLOB, BytesBody(BIG[::-1]))
    assert not partial_of(layout).exists()


@pytest.mark.parametrize("kind", ["link", "second name", "pipe", "folder"])
async def test_a_trap_under_the_name_of_a_partial_file(layout: OCILayout, tmp_path: Path, kind: str) -> None:
    precious, trap = tmp_path / "precious", partial_of(layout)
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
    await layout.put(BIG_BLOB, BytesBody(BIG))
    assert layout.blob_path(BIG_BLOB.digest).read_bytes() == BIG
    assert precious.read_bytes() == b"mine"


async def test_two_writers_of_one_blob(layout: OCILayout) -> None:
    """The second has a file of its own; whoever ends last replaces the blob by itself."""
    under_way, go_on = asyncio.Event(), asyncio.Event()

    class Slow(BytesBody):
        async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
            yield self.content[:1000]
            under_way.set()
            await go_on.wait()
            yield self.content[1000:]

    first = asyncio.create_task(layout.put(BIG_BLOB, Slow(BIG)))
    await under_way.wait()
    await OCILayout(layout.path).put(BIG_BLOB, BytesBody(BIG))
    go_on.set()
    await first
    assert layout.blob_path(BIG_BLOB.digest).read_bytes() == BIG
    assert not list(layout.path.glob(".*"))


async def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    layout = OCILayout(tmp_path / "layout")
    before = os.umask(0o077)
    try:
        await layout.put(BLOB, BytesBody(HELLO))
        await layout.put_manifest(manifest(), "latest")
    finally:
        os.umask(before)
    modes = {path.is_dir(): path.stat().st_mode & 0o777 for path in [layout.path, *layout.path.rglob("*")]}
    assert modes == {True: 0o755, False: 0o644}


# ── as a source ───────────────────────────────────────────────────────────────────────────────────


async def test_check_names_all_that_is_missing(layout: OCILayout) -> None:
    other = described(b"other")
    wanted = manifest(layers=(BLOB, other))
    with pytest.raises(BlobMissing, match=other.digest.hex):
        await layout.check(wanted)
    await layout.put(other, BytesBody(b"other"))
    await layout.check(wanted)
    os.truncate(layout.blob_path(other.digest), 4)
    with pytest.raises(BlobCorrupt, match="has 4 bytes, not 5"):
        await layout.check(wanted)
    layout.blob_path(other.digest).unlink()
    layout.blob_path(BLOB.digest).unlink()
    with pytest.raises(BlobMissing, match="2 of 2 blobs are missing"):
        await layout.check(wanted)


async def test_a_manifest_that_no_name_leads_to_is_found_by_its_digest(layout: OCILayout) -> None:
    child = manifest(note="child")
    await layout.put_manifest(child, str(child.digest))
    assert await layout.resolve(str(child.digest)) == child
    assert await layout.digest_of(str(child.digest)) == child.digest
    assert await layout.tags() == ("latest",)
    layout.blob_path(child.digest).write_bytes(manifest().raw)
    with pytest.raises(ManifestCorrupt):
        await layout.resolve(str(child.digest))


async def test_two_models_share_a_blob(layout: OCILayout) -> None:
    body = Counted(HELLO)
    assert await layout.put(BLOB, body) == Placed(Placement.PRESENT)
    await layout.put_manifest(manifest(note="other"), "other")
    assert body.asked == []
    assert len(list((layout.path / "blobs" / "sha256").iterdir())) == 3


class Parses:
    """Counts how often an `index.json` is parsed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        parse = LayoutIndex.parse

        def counted(raw: bytes) -> LayoutIndex:
            self.count += 1
            return parse(raw)

        monkeypatch.setattr(LayoutIndex, "parse", counted)


def aged(path: Path) -> None:
    """Let `path` have been written an hour ago: a file that was written just now may be written again unseen."""
    os.utime(path, (time.time() - 3600,) * 2)


async def test_an_index_is_parsed_once_however_many_names_are_asked_for(
    layout: OCILayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    aged(layout.path / "index.json")
    parses = Parses(monkeypatch)
    for _ in range(3):
        assert (await layout.resolve("latest")).digest == manifest().digest
        assert await layout.digest_of("latest") == manifest().digest
        assert await layout.tags() == ("latest",)
    assert parses.count == 1


async def test_what_was_written_is_seen_whoever_wrote_it(layout: OCILayout) -> None:
    index = layout.path / "index.json"
    other = OCILayout(layout.path)
    for note, writer in enumerate((layout, other, layout), 1):
        for reader in (layout, other):
            aged(index)
            assert len(await reader.tags()) == note
        await writer.put_manifest(manifest(note=str(note)), f"note-{note}")
        for reader in (layout, other):
            assert (await reader.resolve(f"note-{note}")).digest == manifest(note=str(note)).digest


async def test_an_index_that_was_written_just_now_is_parsed_again(
    layout: OCILayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writes within a tick of the file system's clock can leave the same times, the same size and one inode."""
    parses = Parses(monkeypatch)
    for _ in range(3):
        await layout.tags()
    assert parses.count == 3


async def test_the_index_of_an_archive_is_parsed_once(
    layout: OCILayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tarfile.open(tmp_path / "layout.tar", "w") as tar:
        tar.add(layout.path, ".")
    parses = Parses(monkeypatch)
    async with OCIArchive(tmp_path / "layout.tar") as archive:
        for _ in range(3):
            assert (await archive.resolve("latest")).digest == manifest().digest
    assert parses.count == 1


def test_names_and_digests_of_an_index_are_looked_up_without_going_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    index = LayoutIndex()
    for number in range(3):
        index = index.tagged(manifest(note=str(number)).descriptor, str(number))
    passes: list[LayoutIndex] = []
    readable = LayoutIndex.readable

    def counted(self: LayoutIndex) -> Iterator[Descriptor]:
        passes.append(self)
        return readable(self)

    monkeypatch.setattr(LayoutIndex, "readable", counted)
    for number in range(3):
        digest = manifest(note=str(number)).digest
        found, named = index.with_digest(digest), index.named(str(number))
        assert found is not None and named is not None and found.digest == named.digest == digest
    assert passes == [index]
