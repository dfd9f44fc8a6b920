"""OCI archives as targets: what is in the file, and that it appears whole or not at all."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry_push.content.body import BytesBody
from registry_push.content.oci import tar
from registry_push.content.oci.archive import OCIArchive
from registry_push.content.oci.archive_writer import OCIArchiveWriter
from registry_push.content.oci.partial_archive import partial_path
from registry_push.errors import BlobCorrupt, ConnectionLost, ManifestRefused, Unavailable, UsageError
from registry_push.model import Manifest
from registry_push.model.manifest import OCI_MANIFEST

from ..support.archive_writing import BIG, BIG_BLOB, BOTH, EXPECTED, Failing, Unread, write
from ..support.layouts import BLOB, HELLO, described, manifest


async def test_what_is_in_the_file(tmp_path: Path) -> None:
    content = await write(tmp_path / "a.tar", names=["b", "a"])
    with tarfile.open(tmp_path / "a.tar") as archive:
        entries = archive.getmembers()
        blobs = [f"blobs/sha256/{digest.hex}" for digest in (BIG_BLOB.digest, BLOB.digest, BOTH.digest)]
        assert [entry.name for entry in entries] == ["oci-layout", "index.json", *blobs]
        read = [archive.extractfile(entry) for entry in entries]
        layout, index, *contents = [file.read() for file in read if file is not None]
    for entry in entries:
        assert (entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname) == (0, 0, 0, "", "")
        assert (entry.mode, entry.type, entry.pax_headers) == (0o644, tarfile.REGTYPE, {})
    assert contents == [BIG, HELLO, BOTH.raw]
    assert json.loads(layout) == {"imageLayoutVersion": "1.0.0"}
    assert index == index.strip(), "the room is what is needed"
    names = [entry["annotations"] for entry in json.loads(index)["manifests"]]
    assert names == [{"org.opencontainers.image.ref.name": name} for name in "ab"]
    end = entries[-1].offset_data + len(BOTH.raw)
    assert content[end:] == bytes(-end % 512 + 1024)
    assert (tmp_path / "a.tar").stat().st_mode & 0o777 == 0o644
    assert [each.name for each in tmp_path.iterdir()] == ["a.tar"]


async def test_same_content_has_the_same_bytes(tmp_path: Path) -> None:
    first = await write(tmp_path / "a.tar", names=["a", "b"])
    assert await write(tmp_path / "b.tar", names=["b", "a"]) == first
    assert await write(tmp_path / "c.tar", names=["a"]) != first
    unexpected = await write(tmp_path / "d.tar", names=["a", "b"], expected=False)
    assert unexpected != first
    async with OCIArchive(tmp_path / "d.tar") as archive:
        assert await archive.tags() == ("a", "b")


async def test_what_is_about_another_manifest(tmp_path: Path) -> None:
    """It is listed without a name, or with the one that it has besides: the same bytes in whatever order."""
    document = json.loads(manifest(media_type=OCI_MANIFEST).raw)
    signature = Manifest.parse(json.dumps(document | {"subject": document["config"]}).encode())
    names = [(signature, str(signature.digest)), (signature, "signature"), (manifest(), "latest")]
    for number, puts in enumerate((names, [names[1], names[0], names[2]], names[:1] + names[2:])):
        async with OCIArchiveWriter(tmp_path / f"{number}.tar") as writer:
            writer.expect(reversed(puts))
            await writer.put(BLOB, BytesBody(HELLO))
            for each, ref in puts:
                await writer.put_manifest(each, ref)
            await writer.finish()
    first, second, nameless = [(tmp_path / f"{number}.tar").read_bytes() for number in range(3)]
    assert first == second != nameless
    async with OCIArchive(tmp_path / "2.tar") as archive:
        index = await archive.index()
        assert (index.refs, len(index.entries)) == (("latest",), 2)


async def test_what_fails_leaves_no_trace(tmp_path: Path) -> None:
    """Wrong content, a line that breaks, and a put that is cancelled: each after some megabytes were written."""
    under_way = asyncio.Event()

    class Endless(BytesBody):
        async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
            for start in range(0, 3 * 2**20, 2**20):
                yield self.content[start : start + 2**20]
            under_way.set()
            await asyncio.Event().wait()

    path = tmp_path / "a.tar"
    async with OCIArchiveWriter(path) as writer:
        writer.expect(EXPECTED)
        await writer.put(BIG_BLOB, BytesBody(BIG))
        size = partial_path(path).stat().st_size
        other = described(BIG[::-1])
        for body, error in ((BytesBody(BIG), BlobCorrupt), (Failing(BIG[::-1]), ConnectionLost)):
            with pytest.raises(error):
                await writer.put(other, body)
            assert partial_path(path).stat().st_size == size
        putting = asyncio.create_task(writer.put(other, Endless(BIG[::-1])))
        await under_way.wait()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        assert partial_path(path).stat().st_size == size
        assert not await writer.exists(other)
        await writer.put(BLOB, BytesBody(HELLO))
        await writer.put_manifest(BOTH, "both")
        await writer.finish()
    assert path.read_bytes() == await write(tmp_path / "b.tar")


async def test_nothing_has_the_name_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.tar"
    async with OCIArchiveWriter(path) as writer:
        await writer.put(BLOB, BytesBody(HELLO))
        await writer.put_manifest(manifest(), "latest")
        assert [each.name for each in path.parent.iterdir()] == ["a.tar.partial"]
        await writer.finish()
        assert [each.name for each in path.parent.iterdir()] == ["a.tar"]


@pytest.mark.parametrize("kind", ["file", "folder", "link to nothing"])
async def test_what_is_there_is_not_touched(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tar"
    match kind:
        case "file":
            path.write_bytes(b"mine")
        case "folder":
            path.mkdir()
        case _:
            path.symlink_to("nowhere")
    async with OCIArchiveWriter(path) as writer:
        with pytest.raises(UsageError, match="is there already") as caught:
            writer.check_is_new()
        assert (f"rm {path}" in str(caught.value.hint)) == (kind != "folder")
        with pytest.raises(UsageError, match="is there already"):
            await writer.put(BLOB, BytesBody(HELLO))
    assert [each.name for each in tmp_path.iterdir()] == ["a.tar"]


async def test_what_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    async with OCIArchiveWriter(path) as writer:
        await writer.put(BLOB, BytesBody(HELLO))
        await writer.put_manifest(manifest(), "latest")
        path.write_bytes(b"mine")
        with pytest.raises(UsageError, match="is there already"):
            await writer.finish()
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize("kind", ["file", "dangling link"])
async def test_nor_is_what_appears_at_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """After the last look, while the content goes to the disk; and what is written can still be continued."""
    path, sync = tmp_path / "a.tar", os.fsync

    def appears(descriptor: int) -> None:
        sync(descriptor)
        if kind == "file":
            path.write_bytes(b"mine")
        else:
            path.symlink_to("nowhere")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", appears)
        with pytest.raises(UsageError, match="is there already"):
            await write(path)
    assert path.read_bytes() == b"mine" if kind == "file" else path.is_symlink()
    path.unlink()
    async with OCIArchiveWriter(path) as writer:
        writer.expect(EXPECTED)
        placed = [await writer.put(BIG_BLOB, Unread(BIG)), await writer.put(BLOB, Unread(HELLO))]
        assert [each.sent for each in placed] == [0, 0]
        await writer.put_manifest(BOTH, "both")
        await writer.finish()
    assert [each.name for each in tmp_path.iterdir()] == ["a.tar"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
async def test_an_archive_where_a_file_has_one_name_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    path, sync = tmp_path / "a.tar", os.fsync

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    def appears(descriptor: int) -> None:
        sync(descriptor)
        path.write_bytes(b"mine")

    monkeypatch.setattr(os, "link", refuse)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", appears)
        with pytest.raises(UsageError, match="is there already"):
            await write(path)
    assert path.read_bytes() == b"mine"
    path.unlink()
    await write(path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.tar"]


@pytest.mark.parametrize("blobs", [0, 1])
async def test_an_archive_needs_a_manifest(tmp_path: Path, blobs: int) -> None:
    async with OCIArchiveWriter(tmp_path / "a.tar") as writer:
        for _ in range(blobs):
            await writer.put(BLOB, BytesBody(HELLO))
        with pytest.raises(UsageError, match="without a manifest"):
            await writer.finish()
    assert list(tmp_path.iterdir()) == []


async def test_nothing_is_written_until_something_is_put(tmp_path: Path) -> None:
    async with OCIArchiveWriter(tmp_path / "a.tar") as writer:
        writer.expect(EXPECTED)
        assert not await writer.exists(BLOB)
        assert await writer.digest_of("both") is None
        assert await writer.digest_of(str(BLOB.digest)) is None
        assert list(tmp_path.iterdir()) == []


async def test_an_index_without_room(tmp_path: Path) -> None:
    async with OCIArchiveWriter(tmp_path / "a.tar") as writer:
        writer.expect([(manifest(), "a")])
        await writer.put(BLOB, BytesBody(HELLO))
        await writer.put_manifest(manifest(), "a")
        with pytest.raises(ManifestRefused, match="no room for b"):
            await writer.put_manifest(manifest(), "b")
        await writer.finish()
    async with OCIArchive(tmp_path / "a.tar") as archive:
        assert await archive.tags() == ("a",)


async def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, pwrite = tmp_path / "a.tar", os.pwrite

    def full(descriptor: int, content: bytes, offset: int) -> int:
        if offset > len(BIG) + 2**20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(descriptor, content[: 2**19], offset)

    async with OCIArchiveWriter(path) as writer:
        writer.expect(EXPECTED)
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            await writer.put(BIG_BLOB, BytesBody(BIG))
            size = partial_path(path).stat().st_size
            with pytest.raises(Unavailable, match=r"a\.tar\.partial can't be written"):
                await writer.put(described(BIG[::-1]), BytesBody(BIG[::-1]))
        assert partial_path(path).stat().st_size == size
        await writer.put(BLOB, BytesBody(HELLO))
        await writer.put_manifest(BOTH, "both")
        await writer.finish()
    assert path.read_bytes() == await write(tmp_path / "b.tar")


@pytest.mark.parametrize("size", [0, 1, 8**11 - 1, 8**11, 2**40, 2**63 - 1])
def test_headers_of_every_size(size: int) -> None:
    header = tar.file_header("blobs/sha256/x", size)
    assert len(header) == (512 if size < 8**11 else 1536)
    if size < 8**11:
        found = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        assert (found.name, found.size) == ("blobs/sha256/x", size)
        return
    extended = tar.parse_header(header[:512])
    said = tar.parse_extended(extended, header[512 : 512 + extended.size])
    assert said.applied(tar.parse_header(header[1024:])) == tar.Header(b"blobs/sha256/x", tar.FILE, size)


def test_header_of_a_large_file_as_python_reads_it(tmp_path: Path) -> None:
    path, size = tmp_path / "a.tar", 9 * 2**30
    with path.open("wb") as file:
        file.write(tar.file_header("large", size))
        file.seek(size, os.SEEK_CUR)
        file.write(tar.file_header("small", 0) + tar.END)
    with tarfile.open(path) as archive:
        assert [(entry.name, entry.size) for entry in archive] == [("large", size), ("small", 0)]
