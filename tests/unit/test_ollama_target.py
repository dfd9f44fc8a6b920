"""What is written into an Ollama store, and what Ollama makes of it: blobs, manifests and their names."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry_push.content.base import Placed
from registry_push.content.body import BytesBody
from registry_push.content.ollama.files import StoreFiles
from registry_push.content.ollama.source import OllamaStore
from registry_push.content.ollama.target import OllamaTarget
from registry_push.errors import BlobCorrupt, IntegrityError, InvalidName, ManifestRefused, Unwritable
from registry_push.events import Placement
from registry_push.model import Descriptor, Digest, Manifest, ModelName

from ..support.bodies import CountedBody
from ..support.layouts import BLOB, HELLO, described, manifest

WHOLE = manifest()
HOUR = 3600.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a store is to be; there is none yet."""
    return tmp_path / "home" / ".ollama" / "models"


def model(root: Path, name: str = "me/tiny") -> OllamaTarget:
    return OllamaTarget(root, ModelName.parse(name))


async def put(target: OllamaTarget, wanted: Manifest = WHOLE, tag: str = "latest", *contents: bytes) -> None:
    for content in contents or (HELLO,):
        await target.put(described(content), BytesBody(content))
    await target.put_manifest(wanted, tag)


def blob_path(root: Path, blob: Descriptor = BLOB) -> Path:
    return root / "blobs" / blob.digest.path_name


def files_in(folder: Path) -> list[str]:
    """The paths of all that is in it and no folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or path.is_file())


# ── what Ollama sees ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
@pytest.mark.parametrize("v2", [False, True])
async def test_modes_are_those_of_ollama_whatever_the_umask(root: Path, umask: int, v2: bool) -> None:
    if v2:
        (root / "manifests-v2").mkdir(parents=True)
    before = os.umask(umask)
    try:
        await put(model(root))
    finally:
        os.umask(before)
    found = {path: path.lstat() for path in root.rglob("*")}
    assert {oct(each.st_mode & 0o7777) for each in found.values() if stat.S_ISDIR(each.st_mode)} == {"0o755"}
    assert {oct(each.st_mode & 0o7777) for each in found.values() if stat.S_ISREG(each.st_mode)} == {"0o644"}


async def test_a_store_is_laid_out_as_ollama_does_it(root: Path) -> None:
    await put(model(root))
    assert files_in(root) == sorted(
        [f"blobs/{BLOB.digest.path_name}", "manifests/registry.ollama.ai/me/tiny/latest"]
    ), "and nothing of ours is left"
    assert (root / "manifests/registry.ollama.ai/me/tiny/latest").read_bytes() == WHOLE.raw
    assert blob_path(root).read_bytes() == HELLO


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("llama3.2", "registry.ollama.ai/library/llama3.2"),
        ("hf.co/bartowski/Qwen2.5-7B-GGUF", "hf.co/bartowski/Qwen2.5-7B-GGUF"),
        ("localhost:5000/me/tiny", "localhost:5000/me/tiny"),
    ],
)
async def test_where_a_manifest_lies(root: Path, name: str, path: str) -> None:
    await put(model(root, name), WHOLE, "Q4_K_M")
    assert files_in(root / "manifests") == [f"{path}/Q4_K_M"]


class Looks:
    """What lay where Ollama looks, each time that anything was given a name, or written."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.blobs: set[str] = set()
        self.manifests: set[str] = set()

    def take(self) -> None:
        blobs = self._root / "blobs"
        self.blobs.update(path.name for path in (blobs.iterdir() if blobs.exists() else ()))
        for top in ("manifests", "manifests-v2"):
            self.manifests.update(files_in(self._root / top))


@pytest.fixture
def looks(root: Path, monkeypatch: pytest.MonkeyPatch) -> Looks:
    """Looks before and after every system call that changes what there is."""
    looks = Looks(root)

    def watched(call: Callable[..., object]) -> Callable[..., object]:
        def calling(*args: object, **kwargs: object) -> object:
            looks.take()
            try:
                return call(*args, **kwargs)
            finally:
                looks.take()

        return calling

    for name in ("open", "replace", "unlink", "symlink", "link", "fsync", "pwrite", "ftruncate"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    return looks


@pytest.mark.parametrize("v2", [False, True])
async def test_nothing_foreign_ever_lies_where_ollama_looks(root: Path, looks: Looks, v2: bool) -> None:
    if v2:
        (root / "manifests-v2").mkdir(parents=True)
    target = model(root)
    with pytest.raises(BlobCorrupt):
        await target.put(BLOB, BytesBody(HELLO[::-1]))
    await put(target)
    other = manifest(note="another")
    await target.put_manifest(other, "latest")
    await target.put_manifest(other, str(other.digest))
    own = {BLOB.digest.path_name, other.digest.path_name} | ({WHOLE.digest.path_name} if v2 else set())
    assert looks.blobs == own, "Ollama parses what is in blobs/, and deletes what it can't parse"
    hosts = ["registry.ollama.ai", *(["ollama.com"] if v2 else [])]
    assert looks.manifests == {f"{host}/me/tiny/latest" for host in hosts}, "one odd file there ends its clean-up"


async def test_partial_content_lies_beside_what_ollama_looks_at(root: Path) -> None:
    with pytest.raises(Exception, match="the line broke"):
        await model(root).put(BLOB, CountedBody(HELLO, until=5))
    assert files_in(root) == [f".registry-push/{BLOB.digest.path_name}.partial"]


# ── blobs ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_blob_that_is_found_counts_as_new(root: Path) -> None:
    target = model(root)
    await put(target)
    old = time.time() - 2 * HOUR
    os.utime(blob_path(root), (old, old))
    assert await target.exists(BLOB)
    assert blob_path(root).stat().st_mtime > time.time() - 60, "Ollama deletes at its start what is over an hour old"


async def test_a_blob_whose_last_byte_came_long_ago_counts_as_new(root: Path) -> None:
    """All of it was there when an earlier pull was killed, yesterday."""
    target = model(root)
    work = root / ".registry-push"
    work.mkdir(parents=True)
    partial = work / f"{BLOB.digest.path_name}.partial"
    partial.write_bytes(HELLO)
    old = time.time() - 24 * HOUR
    os.utime(partial, (old, old))
    assert await target.put(BLOB, BytesBody(HELLO)) == Placed(Placement.UPLOADED, 0)
    assert blob_path(root).stat().st_mtime > time.time() - 60


@pytest.mark.parametrize("kind", ["short", "folder", "pipe", "link out of the store", "link to nothing"])
async def test_what_is_no_blob_does_not_count(root: Path, tmp_path: Path, kind: str) -> None:
    outside, path = tmp_path / "outside", blob_path(root)
    outside.write_bytes(HELLO)
    path.parent.mkdir(parents=True)
    match kind:
        case "short":
            path.write_bytes(HELLO[:-1])
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "link out of the store":
            path.symlink_to(outside)
        case _:
            path.symlink_to(root / "nothing")
    target = model(root)
    assert not await target.exists(BLOB)
    if kind == "folder":
        with pytest.raises(Unwritable, match="directory"):
            await target.put(BLOB, BytesBody(HELLO))
        return
    await put(target)
    assert path.read_bytes() == HELLO and path.is_file() and not path.is_symlink()
    assert outside.read_bytes() == HELLO


async def test_a_pipe_is_no_empty_blob(root: Path) -> None:
    empty = described(b"")
    (root / "blobs").mkdir(parents=True)
    os.mkfifo(blob_path(root, empty))
    assert not await model(root).exists(empty)


async def test_a_blob_that_is_linked_inside_the_store_counts(root: Path) -> None:
    """As owners make them who keep blobs on a bigger disk."""
    real = root / "blobs" / "kept" / "elsewhere"
    real.parent.mkdir(parents=True)
    real.write_bytes(HELLO)
    blob_path(root).symlink_to(real)
    body = CountedBody(HELLO)
    assert (await model(root).put(BLOB, body)).placement is Placement.PRESENT
    assert body.asked == []


async def test_blobs_on_another_disk(root: Path, other_disk: Path) -> None:
    """Content is on its way on the disk of the blobs, so that it is given its name in one step."""
    if other_disk.stat().st_dev == root.parents[2].stat().st_dev:
        pytest.skip("there is one disk only")
    root.mkdir(parents=True)
    (other_disk / "blobs").mkdir()
    (root / "blobs").symlink_to(other_disk / "blobs")
    await put(model(root))
    assert files_in(other_disk) == [f"blobs/{BLOB.digest.path_name}"]
    assert (await OllamaStore(root).resolve(ModelName.parse("me/tiny"))).raw == WHOLE.raw


@pytest.fixture
def other_disk() -> Iterator[Path]:
    """A folder on a file system of its own, where there is one."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        yield Path(folder)


# ── manifests ─────────────────────────────────────────────────────────────────────────────────────


async def test_manifest_comes_last(root: Path, looks: Looks) -> None:
    target = model(root)
    with pytest.raises(ManifestRefused, match=str(BLOB.digest)) as refused:
        await target.put_manifest(WHOLE, "latest")
    assert refused.value.lacks_blobs
    assert looks.manifests == set(), "not for a moment"


@pytest.mark.parametrize("tag", ["", ".hidden", "a/b", "..", "x" * 81])
async def test_a_tag_that_ollama_does_not_know_is_refused(root: Path, tag: str) -> None:
    target = model(root)
    await target.put(BLOB, BytesBody(HELLO))
    with pytest.raises(InvalidName):
        await target.put_manifest(WHOLE, tag)
    assert files_in(root / "manifests") == []


@pytest.mark.parametrize("name", ["ME/Tiny", "me/TINY", "REGISTRY.ollama.ai/me/tiny"])
async def test_names_match_without_case_and_keep_the_spelling_on_the_disk(root: Path, name: str) -> None:
    await put(model(root), WHOLE, "Latest")
    other = manifest(note="newer")
    await model(root, name).put_manifest(other, "LATEST")
    assert files_in(root / "manifests") == ["registry.ollama.ai/me/tiny/Latest"]
    assert (root / "manifests/registry.ollama.ai/me/tiny/Latest").read_bytes() == other.raw
    assert await model(root, name).digest_of("lAtEsT") == other.digest


async def test_the_exact_name_goes_before_one_that_is_alike(root: Path) -> None:
    """Both can be there on a disk that tells them apart."""
    await put(model(root, "me/tiny"))
    other = root / "manifests/registry.ollama.ai/me/TINY"
    other.mkdir()
    newer = manifest(note="newer")
    await model(root, "me/TINY").put_manifest(newer, "latest")
    assert (other / "latest").read_bytes() == newer.raw
    assert (other.parent / "tiny/latest").read_bytes() == WHOLE.raw


async def test_a_digest_is_told_only_of_what_is_whole(root: Path) -> None:
    target = model(root)
    assert await target.digest_of("latest") is None
    await put(target)
    assert await target.digest_of("latest") == WHOLE.digest
    blob_path(root).write_bytes(HELLO[:-1])
    assert await target.digest_of("latest") is None, "or a pull would find nothing to do"
    await put(target)
    (root / "manifests/registry.ollama.ai/me/tiny/latest").write_bytes(b"{")
    assert await target.digest_of("latest") is None


async def test_a_link_in_the_place_of_a_folder_does_not_lead_out(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = root / "manifests/registry.ollama.ai"
    folder.mkdir(parents=True)
    (folder / "me").symlink_to(outside)
    target = model(root)
    await target.put(BLOB, BytesBody(HELLO))
    with pytest.raises(Unwritable, match="link out of the store"):
        await target.put_manifest(WHOLE, "latest")
    assert files_in(outside) == []


# ── what is deleted meanwhile ─────────────────────────────────────────────────────────────────────


@pytest.fixture
def removes(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """`ollama rm` of another model with the same blob, after each of so many manifests got their name."""
    left = [0]
    real = os.replace

    def replace(source: str, target: str, **kwargs: int) -> None:
        real(source, target, **kwargs)
        if target == "latest" and left[0]:
            left[0] -= 1
            blob_path(root).unlink(missing_ok=True)

    monkeypatch.setattr(os, "replace", replace)
    return left


@pytest.mark.parametrize("v2", [False, True])
async def test_a_model_whose_blob_was_removed_meanwhile_is_never_left(root: Path, removes: list[int], v2: bool) -> None:
    if v2:
        (root / "manifests-v2").mkdir(parents=True)
    target, removes[0] = model(root), 3 * (1 + v2)
    for _ in range(3):
        with pytest.raises(ManifestRefused) as refused:
            await put(target)
        assert refused.value.lacks_blobs, "so that it is fetched, and put again"
        assert files_in(root / "manifests") == files_in(root / "manifests-v2") == []
    await put(target)
    assert await target.digest_of("latest") == WHOLE.digest


async def test_the_fourth_time_it_is_no_accident(root: Path, removes: list[int]) -> None:
    target, removes[0] = model(root), 4
    for _ in range(3):
        with pytest.raises(ManifestRefused):
            await put(target)
    with pytest.raises(IntegrityError, match="3 times") as failed:
        await put(target)
    assert failed.value.exit_code == 7 and "ollama rm" in (failed.value.hint or "")
    assert files_in(root / "manifests") == []


@pytest.mark.parametrize("how", ["another file", "the same file", "no file"])
async def test_what_another_has_put_there_meanwhile_stays(
    root: Path, tmp_path: Path, removes: list[int], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Only our own manifest is taken back. Ollama writes into the file that is there."""
    target, removes[0] = model(root), 1
    path = root / "manifests/registry.ollama.ai/me/tiny/latest"
    missing = StoreFiles.missing

    def looking(files: StoreFiles, wanted: Manifest) -> list[Digest]:
        if path.exists():
            match how:
                case "another file":
                    (tmp_path / "other").write_bytes(b"another's")
                    (tmp_path / "other").rename(path)
                case "the same file":
                    path.write_bytes(b"another's")
                    os.utime(path, (1.0, 1.0))  # its time is another's too, however coarse the clock of files is
                case _:
                    path.unlink()
        return missing(files, wanted)

    monkeypatch.setattr(StoreFiles, "missing", looking)
    with pytest.raises(ManifestRefused):
        await put(target)
    assert path.read_bytes() == b"another's" if how != "no file" else not path.exists()


# ── manifests-v2 ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "v2"),
    [
        ("me/tiny", "ollama.com/me/tiny"),
        ("localhost:5000/me/tiny", "localhost%3A5000/me/tiny"),
        ("hf.co/me/Tiny", "hf.co/me/Tiny"),
    ],
)
async def test_the_coming_layout_has_a_relative_link(root: Path, name: str, v2: str) -> None:
    (root / "manifests-v2").mkdir(parents=True)
    await put(model(root, name))
    link = root / "manifests-v2" / v2 / "latest"
    assert str(link.readlink()) == f"../../../../blobs/{WHOLE.digest.path_name}"
    assert blob_path(root, Descriptor("", WHOLE.digest, len(WHOLE.raw))).read_bytes() == WHOLE.raw
    assert len(files_in(root / "manifests")) == 1, "versions of today read the other one"
    assert await model(root, name).digest_of("latest") == WHOLE.digest


async def test_where_no_links_can_be_made_it_is_a_second_name_or_a_copy(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "manifests-v2").mkdir(parents=True)
    stored = root / "blobs" / WHOLE.digest.path_name

    def refuses(*_: object, **__: object) -> None:
        raise PermissionError(1, "not allowed")

    monkeypatch.setattr(os, "symlink", refuses)
    await put(model(root))
    path = root / "manifests-v2/ollama.com/me/tiny/latest"
    assert path.samefile(stored)
    monkeypatch.setattr(os, "link", refuses)
    await put(model(root), WHOLE, "copied")
    path = path.with_name("copied")
    assert path.read_bytes() == WHOLE.raw and not path.samefile(stored)


async def test_without_the_folder_nothing_is_made_of_it(root: Path) -> None:
    await put(model(root))
    assert not (root / "manifests-v2").exists()
