"""The fixtures are what their script makes, and what Ollama and ssh would make."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import pytest

from fixtures.make import HERE, KEY_COMMENT, make
from registry_push.embedded.sample import encoded, gguf, write_sample_store
from registry_push.model import Manifest
from tests.support.stores import make_big_store, make_many_store


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder/ollama` and `folder/keys`, by its path there."""
    files = [*folder.joinpath("ollama").rglob("*"), *folder.joinpath("keys").rglob("*")]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files if file.is_file()}


def test_they_match_what_the_script_makes(tmp_path: Path) -> None:
    make(tmp_path)
    assert contents(tmp_path) == contents(HERE)


def test_made_again_in_place_they_are_the_same(tmp_path: Path) -> None:
    make(tmp_path)
    before = contents(tmp_path)
    make(tmp_path)
    assert contents(tmp_path) == before


def test_they_are_small() -> None:
    assert sum(map(len, contents(HERE).values())) < 300 * 1024


def test_every_blob_is_named_by_its_digest_and_by_a_manifest() -> None:
    named = set()
    for file in (HERE / "ollama" / "manifests").rglob("*"):
        if file.is_file():
            named |= {(blob.digest.path_name, blob.size) for blob in Manifest.parse(file.read_bytes()).blobs}
    present = set()
    for file in (HERE / "ollama" / "blobs").iterdir():
        assert file.name == f"sha256-{hashlib.sha256(file.read_bytes()).hexdigest()}"
        present.add((file.name, file.stat().st_size))
    assert named == present


def test_the_two_tags_share_blobs() -> None:
    folder = HERE / "ollama" / "manifests" / "registry.ollama.ai" / "me" / "tiny"
    latest, verse = (
        {blob.digest for blob in Manifest.parse((folder / tag).read_bytes()).blobs} for tag in ("latest", "verse")
    )
    assert len(latest & verse) == 4  # weights, template, params, config


def test_the_key_says_that_it_is_for_tests(tmp_path: Path) -> None:
    assert KEY_COMMENT.startswith("TEST-ONLY")
    assert (HERE / "keys" / "id_ed25519.pub").read_text().endswith(f" {KEY_COMMENT}\n")
    make(tmp_path)
    assert (tmp_path / "keys" / "id_ed25519").stat().st_mode & 0o777 == 0o600


def test_json_is_written_as_go_writes_it() -> None:
    assert encoded({"b": "<a&b>", "a": [1, "é"]}) == b'{"b":"\\u003ca\\u0026b\\u003e","a":[1,"\xc3\xa9"]}\n'


@pytest.mark.parametrize("size", [0, 1000, 96 * 1024])
def test_a_gguf_is_a_gguf(size: int) -> None:
    content = gguf(size, seed=3)
    magic, version, tensors, pairs = struct.unpack_from("<4sIQQ", content)
    assert (magic, version, tensors, pairs) == (b"GGUF", 3, 2, 12)
    assert len(content) % 32 == 0 and content == gguf(size, seed=3) != gguf(size, seed=4)
    # The last tensor is 64 ones, and it is where its description says: at the very end.
    assert content.endswith(struct.pack("<64f", *[1.0] * 64))


def test_a_sample_is_as_large_as_asked(tmp_path: Path) -> None:
    name = write_sample_store(tmp_path, name="host:5000/ns/m:t", weights=200_000)
    manifest = Manifest.parse((tmp_path / "manifests/host:5000/ns/m/t").read_bytes())
    assert name.short == "host:5000/ns/m:t"
    assert 200_000 <= manifest.layers[0].size < 202_000
    assert json.loads(manifest.raw)["layers"][0]["mediaType"] == "application/vnd.ollama.image.model"


def test_big_stores_hold_what_they_say(tmp_path: Path) -> None:
    make_big_store(tmp_path, size=(2 << 20) + 5)
    make_many_store(tmp_path, layers=7, layer_size=100)
    sizes = []
    for name in ("big", "many"):
        manifest = Manifest.parse((tmp_path / "manifests/registry.ollama.ai/bench" / name / "latest").read_bytes())
        for blob in manifest.blobs:
            content = (tmp_path / "blobs" / blob.digest.path_name).read_bytes()
            assert (hashlib.sha256(content).hexdigest(), len(content)) == (blob.digest.hex, blob.size)
        sizes.append([layer.size for layer in manifest.layers])
        if name == "big":
            weights = (tmp_path / "blobs" / manifest.layers[0].digest.path_name).read_bytes()
            assert weights[: 1 << 20] != weights[1 << 20 : 2 << 20]
    assert sizes == [[(2 << 20) + 5], [100] * 7]
