"""Manifests in an Ollama store: their names, their place, and what is deleted beside us meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from registry_push.content.body import BytesBody
from registry_push.content.ollama import names
from registry_push.content.ollama.files import StoreFiles
from registry_push.errors import IntegrityError, InvalidName, ManifestRefused, Unwritable, UsageError
from registry_push.model import Descriptor, Digest, Manifest, ModelName

from ..support.layouts import BLOB, HELLO, manifest
from ..support.ollama_models import WHOLE, Looks, blob_path, files_in, looks_at, model, put


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a store is to be; there is none yet."""
    return tmp_path / "home" / ".ollama" / "models"


@pytest.fixture
def looks(root: Path, monkeypatch: pytest.MonkeyPatch) -> Looks:
    """What lies where Ollama looks, at any time."""
    return looks_at(root, monkeypatch)


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


# ── hosts with ports, where no folder can be called so (Windows; ollama/ollama 4088) ─────────────


@pytest.fixture
def without_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "PORTS_IN_NAMES", False)


@pytest.mark.usefixtures("without_ports")
async def test_a_host_with_a_port_goes_to_the_newer_layout_only(root: Path) -> None:
    (root / "manifests-v2").mkdir(parents=True)
    target = model(root, "localhost:5000/me/tiny")
    assert not await target.digest_of("latest")
    await put(target, WHOLE, "latest")
    assert files_in(root / "manifests-v2") == ["localhost%3A5000/me/tiny/latest"]
    assert not (root / "manifests").exists()
    assert await target.digest_of("latest") == WHOLE.digest


@pytest.mark.usefixtures("without_ports")
async def test_where_there_is_only_the_older_layout_another_name_is_proposed(root: Path) -> None:
    (root / "manifests").mkdir(parents=True)
    with pytest.raises(UsageError, match="can't be the name of a folder on Windows") as refused:
        StoreFiles(root).check(ModelName.parse("localhost:5000/me/tiny"))
    assert "pull --as NAME[:TAG], or copy to ollama:NAME" in str(refused.value.hint)
    StoreFiles(root).check(ModelName.parse("r.example/me/tiny"))
