"""The plan of an export: which bytes go where. Nothing is written."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_push.content.oci import tar
from registry_push.content.oci.volume_plan import Piece, VolumePlan
from registry_push.errors import UsageError
from registry_push.model import Descriptor, Digest
from registry_push.model.export_document import ExportDocument
from registry_push.text.quantities import parse_size

TYPE = "application/octet-stream"
KB = 1000


def blobs_of(sizes: Sequence[int]) -> list[Descriptor]:
    return [Descriptor(TYPE, Digest.of(b"%d" % number), size) for number, size in enumerate(sizes)]


def planned(
    sizes: Sequence[int], split: int | None, *, index: bytes = b"{}", requires: Sequence[int] = ()
) -> VolumePlan:
    manifests = [Descriptor(TYPE, Digest.of(b"manifest"), 512)]
    return VolumePlan.of(
        "name",
        index=b"{}",
        names=[("me/model:v1", manifests[0].digest)],
        manifests=manifests,
        blobs=blobs_of(sizes),
        requires=[Digest.of(b"left out %d" % number) for number in requires],
        split=split,
    )


@given(
    sizes=st.lists(st.integers(0, 400 * KB), max_size=20),
    split=st.integers(60 * KB, 300 * KB),
)
def test_every_byte_of_every_blob_is_in_one_place_and_no_volume_is_too_large(sizes: list[int], split: int) -> None:
    plan = planned(sizes, split)
    assert all(file.size <= split for file in plan.files)
    pieces: dict[Digest, list[Piece]] = {}
    for number, file in enumerate(plan.files, 1):
        at = len(file.head)
        assert [entry.piece for entry in file.entries] == sorted(entry.piece for entry in file.entries)
        for entry in file.entries:
            assert entry.begin == at, "entries follow each other"
            at = entry.end
            pieces.setdefault(entry.piece.digest, []).append(entry.piece)
        assert file.document == at
        assert file.name == f"name.v{number:03}.tar"
    manifest = Digest.of(b"manifest")
    assert pieces.pop(manifest) == [Piece(manifest, 0, 0, 512)] * len(plan.files)
    assert {digest: sum(each.length for each in found) for digest, found in pieces.items()} == {
        blob.digest: blob.size for blob in blobs_of(sizes)
    }
    for found in pieces.values():
        if len(found) > 1:
            assert [each.number for each in found] == [*range(1, len(found) + 1)]
            assert [each.start for each in found] == [sum(e.length for e in found[:n]) for n in range(len(found))]
        assert len(found) == 1 or all(each.length for each in found)


@given(sizes=st.lists(st.integers(0, 400 * KB), max_size=20), split=st.integers(60 * KB, 300 * KB))
def test_the_document_says_what_is_where_and_fits_the_room_that_is_kept_for_it(sizes: list[int], split: int) -> None:
    plan = planned(sizes, split)
    sums = [Digest("f" * 64)] * len(plan.files)
    for number, file in enumerate(plan.files, 1):
        raw = plan.document.of_volume(number, sums).encode()
        assert len(raw) <= file.room
        read = ExportDocument.parse(raw.ljust(file.room), "here")
        assert read.volume.file == file.name
        assert read.volume.size == file.size
        assert read.export == plan.document.identified().export
        pieces = [entry.piece for entry in file.entries if entry.piece.digest != Digest.of(b"manifest")]
        assert [each.digest for each in pieces if not each.number] == sorted(read.volume.blobs)
        assert [(each.digest, each.number, each.start, each.length) for each in pieces if each.number] == [
            (part.digest, part.number, part.offset, part.length) for part in read.volume.parts
        ]


def test_one_file_has_everything_and_no_volumes() -> None:
    plan = planned([5, 7 * KB], None, requires=[1])
    assert [file.name for file in plan.files] == ["name.tar"]
    assert plan.document.volumes == ()
    assert plan.document.requires == (Digest.of(b"left out 1"),)
    assert plan.files[0].room == len(plan.document.encode()), "nothing is padded"


def test_the_name_of_the_file_does_not_change_its_bytes() -> None:
    assert planned([5], None).document.encode() == planned([5], None).document.encode()
    assert b"name" not in planned([5], None).document.encode().replace(b'"name"', b"")


def test_only_blobs_that_fit_in_no_volume_are_cut() -> None:
    plan = planned([90 * KB, 90 * KB, 90 * KB, 250 * KB], 100 * KB)
    cut = {entry.piece.digest for file in plan.files for entry in file.entries if entry.piece.number}
    assert cut == {blobs_of([0, 0, 0, 0])[3].digest}


@pytest.mark.parametrize("split", [1, 10 * KB])
def test_volumes_without_room_are_refused_with_a_size_that_works(split: int) -> None:
    with pytest.raises(UsageError, match="have no room") as refused:
        planned([5], split)
    assert refused.value.hint is not None
    assert planned([5], parse_size(refused.value.hint.partition("--split ")[2])).files


def test_more_volumes_than_anybody_carries_are_refused() -> None:
    with pytest.raises(UsageError, match="would be"):
        planned([10**12], 50_000 * KB)


def test_a_blob_of_8_gib_needs_a_longer_header() -> None:
    size = 8**11
    plan = planned([size], None)
    [entry] = [entry for entry in plan.files[0].entries if entry.piece.length == size]
    assert len(entry.header) == tar.HEADERS
    assert plan.files[0].size == entry.content + size + sum(
        tar.entry_size(each) for each in [plan.files[0].room] + [512] * (entry is plan.files[0].entries[0])
    ) + len(tar.END)
