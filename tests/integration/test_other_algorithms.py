"""Digests of algorithms that OCI knows and that are not supported: said so, with exit code 2, wherever one is named."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry_push.embedded.sample import write_sample_store
from registry_push.errors import UnsupportedManifest
from registry_push.model import Digest, Manifest
from registry_push.model.manifest import OCI_INDEX, OCI_MANIFEST
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.copy import copy
from registry_push.verbs.open_store import open_store
from tests.support.artifacts import artifact
from tests.support.command import command
from tests.support.scripted import Says, Scripted

REPOSITORY = "me/model"
OTHERS = {"sha384": f"sha384:{'a' * 96}", "sha512": f"sha512:{'a' * 128}", "blake3": f"blake3:{'a' * 64}"}
IMAGE = artifact(b"the model", kind=None)
WHERE = ("config", "layers", "subject", "manifests")


def naming(digest: str, where: str) -> tuple[bytes, str]:
    """A manifest that names `digest` there, and its media type."""
    odd = {"mediaType": OCI_MANIFEST, "digest": digest, "size": 3}
    document = json.loads(IMAGE.raw)
    match where:
        case "manifests":
            return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [odd]}).encode(), OCI_INDEX
        case "layers":
            document["layers"].append(odd)
        case _:
            document[where] = odd
    return json.dumps(document).encode(), OCI_MANIFEST


@pytest.fixture
async def source() -> AsyncIterator[Scripted]:
    async with Scripted(otherwise=Says(404)) as registry:
        registry.on("GET", "/v2/", Says(200, (("Content-Type", "application/json"),), b"{}"))
        yield registry


async def copied(home: Path, source: str) -> Report:
    settings = Settings(home=home, models=home / "models", state_dir=None, retries=0)
    return await copy(source, f"oci:{home}/copied", settings=settings)


def layout(folder: Path, raw: bytes, media_type: str, digest: str | None = None) -> None:
    """A layout with one manifest; its `digest` is its own, unless another is given."""
    (folder / "blobs/sha256").mkdir(parents=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "blobs/sha256" / Digest.of(raw).hex).write_bytes(raw)
    entry = {"mediaType": media_type, "digest": digest or str(Digest.of(raw)), "size": len(raw)}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("algorithm", OTHERS)
async def test_at_a_registry(source: Scripted, tmp_path: Path, algorithm: str, where: str) -> None:
    raw, media_type = naming(OTHERS[algorithm], where)
    source.on("GET", f"/v2/{REPOSITORY}/manifests/v1", Says(200, (("Content-Type", media_type),), raw))
    with pytest.raises(UnsupportedManifest, match=f"{algorithm} digests are not supported") as raised:
        await copied(tmp_path, f"registry:http://127.0.0.1:{source.port}/{REPOSITORY}:v1")
    assert raised.value.exit_code == 2 and "sha256" in (raised.value.hint or "")
    assert not (tmp_path / "copied").exists()


@pytest.mark.parametrize("where", WHERE)
async def test_in_a_layout(tmp_path: Path, where: str) -> None:
    layout(tmp_path / "layout", *naming(OTHERS["sha512"], where))
    with pytest.raises(UnsupportedManifest, match="sha512 digests are not supported"):
        await copied(tmp_path, f"oci:{tmp_path}/layout")


async def test_in_the_index_of_a_layout(tmp_path: Path) -> None:
    layout(tmp_path / "layout", IMAGE.raw, OCI_MANIFEST, OTHERS["sha512"])
    with pytest.raises(UnsupportedManifest, match="sha512 digests are not supported"):
        await copied(tmp_path, f"oci:{tmp_path}/layout")


async def test_in_an_ollama_store(tmp_path: Path) -> None:
    write_sample_store(tmp_path / "models", name="me/tiny:v1")
    (path,) = tmp_path.glob("models/manifests/*/me/tiny/v1")
    manifest = Manifest.parse(path.read_bytes())
    path.write_bytes(manifest.raw.replace(str(manifest.layers[0].digest).encode(), OTHERS["sha512"].encode()))
    with pytest.raises(UnsupportedManifest, match="sha512 digests are not supported"):
        await copied(tmp_path, "ollama:me/tiny:v1")
    async with open_store("ollama:", settings=Settings(home=tmp_path, models=tmp_path / "models")) as store:
        with pytest.raises(UnsupportedManifest):
            await store.resolve("me/tiny:v1")
    done = await command("push", "me/tiny:v1", "--models", f"{tmp_path}/models", "--to", "localhost:1/", home=tmp_path)
    assert done.code == 2 and "sha512 digests are not supported" in done.err


@pytest.mark.parametrize("verb", ["copy", "pull", "inspect"])
async def test_in_what_the_user_writes(tmp_path: Path, verb: str) -> None:
    layout(tmp_path / "layout", IMAGE.raw, OCI_MANIFEST)
    places = [f"registry:localhost:1/me/model@{OTHERS['sha512']}"]
    if verb != "pull":
        places.append(f"oci:{tmp_path}/layout/:{OTHERS['sha512']}")
    for place in places:
        done = await command(verb, place, *([f"oci:{tmp_path}/to"] if verb == "copy" else []), home=tmp_path)
        assert done.code == 2, done.err
        assert "sha512 digests are not supported" in done.err
        assert "have it pushed with sha256 digests" in done.err
