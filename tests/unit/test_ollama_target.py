"""What is written into an Ollama store, and what Ollama makes of it: blobs, manifests and their names."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry_push.content.base import Placed
from registry_push.content.body import BytesBody
from registry_push.content.ollama.source import OllamaStore
from registry_push.errors import BlobCorrupt, Unwritable
from registry_push.events import Placement
from registry_push.model import ModelName

from ..support.bodies import CountedBody
from ..support.layouts import BLOB, HELLO, described, manifest
from ..support.ollama_models import WHOLE, Looks, blob_path, files_in, looks_at, model, put
from ..support.peers import absent

HOUR = 3600.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a store is to be; there is none yet."""
    return tmp_path / "home" / ".ollama" / "models"


@pytest.fixture
def looks(root: Path, monkeypatch: pytest.MonkeyPatch) -> Looks:
    """What lies where Ollama looks, at any time."""
    return looks_at(root, monkeypatch)


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
    root.mkdir(parents=True)
    (other_disk / "blobs").mkdir()
    (root / "blobs").symlink_to(other_disk / "blobs")
    await put(model(root))
    assert files_in(other_disk) == [f"blobs/{BLOB.digest.path_name}"]
    assert (await OllamaStore(root).resolve(ModelName.parse("me/tiny"))).raw == WHOLE.raw


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than `tmp_path`."""
    folders = (Path(name) for name in ("/dev/shm", f"/run/user/{os.getuid()}", "/var/tmp", "/tmp", Path.home()))
    others = (each for each in folders if os.access(each, os.W_OK) and each.stat().st_dev != tmp_path.stat().st_dev)
    if (other := next(others, None)) is None:
        absent("there is one file system only (mount a tmpfs at /dev/shm)")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        yield Path(folder)
