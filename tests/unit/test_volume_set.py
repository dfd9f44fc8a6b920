"""Several volumes, archives and folders, read as one layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry_push.content.body import BytesBody
from registry_push.content.oci.archive import OCIArchive
from registry_push.content.oci.kept_parts import KeptParts
from registry_push.content.oci.layout import OCILayout
from registry_push.content.oci.parts_body import PartsBody
from registry_push.content.oci.volume_set import VolumeSet, archive_at
from registry_push.errors import BlobMissing, ModelNotFound, StoreNotFound, UsageError, VolumeMissing
from registry_push.model import Digest
from registry_push.model.export_document import Part

from ..support.layouts import HELLO, described, manifest
from ..support.volumes import BLOBS, NAMED, ONE, OTHER, SHARED, SMALL, SPLIT, write


def joined(files: list[Path]) -> VolumeSet:
    return VolumeSet(files[0], [OCIArchive(each) for each in files])


async def read(volumes: VolumeSet, content: bytes, offset: int = 0, length: int | None = None) -> bytes:
    body = await volumes.open(described(content))
    try:
        return b"".join([piece async for piece in body.open(offset, body.size if length is None else length)])
    finally:
        await body.close()


@pytest.mark.parametrize("reverse", [False, True])
async def test_all_of_it_is_read_in_whatever_order_the_volumes_are_named(tmp_path: Path, reverse: bool) -> None:
    files = await write(tmp_path / "a.tar", split=SPLIT)
    async with joined(files[::-1] if reverse else files) as volumes:
        assert {ref: await volumes.resolve(ref) for ref in await volumes.tags()} == {ref: each for each, ref in NAMED}
        for content in BLOBS.values():
            assert await read(volumes, content) == content
        for each in (ONE, OTHER):
            await volumes.check(each)
        assert await volumes.lacks() == ()


@pytest.mark.parametrize(("offset", "length"), [(0, 1), (1_900_000, 300_000), (1_999_000, 3_000_000), (4_999_999, 1)])
async def test_a_blob_in_parts_is_read_from_any_byte(tmp_path: Path, offset: int, length: int) -> None:
    async with joined(await write(tmp_path / "a.tar", split=SPLIT)) as volumes:
        assert await read(volumes, SHARED, offset, length) == SHARED[offset : offset + length]


async def test_missing_volumes_are_named(tmp_path: Path) -> None:
    files = await write(tmp_path / "a.tar", split=SPLIT)
    async with joined(files[:1]) as volumes:
        [lack] = await volumes.lacks()
        assert lack.files == ("a.v002.tar", "a.v003.tar")
        with pytest.raises(VolumeMissing, match=r"2 volumes are missing beside a\.v001\.tar: a\.v002\.tar, a\.v003"):
            await volumes.refuse_incomplete()
        with pytest.raises(VolumeMissing, match=r"a\.v002\.tar") as missing:
            await read(volumes, SHARED)
        assert missing.value.files == ("a.v002.tar", "a.v003.tar")


async def test_two_exports_are_one_source_if_no_name_is_two_manifests(tmp_path: Path) -> None:
    [first] = await write(tmp_path / "a.tar", named=NAMED[:1])
    [second] = await write(tmp_path / "b.tar", named=NAMED[1:], elsewhere=[described(SHARED).digest])
    async with joined([second]) as alone:
        assert await alone.left_out() == {described(SHARED).digest}
        with pytest.raises(BlobMissing):
            await read(alone, SHARED)
    async with joined([second, first]) as both:
        assert await both.left_out() == frozenset(), "the other one has it"
        assert sorted(await both.tags()) == sorted(ref for _, ref in NAMED)
        assert await read(both, SHARED) == SHARED
    [third] = await write(tmp_path / "c.tar", named=[(OTHER, NAMED[0][1])])
    async with joined([first, third]) as twice:
        with pytest.raises(UsageError, match="is one manifest in"):
            await twice.tags()


async def test_a_folder_and_an_archive(tmp_path: Path) -> None:
    layout, of = OCILayout(tmp_path / "folder"), manifest()
    await layout.put(described(HELLO), BytesBody(HELLO))
    await layout.put_manifest(of, "here")
    [archive] = await write(tmp_path / "a.tar")
    async with VolumeSet(tmp_path, [layout, OCIArchive(archive)]) as volumes:
        assert await volumes.resolve("here") == of
        assert await read(volumes, HELLO) == HELLO
        assert await read(volumes, SMALL) == SMALL
        with pytest.raises(ModelNotFound):
            await volumes.resolve("there")


async def test_a_set_stands_for_a_file_that_is_not_there_once_its_first_volume_is(tmp_path: Path) -> None:
    files = await write(tmp_path / "a.tar", split=SPLIT)
    (tmp_path / "a.v1.tar").write_text("not one of them")
    found = archive_at(tmp_path / "a.tar")
    assert isinstance(found, VolumeSet)
    async with found:
        assert [each.path for each in found.carriers] == files
    files[0].unlink()  # as long as the first one is not written, the set is not complete
    async with archive_at(tmp_path / "a.tar") as none:
        with pytest.raises(StoreNotFound):
            await none.tags()
    [whole] = await write(tmp_path / "b.tar")
    assert isinstance(archive_at(whole), OCIArchive)


def test_where_the_next_missing_part_begins() -> None:
    parts = [Part(Digest.of(b"all"), number, start, 10) for number, start in ((1, 0), (2, 10), (3, 20), (4, 30))]
    here = BytesBody(bytes(10))
    body = PartsBody(parts, [here, None, here, None], files=["1", "2", "3", "4"], name="it")
    assert [body.until(offset) for offset in (0, 9, 10, 19, 20, 29, 30, 39)] == [10, 10, 10, 19, 30, 30, 30, 39]
    assert body.missing(10).files == ("2", "3", "4")
    assert body.missing(35).files == ("4",)
    assert not body.is_whole and body.size == 40


async def test_a_part_that_is_kept_is_read_with_the_others(tmp_path: Path) -> None:
    files = await write(tmp_path / "a.tar", split=SPLIT)
    kept = KeptParts(tmp_path / "kept")
    async with joined(files[2:]) as last:
        last.kept = kept
        for _ in range(2):  # a second time changes nothing
            needed = await last.keep(described(SHARED).digest, VolumeMissing("the first", part=1))
            assert needed == ("a.v001.tar", "a.v002.tar")
    async with joined(files[:2]) as others:
        assert await others.exists(described(SHARED)) is False
        others.kept = kept
        assert await others.exists(described(SHARED))
        assert await read(others, SHARED) == SHARED
    kept.forget([described(SMALL).digest])
    assert (tmp_path / "kept").exists()
    kept.forget([described(SHARED).digest])
    assert not (tmp_path / "kept").exists()


async def test_a_part_of_another_size_is_not_kept(tmp_path: Path) -> None:
    kept, part = KeptParts(tmp_path), Part(Digest.of(b"all"), 2, 10, 10)
    await kept.keep(part, BytesBody(bytes(10)))
    assert kept.has(part)
    [path] = tmp_path.iterdir()
    path.write_bytes(bytes(9))
    assert not kept.has(part) and kept.body(part) is None
    await kept.keep(part, BytesBody(bytes(10)))
    assert kept.has(part)
