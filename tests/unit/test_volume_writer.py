"""Exports as files: the same bytes each time, whole or not at all, continued where they stopped."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry_push.content.body import BytesBody
from registry_push.content.oci import volume_writer
from registry_push.content.oci.archive import OCIArchive
from registry_push.content.oci.volume_writer import VolumeWriter
from registry_push.errors import BlobCorrupt, ConnectionLost, ManifestRefused, Unavailable, UsageError
from registry_push.model.export_document import EXPORT_FILE, ExportDocument

from ..support.layouts import described
from ..support.volumes import BLOBS, MIDDLE, NAMED, ONE, OTHER, SHARED, SMALL, SPLIT, fill, write


def contents(files: list[Path]) -> list[bytes]:
    return [file.read_bytes() for file in files]


@pytest.fixture(autouse=True)
def little_is_worth_keeping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume_writer, "WORTH_KEEPING", 1)


async def test_one_file_is_a_layout_with_the_blobs_in_the_order_of_their_digests(tmp_path: Path) -> None:
    [path] = await write(tmp_path / "a.tar")
    with tarfile.open(path) as archive:
        entries = archive.getmembers()
        digests = sorted([*(blob.digest.hex for blob in BLOBS), ONE.digest.hex, OTHER.digest.hex])
        names = ["oci-layout", "index.json", *(f"blobs/sha256/{each}" for each in digests), EXPORT_FILE]
        assert [entry.name for entry in entries] == names
        for entry in entries:
            assert (entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname) == (0, 0, 0, "", "")
            assert (entry.mode, entry.type, entry.pax_headers) == (0o644, tarfile.REGTYPE, {})
        for entry in entries[2:-1]:
            file = archive.extractfile(entry)
            assert file is not None
            assert hashlib.sha256(file.read()).hexdigest() == entry.name.rpartition("/")[2]
    assert (tmp_path / "a.sha256").read_text() == f"{hashlib.sha256(path.read_bytes()).hexdigest()}  a.tar\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.sha256", "a.tar"]


async def test_same_content_has_the_same_bytes(tmp_path: Path) -> None:
    first = await write(tmp_path / "1" / "a.tar", split=SPLIT)
    second = await write(tmp_path / "2" / "a.tar", split=SPLIT, named=NAMED[::-1])
    assert [file.name for file in first] == [file.name for file in second]
    assert contents(first) == contents(second)
    assert contents(await write(tmp_path / "b.tar")) == contents(await write(tmp_path / "c.tar"))


async def test_volumes_know_each_other(tmp_path: Path) -> None:
    files = await write(tmp_path / "a.tar", split=SPLIT)
    sums = [hashlib.sha256(each).hexdigest() for each in contents(files)]
    assert (tmp_path / "a.sha256").read_text() == "".join(
        f"{found}  {file.name}\n" for found, file in zip(sums, files, strict=True)
    )
    assert len(files) == 3
    for number, file in enumerate(files, 1):
        with tarfile.open(file) as archive:
            said = archive.extractfile(EXPORT_FILE)
            assert said is not None
            document = ExportDocument.parse(said.read(), str(file))
        assert document.number == number
        known = [volume.sha256.hex if volume.sha256 is not None else None for volume in document.volumes]
        others = [None if n in (1, number) else found for n, found in enumerate(sums, 1)]
        assert known == (others if number == 1 else [*others[: number - 1], *[None] * (len(sums) - number + 1)])


async def test_each_volume_has_every_manifest(tmp_path: Path) -> None:
    for file in await write(tmp_path / "a.tar", split=SPLIT):
        async with OCIArchive(file) as archive:
            assert {ref: await archive.resolve(ref) for ref in await archive.tags()} == {
                ref: manifest for manifest, ref in NAMED
            }


async def test_what_the_receiver_has_is_left_out(tmp_path: Path) -> None:
    shared = described(SHARED).digest
    [path] = await write(tmp_path / "a.tar", elsewhere=[shared, described(b"other").digest])
    async with OCIArchive(path) as archive:
        assert [each.requires for each in archive.exports()] == [(shared,)]
        assert await archive.left_out() == {shared}
        assert not await archive.exists(described(SHARED))
        assert await archive.exists(described(SMALL))


class Breaking(BytesBody):
    """Content that breaks off after so many bytes."""

    def __init__(self, content: bytes, after: int) -> None:
        super().__init__(content)
        self._after = after

    async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
        yield self.content[offset : max(offset, self._after)]
        raise ConnectionLost("the line broke")


@pytest.mark.parametrize("split", [None, SPLIT])
@pytest.mark.parametrize("after", [0, 1_500_000, 2_500_000, 4_999_999])
async def test_an_export_that_broke_off_is_continued_at_that_byte(
    tmp_path: Path, split: int | None, after: int
) -> None:
    whole = await write(tmp_path / "whole" / "a.tar", split=split)
    path, broken = tmp_path / "a.tar", described(SHARED)
    async with VolumeWriter(path, split=split) as writer:
        with pytest.raises(ConnectionLost):
            await fill(writer, bodies={broken: Breaking(SHARED, after)})
    assert not [each for each in tmp_path.glob("*.tar") if each.is_file()], "nothing is taken for whole"
    async with VolumeWriter(path, split=split) as writer:
        before = sum(blob.size for blob in BLOBS if blob.digest < broken.digest)
        assert await fill(writer) == sum(blob.size for blob in BLOBS) - before - after
        await writer.finish()
    assert contents([path.with_name(each.name) for each in whole]) == contents(whole)


@pytest.mark.parametrize("split", [None, SPLIT])
@pytest.mark.parametrize("at", [0.05, 0.3, 0.5, 0.7, 0.95])
async def test_what_was_left_is_believed_by_its_digest_only(tmp_path: Path, split: int | None, at: float) -> None:
    """As after a power cut, one of the files has zeros where its content was."""
    whole = await write(tmp_path / "whole" / "a.tar", split=split)
    for file in whole:
        left = tmp_path / f"{file.name}.partial"
        content = file.read_bytes()
        begin = int(len(content) * at)
        left.write_bytes(content[:begin] + bytes(600) + content[begin + 600 :])
    async with VolumeWriter(tmp_path / "a.tar", split=split) as writer:
        await fill(writer)
        await writer.finish()
    assert contents([tmp_path / each.name for each in whole]) == contents(whole)


async def test_a_lost_volume_is_all_that_is_written_again(tmp_path: Path) -> None:
    files = await write(tmp_path / "a.tar", split=SPLIT)
    before, kept = contents(files), [file.stat().st_ino for file in files]
    files[0].unlink()
    async with VolumeWriter(tmp_path / "a.tar", split=SPLIT) as writer:
        assert await fill(writer) < SPLIT
        await writer.finish()
    assert contents(files) == before
    assert [file.stat().st_ino for file in files][1:] == kept[1:]


async def test_a_volume_of_another_export_is_not_touched(tmp_path: Path) -> None:
    files = await write(tmp_path / "a.tar", split=SPLIT, named=NAMED[:1])
    files[0].unlink()
    before = contents(files[1:])
    async with VolumeWriter(tmp_path / "a.tar", split=SPLIT) as writer:
        with pytest.raises(UsageError, match=r"a\.v002\.tar is there already"):
            await fill(writer)
    assert contents(files[1:]) == before


@pytest.mark.parametrize("taken", ["a.tar", "a.v001.tar"])
async def test_a_name_that_is_taken_is_refused(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("mine")
    async with VolumeWriter(tmp_path / "a.tar", split=SPLIT) as writer:
        with pytest.raises(UsageError, match="is there already"):
            writer.check_is_new()
        with pytest.raises(UsageError, match="is there already"):
            await fill(writer)
    assert [each.name for each in tmp_path.iterdir()] == [taken]


async def test_two_exports_do_not_write_one_file(tmp_path: Path) -> None:
    async with VolumeWriter(tmp_path / "a.tar") as one, VolumeWriter(tmp_path / "a.tar") as other:
        await fill(one)
        with pytest.raises(Unavailable, match="another export is writing"):
            await fill(other)
        await one.finish()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.sha256", "a.tar"]


@pytest.mark.parametrize("split", [None, SPLIT])
async def test_wrong_content_is_refused_and_forgotten(tmp_path: Path, split: int | None) -> None:
    async with VolumeWriter(tmp_path / "a.tar", split=split) as writer:
        with pytest.raises(BlobCorrupt, match="another digest"):
            await fill(writer, bodies={described(SHARED): BytesBody(SHARED[::-1])})
        with pytest.raises(ManifestRefused, match="names what is not here"):
            await writer.put_manifest(ONE, NAMED[0][1])
    whole = await write(tmp_path / "whole" / "a.tar", split=split)
    await write(tmp_path / "a.tar", split=split)
    assert contents([tmp_path / each.name for each in whole]) == contents(whole)


async def test_too_little_room_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume_writer, "free_bytes", lambda folder: 1000)
    async with VolumeWriter(tmp_path / "a.tar") as writer:
        with pytest.raises(Unavailable, match=r"has room for 1\.00 kB"):
            await fill(writer)


async def test_little_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume_writer, "WORTH_KEEPING", 10**9)
    async with VolumeWriter(tmp_path / "a.tar", split=SPLIT) as writer:
        with pytest.raises(ConnectionLost):
            await fill(writer, bodies={described(MIDDLE): Breaking(MIDDLE, 5)})
    assert list(tmp_path.iterdir()) == []


async def test_the_index_is_what_a_copy_has(tmp_path: Path) -> None:
    [path] = await write(tmp_path / "a.tar")
    with tarfile.open(path) as archive:
        index = archive.extractfile("index.json")
        assert index is not None
        entries = json.load(index)["manifests"]
    assert [each["annotations"]["org.opencontainers.image.ref.name"] for each in entries] == [ref for _, ref in NAMED]
    assert [each["mediaType"] for each in entries] == [each.media_type for each, _ in NAMED]
