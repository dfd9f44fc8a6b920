"""OCI archives as sources: what other programs write is read, and hostile ones end in an error that says what to do."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from registry_push.content.oci.archive import OCIArchive
from registry_push.content.oci.index import IMAGE_NAME
from registry_push.content.oci.tar_scan import MAX_ENTRIES
from registry_push.errors import (
    ArchiveCorrupt,
    BlobCorrupt,
    BlobMissing,
    ManifestCorrupt,
    ModelNotFound,
    RegistryPushError,
    SourceChanged,
    StoreNotFound,
    UsageError,
)
from registry_push.model import Descriptor
from registry_push.model.manifest import OCI_MANIFEST
from tests.support.command import command

from ..support.archives import Form, block, info, layout_files, write_archive
from ..support.layouts import BLOB, HELLO, LAYER, described, manifest

END = bytes(1024)
BIG = bytes(range(256)) * 10_000


async def read(archive: OCIArchive, blob: Descriptor) -> bytes:
    body = await archive.open(blob)
    return b"".join([piece async for piece in body.open(0, blob.size)])


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("prefix", ["", "./"])
async def test_archives_of_every_form(tmp_path: Path, prefix: str, form: Form) -> None:
    files = layout_files(manifests=[(manifest(layers=[described(BIG)]), "big")], blobs=[BIG])
    folders = ("", "blobs", "blobs/sha256") if prefix else ("blobs/sha256",)
    path = write_archive(tmp_path / "a.tar", files, prefix=prefix, form=form, folders=folders)
    async with OCIArchive(path) as archive:
        assert await archive.tags() == ("big",)
        found = await archive.resolve("big")
        assert (found, await archive.resolve(None)) == (manifest(layers=[described(BIG)]), found)
        await archive.check(found)
        assert await read(archive, described(BIG)) == BIG
        body = await archive.open(described(BIG))
        assert b"".join([piece async for piece in body.open(1_000_001, 1_200_000)]) == BIG[1_000_001:2_200_001]
        assert await archive.exists(described(BIG)) and not await archive.exists(BLOB)


async def test_long_names(tmp_path: Path) -> None:
    name = f"blobs/sha256/{BLOB.digest.hex}"
    forms: tuple[tuple[Form, int], ...] = (
        (tarfile.USTAR_FORMAT, 20),
        (tarfile.GNU_FORMAT, 100),
        (tarfile.PAX_FORMAT, 100),
    )
    for form, dots in forms:
        header = info("./" * dots + name, len(HELLO), pax_headers={"comment": "x", "mtime": "1.5"})
        files = layout_files(blobs=())
        async with OCIArchive(write_archive(tmp_path / "a.tar", files, (header, HELLO), form=form)) as archive:
            assert await read(archive, BLOB) == HELLO


async def test_size_that_only_an_extended_header_has(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.tar", layout_files(blobs=()))
    header = block(f"blobs/sha256/{BLOB.digest.hex}")
    path.write_bytes(_body_of(path) + _pax(_record("size", "11"), header=header) + HELLO.ljust(512, b"\0") + END)
    async with OCIArchive(path) as archive:
        assert await read(archive, BLOB) == HELLO


def _body_of(path: Path) -> bytes:
    """An archive without its end."""
    with tarfile.open(path) as archive:
        *_, last = archive.getmembers()
        end = last.offset_data + last.size + -last.size % 512
    return path.read_bytes()[:end]


async def test_sizes_beyond_eight_gigabytes(tmp_path: Path) -> None:
    size = 9 * 2**30
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = tmp_path / "a.tar"
        with path.open("wb") as file:
            file.write(info(f"blobs/sha256/{BLOB.digest.hex}", size).tobuf(form))
            file.seek(size, os.SEEK_CUR)
            rest = write_archive(tmp_path / "b.tar", layout_files(blobs=()))
            file.write(rest.read_bytes())
        async with OCIArchive(path) as archive:
            assert await archive.exists(Descriptor(LAYER, BLOB.digest, size))
            body = await archive.open(Descriptor(LAYER, BLOB.digest, size))
            assert [piece async for piece in body.open(size - 3, 3)] == [b"\0" * 3]


async def test_what_is_not_there(tmp_path: Path) -> None:
    async with OCIArchive(write_archive(tmp_path / "a.tar", layout_files(blobs=()))) as archive:
        with pytest.raises(BlobMissing):
            await archive.open(BLOB)
        with pytest.raises(BlobMissing):
            await archive.check(manifest())
        with pytest.raises(ModelNotFound):
            await archive.resolve("other")
    async with OCIArchive(write_archive(tmp_path / "a.tar")) as archive:
        with pytest.raises(BlobCorrupt):
            await archive.open(Descriptor(LAYER, BLOB.digest, 10))
        body = await archive.open(BLOB)
        with pytest.raises(BlobCorrupt):
            [_ async for _ in body.open(5, 7)]


async def test_archive_that_becomes_shorter(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.tar")
    async with OCIArchive(path) as archive:
        body = await archive.open(BLOB)
        os.truncate(path, 600)
        with pytest.raises(SourceChanged):
            [_ async for _ in body.open(0, BLOB.size)]
        with pytest.raises(SourceChanged):
            await archive.index()


async def test_a_manifest_with_another_digest(tmp_path: Path) -> None:
    files = layout_files()
    files[f"blobs/sha256/{manifest().digest.hex}"] = manifest().raw.replace(b"2", b"3")
    async with OCIArchive(write_archive(tmp_path / "a.tar", files)) as archive:
        with pytest.raises(ManifestCorrupt):
            await archive.resolve("latest")


async def test_what_docker_saves(tmp_path: Path) -> None:
    """Two images that have the tag `latest`, and the files of Docker's older form beside those of the layout."""
    one, two = (manifest(media_type=OCI_MANIFEST, note=note) for note in ("one", "two"))
    files = layout_files(manifests=[(one, "latest"), (two, "latest"), (one, "v1")])
    index = json.loads(files["index.json"])
    for entry, name in zip(index["manifests"], ["one:latest", "two:latest", "one:v1"], strict=True):
        entry["annotations"][IMAGE_NAME] = f"docker.io/library/{name}"
    files |= {"index.json": json.dumps(index).encode(), "manifest.json": b"[]", "repositories": b"{}"}
    async with OCIArchive(write_archive(tmp_path / "a.tar", files, folders=["blobs/", "blobs/sha256/"])) as archive:
        assert await archive.tags() == ("docker.io/library/one:latest", "docker.io/library/two:latest", "v1")
        assert await archive.resolve("docker.io/library/one:latest") == one
        assert await archive.resolve("docker.io/library/two:latest") == two
        assert await archive.resolve("v1") == one
        assert await archive.resolve("docker.io/library/one:v1") == one


Write = Callable[[Path], object]


def _with(*more: tuple[tarfile.TarInfo, bytes]) -> Write:
    return lambda path: write_archive(path, None, *more)


def _after(content: bytes) -> Write:
    """A whole layout, and after it, before the end, `content`."""
    return lambda path: path.write_bytes(_body_of(write_archive(path)) + content + END)


def _pax(record: bytes, kind: bytes = b"x", *, header: bytes = block("y")) -> bytes:
    """An extended header with this record, and the entry that it is for."""
    return block("x", len(record), kind) + record + bytes(-len(record) % 512) + header


def _record(key: str, value: str) -> bytes:
    length = len(f" {key}={value}\n") + 1
    length += len(str(length + len(str(length)) - 1)) - 1
    return f"{length} {key}={value}\n".encode()


def _million(path: Path) -> None:
    with path.open("wb") as file:
        for _ in range(MAX_ENTRIES // 1000 + 1):
            file.write(block("a") * 1000)
        file.write(END)


def _many_extended(path: Path) -> None:
    with path.open("wb") as file:
        for _ in range(1025):
            file.write(block("x", 65_536, b"K"))
            file.seek(65_536, os.SEEK_CUR)
        file.write(block("y") + END)


def _large_index(path: Path) -> None:
    with path.open("wb") as file:
        file.write(block("index.json", 100_000_000))
        file.seek(100_000_000 + 256, os.SEEK_CUR)
        file.write(END)


def _large_pax(kind: bytes) -> Write:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.write(block("x", 2**30, kind))
            file.seek(2**30, os.SEEK_CUR)
            file.write(block("y") + END)

    return write


def _link(name: str, kind: bytes) -> Write:
    return _with((info(name, kind=kind, linkname="../../etc/passwd"), b""))


HOSTILE: dict[str, tuple[Write, type[RegistryPushError], str]] = {
    "absolute path": (_with((info("/etc/passwd", 1), b"x")), ArchiveCorrupt, "the path '/etc/passwd'"),
    "path that leads out": (_with((info("blobs/../../x", 1), b"x")), ArchiveCorrupt, "the path 'blobs/../../x'"),
    "long path that leads out": (
        lambda path: write_archive(path, None, (info("a/" * 200 + "../x", 1), b"x"), form=tarfile.PAX_FORMAT),
        ArchiveCorrupt,
        "has an entry with the path",
    ),
    "absolute path of two parts": (_with((info("/" + "a/" * 60 + "b", 1), b"x")), ArchiveCorrupt, "the path '/a/a/"),
    "symbolic link": (_link("a", tarfile.SYMTYPE), ArchiveCorrupt, "a symbolic link, 'a'"),
    "blob that is a link": (
        _link(f"blobs/sha256/{described(b'x').digest.hex}", tarfile.SYMTYPE),
        ArchiveCorrupt,
        "a symbolic link",
    ),
    "hard link": (_link("a", tarfile.LNKTYPE), ArchiveCorrupt, "a hard link, 'a'"),
    "device": (_link("a", tarfile.CHRTYPE), ArchiveCorrupt, "a device, 'a'"),
    "disk": (_link("a", tarfile.BLKTYPE), ArchiveCorrupt, "a device, 'a'"),
    "pipe": (_link("a", tarfile.FIFOTYPE), ArchiveCorrupt, "a pipe, 'a'"),
    "sparse file": (_after(block("a", 0, tarfile.GNUTYPE_SPARSE)), ArchiveCorrupt, "a sparse file"),
    "sparse file of pax": (_after(_pax(_record("GNU.sparse.major", "1"))), ArchiveCorrupt, "a sparse file"),
    "sparse file of star": (_after(_pax(_record("SCHILY.realsize", "1"))), ArchiveCorrupt, "a sparse file"),
    "unknown type": (_after(block("a", 0, b"Z")), ArchiveCorrupt, "an entry of the type 'Z'"),
    "folder with content": (_after(block("a", 9, tarfile.DIRTYPE)), ArchiveCorrupt, "a folder with content"),
    "duplicate blob": (
        _with((info(f"./blobs/sha256/{BLOB.digest.hex}", 1), b"x")),
        ArchiveCorrupt,
        f"two entries blobs/sha256/{BLOB.digest.hex}",
    ),
    "duplicate index": (_with((info("index.json", 2), b"{}")), ArchiveCorrupt, "two entries index.json"),
    "size beyond the end": (_after(block("a", 10_000)), ArchiveCorrupt, "ends before the 10000 bytes"),
    "enormous size": (
        _after(block("a", 2**80, form=tarfile.GNU_FORMAT)),
        ArchiveCorrupt,
        f"ends before the {2**80} bytes",
    ),
    "enormous size of pax": (_after(_pax(_record("size", "9" * 20))), ArchiveCorrupt, "ends before the"),
    "endless size of pax": (_after(_pax(_record("size", "9" * 5000))), ArchiveCorrupt, "size is no number"),
    "negative size": (_after(block("a", -1, form=tarfile.GNU_FORMAT)), ArchiveCorrupt, "negative size"),
    "negative size of pax": (_after(_pax(_record("size", "-1"))), ArchiveCorrupt, "size is no number"),
    "path for all": (_after(_pax(_record("path", "x"), b"g")), ArchiveCorrupt, "a path for all"),
    "path with a zero": (_after(_pax(_record("path", "a\0b"))), ArchiveCorrupt, "has an entry with the path"),
    "record that is too long": (_after(_pax(b"99 path=x\n")), ArchiveCorrupt, "a broken extended header"),
    "record without an end": (_after(_pax(b"9 path=xx")), ArchiveCorrupt, "a broken extended header"),
    "record of no length": (_after(_pax(b"0 path=x\n")), ArchiveCorrupt, "a broken extended header"),
    "extended header at the end": (_after(_pax(_record("path", "x"))[:1024]), ArchiveCorrupt, "an end in its midst"),
    "extended header of a gigabyte": (_large_pax(b"x"), ArchiveCorrupt, "extended header of 1073741824 bytes"),
    "long name of a gigabyte": (_large_pax(b"L"), ArchiveCorrupt, "extended header of 1073741824 bytes"),
    "long extended header": (
        _after(_pax(_record("comment", "x" * 65_536))),
        ArchiveCorrupt,
        r"extended header of 655\d\d bytes",
    ),
    "a thousand extended headers": (_many_extended, ArchiveCorrupt, "extended header of 65536 bytes"),
    "end in the midst": (_after(bytes(512) + block("a")), ArchiveCorrupt, "an end in its midst"),
    "entry without a name": (_after(block(".")), ArchiveCorrupt, "an entry without a name"),
    "cut off": (lambda path: path.write_bytes(_body_of(write_archive(path))), ArchiveCorrupt, "ends too early"),
    "cut off in a header": (_after(b"x" * 100), ArchiveCorrupt, "has no tar header"),
    "flipped bit": (
        lambda path: path.write_bytes(write_archive(path).read_bytes().replace(b"index", b"inde\xf8", 1)),
        ArchiveCorrupt,
        "has no tar header, at byte",
    ),
    "no archive": (lambda path: path.write_bytes(b"GGUF" * 1000), ArchiveCorrupt, "has no tar header, at byte 0"),
    "empty file": (lambda path: path.write_bytes(b""), ArchiveCorrupt, "ends too early, at byte 0"),
    "a million entries": (_million, ArchiveCorrupt, f"has more than {MAX_ENTRIES} entries"),
    "large index": (_large_index, ManifestCorrupt, "100000000 bytes; at most"),
    "index that is none": (
        lambda path: write_archive(path, {"index.json": b"[]"}),
        ManifestCorrupt,
        "index.json is not a JSON object",
    ),
    "no index": (lambda path: write_archive(path, {"a": b""}), UsageError, "it has no index.json$"),
    "index in a folder": (lambda path: write_archive(path, prefix="lay/"), UsageError, "it has no index.json$"),
    "no entries": (lambda path: path.write_bytes(END), UsageError, "it has no index.json$"),
    "docker save of old": (lambda path: write_archive(path, {"manifest.json": b"[]"}), UsageError, "docker save"),
    "folder": (lambda path: path.mkdir(), UsageError, "is a folder, no archive"),
    "waiting pipe": (os.mkfifo, UsageError, "is a pipe, no archive"),
    "gzip": (lambda path: path.write_bytes(b"\x1f\x8b\x08" + bytes(600)), UsageError, "compressed with gzip"),
    "zstd": (lambda path: path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(600)), UsageError, "compressed with zstd"),
    "bzip2": (lambda path: path.write_bytes(b"BZh9" + bytes(600)), UsageError, "compressed with bzip2"),
    "xz": (lambda path: path.write_bytes(b"\xfd7zXZ\0" + bytes(600)), UsageError, "compressed with xz"),
}


@pytest.mark.attack("CVE-2024-45436")
@pytest.mark.attack("CVE-2025-4330")
@pytest.mark.attack("CVE-2025-4517")
@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_archive(tmp_path: Path, name: str) -> None:
    write, kind, words = HOSTILE[name]
    path = tmp_path / "a.tar"
    write(path)
    try:
        async with OCIArchive(path) as archive:
            with pytest.raises(kind, match=words) as caught:
                await archive.resolve(None)
        assert type(caught.value) is kind
        assert caught.value.exit_code in (2, 7)
        assert caught.value.hint
        assert [each.name for each in tmp_path.iterdir()] == ["a.tar"]
    finally:
        if path.is_file():
            path.unlink()  # some are large


@pytest.mark.parametrize("name", ["absolute path", "symbolic link", "pipe", "a million entries", "large index", "gzip"])
async def test_command_with_a_hostile_archive(tmp_path: Path, name: str) -> None:
    write, kind, _ = HOSTILE[name]
    path = tmp_path / "a.tar"
    write(path)
    try:
        for target in (f"oci:{tmp_path / 'new'}", f"oci-archive:{tmp_path / 'b.tar'}", "ollama:"):
            done = await command("copy", f"oci-archive:{path}", target, home=tmp_path)
            assert done.code == kind.exit_code, done.err
            assert "  → " in done.err
            assert done.peak < 100_000_000
        models = tmp_path / ".ollama/models"
        written = {each.name for each in tmp_path.iterdir()} - {".local", ".ollama", "a.tar"}
        assert written == set()
        assert not [each for each in models.rglob("*") if each.is_file() and not each.name.startswith(".")]
    finally:
        path.unlink()


async def test_no_file(tmp_path: Path) -> None:
    async with OCIArchive(tmp_path / "a.tar") as archive:
        with pytest.raises(StoreNotFound, match=r"there is no .*a\.tar"):
            await archive.tags()


async def test_archive_by_a_link_of_the_users(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.tar")
    (tmp_path / "link.tar").symlink_to("a.tar")
    async with OCIArchive(tmp_path / "link.tar") as archive:
        assert await archive.tags() == ("latest",)
