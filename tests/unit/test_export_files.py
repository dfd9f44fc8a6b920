"""What an export leaves alone beside its files, and what it lets nobody else write."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry_push.content.body import BytesBody
from registry_push.content.oci.archive import OCIArchive
from registry_push.content.oci.carriers import exports_of
from registry_push.content.oci.layout import OCILayout
from registry_push.content.oci.layout_document import write_document
from registry_push.content.oci.volume_set import VolumeSet
from registry_push.content.oci.volume_writer import VolumeWriter
from registry_push.content.partial_file import open_locked
from registry_push.errors import ArchiveCorrupt, ConnectionLost, ManifestCorrupt, UsageError
from registry_push.model import Descriptor, Digest
from registry_push.model.export_document import EXPORT_FILE, ExportDocument
from tests.support.archives import write_archive
from tests.support.layouts import LAYER, described, manifest
from tests.support.peers import require
from tests.support.volumes import BLOBS, SMALL, SPLIT, fill, write


def snapshot(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}


async def test_nobody_else_can_write_a_file_while_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int | None] = []
    rename = Path.rename

    def watched(self: Path, target: Path) -> Path:
        taken.append(open_locked(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", watched)
    await write(tmp_path / "a.tar", split=SPLIT)
    assert taken == [None, None, None]


@pytest.mark.parametrize("split", [None, SPLIT])
@pytest.mark.parametrize("text", ["my notes\n", f"{'0' * 64}  other.tar\n", f"{'0' * 64}  a.tar\nand a note\n", "\xff"])
async def test_the_user_s_own_file_is_not_replaced_by_sums(tmp_path: Path, split: int | None, text: str) -> None:
    (tmp_path / "a.sha256").write_text(text, encoding="latin-1")
    before = snapshot(tmp_path)
    with pytest.raises(UsageError, match="something else is there"):
        await write(tmp_path / "a.tar", split=split)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("kind", ["a folder", "a link"])
async def test_what_is_no_file_in_the_place_of_the_sums_is_found_before_anything_is_written(
    tmp_path: Path, kind: str
) -> None:
    (tmp_path / "sums").write_text(f"{'0' * 64}  a.tar\n")
    if kind == "a folder":
        (tmp_path / "a.sha256").mkdir()
    else:
        (tmp_path / "a.sha256").symlink_to("sums")
    with pytest.raises(UsageError, match="something else is there"):
        VolumeWriter(tmp_path / "a.tar").check_is_new()


async def test_sums_of_an_earlier_export_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.sha256").write_text(f"{'0' * 64}  a.tar\n{'1' * 64}  a.v001.tar\n")
    [file] = await write(tmp_path / "a.tar")
    assert (tmp_path / "a.sha256").read_text().endswith(f"  {file.name}\n")


async def test_a_volume_of_another_export_is_not_left_among_the_new_ones(tmp_path: Path) -> None:
    (tmp_path / "a.v004.tar").write_bytes(b"of an earlier, longer set")
    with pytest.raises(UsageError, match=r"a\.v004\.tar is of another export"):
        await write(tmp_path / "a.tar", split=SPLIT)
    assert [each.name for each in tmp_path.iterdir()] == ["a.v004.tar"]
    (tmp_path / "a.v004.tar").unlink()
    (tmp_path / "a.v1.tar").write_bytes(b"no volume")
    (tmp_path / "aa.v004.tar").write_bytes(b"another name's")
    assert len(await write(tmp_path / "a.tar", split=SPLIT)) == 3


class Gone(BytesBody):
    """A body that can't be read any more."""

    def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
        raise ConnectionLost("the source went away")


async def test_a_finished_volume_has_its_name_again_if_another_one_can_t_be_written(tmp_path: Path) -> None:
    files = await write(tmp_path / "a.tar", split=SPLIT)
    files[0].unlink()
    before = snapshot(tmp_path)
    with pytest.raises(ConnectionLost):
        async with VolumeWriter(tmp_path / "a.tar", split=SPLIT) as writer:
            await fill(writer, bodies={blob: Gone(body) for blob, body in BLOBS.items()})
    assert snapshot(tmp_path) == before


async def test_a_finished_volume_has_its_name_again_if_another_name_is_taken(tmp_path: Path) -> None:
    files = await write(tmp_path / "a.tar", split=SPLIT)
    files[0].unlink()
    files[2].write_bytes(b"another's")
    before = snapshot(tmp_path)
    with pytest.raises(UsageError, match="is there already"):
        await write(tmp_path / "a.tar", split=SPLIT)
    assert {name: each for name, each in snapshot(tmp_path).items() if not name.startswith("a.v001")} == before


async def test_manifests_that_give_a_blob_two_sizes_are_refused(tmp_path: Path) -> None:
    right = described(SMALL)
    for size in (right.size - 1, right.size + 1):
        wrong = manifest(layers=[Descriptor(LAYER, right.digest, size)])
        for named in ([(manifest(layers=[right]), "a"), (wrong, "b")], [(wrong, "b"), (manifest(layers=[right]), "a")]):
            async with VolumeWriter(tmp_path / "a.tar") as writer:
                with pytest.raises(ManifestCorrupt, match="two sizes"):
                    writer.expect(named)
    assert not list(tmp_path.iterdir())


async def test_the_documents_of_a_set_share_what_they_all_say(tmp_path: Path) -> None:
    files = await write(tmp_path / "a.tar", split=SPLIT)
    async with VolumeSet(tmp_path / "a.tar", [OCIArchive(file) for file in files[::-1]]) as volumes:
        documents = volumes.exports()
    assert [each.number for each in documents] == [3, 2, 1]
    assert all(each.volumes is documents[0].volumes for each in documents)
    assert [volume.sha256 for volume in documents[0].volumes[1:]] == [
        Digest.of(file.read_bytes()) for file in files[1:]
    ]


async def test_volumes_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    files = await write(tmp_path / "a.tar", split=SPLIT)
    async with OCIArchive(files[1]) as second:
        [said] = second.exports()
    lie = ExportDocument(said.manifests, said.requires, said.export, 2, said.volumes[:2])
    other = write_archive(tmp_path / "b.tar", {"index.json": b"{}", EXPORT_FILE: lie.encode()})
    async with OCIArchive(files[0]) as first, OCIArchive(other) as third:
        with pytest.raises(ArchiveCorrupt, match=r"a\.v001\.tar and .*b\.tar say"):
            exports_of([first, third])


async def test_a_partial_file_that_no_export_began_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "a.tar.partial").write_text("my notes")
    with pytest.raises(UsageError, match=r"a\.tar\.partial is there already"):
        await write(tmp_path / "a.tar")
    assert snapshot(tmp_path) == {"a.tar.partial": b"my notes"}


@pytest.mark.parametrize("size", [0, 100, 1024, 1500])
async def test_one_that_an_export_has_only_begun_is_taken_over(tmp_path: Path, size: int) -> None:
    [whole] = await write(tmp_path / "whole.tar")
    (tmp_path / "a.tar.partial").write_bytes(whole.read_bytes()[:size])
    [again] = await write(tmp_path / "a.tar")
    assert again.read_bytes() == whole.read_bytes()


async def test_a_folder_says_what_all_exports_into_it_have_left_out(tmp_path: Path) -> None:
    layout = OCILayout(tmp_path, elsewhere=[described(SMALL).digest])
    of = manifest(layers=[described(SMALL), described(b"")])
    await layout.put(described(b""), BytesBody(b""))
    await layout.put_manifest(of, "me/one:v1")
    await write_document(layout)
    [document] = layout.exports()
    assert document.requires == (described(SMALL).digest,)
    assert [(each.name, each.digest) for each in document.manifests] == [("me/one:v1", of.digest)]
    await OCILayout(tmp_path).put(described(SMALL), BytesBody(SMALL))
    await write_document(layout)
    assert [each.requires for each in layout.exports()] == [()]


@pytest.mark.parametrize("name", ["a b.tar", "a\nb.tar", "a\rb.tar", "a\\nb.tar", "ü\x85.tar"])
@pytest.mark.parametrize("split", [None, SPLIT])
async def test_sha256sum_reads_the_sums_whatever_the_files_are_called(
    tmp_path: Path, name: str, split: int | None
) -> None:
    files = await write(tmp_path / name, split=split)
    sums = (tmp_path / name).with_suffix(".sha256").name
    done = subprocess.run(
        [require("sha256sum"), "--strict", "-c", sums], cwd=tmp_path, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0 and done.stdout.count(b": OK\n") == len(files), done.stderr
    for file in files:
        file.unlink()
    VolumeWriter(tmp_path / name, split=split).check_is_new()  # sums of an earlier export are no stranger's
