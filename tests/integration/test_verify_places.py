"""`registry-push verify`: all content of any place, read and hashed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import registry_push as rp
from registry_push.content.oci.layout import OCILayout
from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import write_sample_store
from registry_push.model import Descriptor, Digest, Manifest, ModelName
from registry_push.model.manifest import OCI_INDEX
from registry_push.settings import Settings
from registry_push.verbs.copy import copy
from tests.support.artifacts import EMPTY, artifact, put
from tests.support.command import command
from tests.support.damage import DAMAGE, blob_file, flip, flip_in_archive
from tests.support.registries import DockerRegistry, Registry
from tests.support.stores import make_mixed_store

from .test_archives import image, skopeo

__all__ = ["image"]

NAMES = ("me/a:latest", "me/b:v2")
SIZES = (3_000_000, 40_000)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose store has two models, which share their config."""
    for name in NAMES:
        make_mixed_store(tmp_path / ".ollama/models", SIZES, name=name)
    return tmp_path


def store(home: Path) -> OllamaStore:
    return OllamaStore(home / ".ollama/models")


def manifest(home: Path, name: str = NAMES[0]) -> Manifest:
    return store(home).read_manifest(ModelName.parse(name))


def weights(home: Path, name: str = NAMES[0]) -> Descriptor:
    return manifest(home, name).layers[0]


async def made(home: Path, target: str, source: str = "ollama:") -> None:
    settings = Settings(home=home, models=home / ".ollama/models", state_dir=None)
    assert (await copy(source, target, settings=settings)).error is None


async def test_all_places_at_once_are_whole_and_nothing_is_written(registry: Registry, home: Path) -> None:
    await made(home, f"registry:{registry.host}/whole/a", "ollama:me/a")
    await made(home, f"oci:{home}/layout")
    await made(home, f"oci-archive:{home}/all.tar")
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*") if "embedded" not in str(path)}
    places = [f"registry:{registry.host}/whole/a", "ollama:", f"oci:{home}/layout", f"oci-archive:{home}/all.tar"]
    done = await command("verify", *places, home=home)
    assert done.code == 0, done.err
    assert "7 models: 7 whole" in done.out and "verifying" in done.err and "push" not in done.out + done.err
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*") if "embedded" not in str(path)} == before


@pytest.mark.parametrize("problem", DAMAGE)
@pytest.mark.parametrize("kind", ["store", "layout"])
async def test_damage_is_named_with_its_model_and_what_mends_it(home: Path, kind: str, problem: str) -> None:
    place, folder, mends = "ollama:", home / ".ollama/models", "verify me/a:latest --repair registry:registry.ollama.ai"
    if kind == "layout":
        place, folder = f"oci:{home}/layout", home / "layout"
        await made(home, place)
        mends = f"verify {place}:registry.ollama.ai/me/a:latest --repair FROM"
    DAMAGE[problem](blob_file(folder, weights(home).digest))
    done = await command("verify", place, home=home)
    assert done.code == 7
    assert "2 models: 1 whole, 1 damaged" in done.out
    said = next(line for line in done.err.splitlines() if "is damaged" in line)
    assert "me/a:latest" in said and str(weights(home).digest) in said
    assert f"registry-push {mends}" in done.err and "me/b" not in said
    only = await command("verify", place, "-q", home=home)
    assert only.code == 7 and only.out == "" and "verifying" not in only.err and said in only.err


async def test_an_archive_is_read_at_its_offsets(home: Path) -> None:
    await made(home, f"oci-archive:{home}/all.tar")
    flip_in_archive(home / "all.tar", weights(home, NAMES[1]).digest)
    done = await command("verify", f"oci-archive:{home}/all.tar", home=home)
    assert done.code == 7 and "2 models: 1 whole, 1 damaged" in done.out
    assert "me/b:v2 is damaged" in done.err and str(weights(home, NAMES[1]).digest) in done.err


async def test_an_archive_that_is_cut_off_is_one_damaged_thing(home: Path) -> None:
    await made(home, f"oci-archive:{home}/all.tar")
    content = (home / "all.tar").read_bytes()
    (home / "all.tar").write_bytes(content[: len(content) // 2])
    for more, whole in (([], 0), (["ollama:"], 2)):
        done = await command("verify", f"oci-archive:{home}/all.tar", *more, "--json", home=home)
        last = done.events[-1]
        assert done.code == 7 and len(last["damaged"]) == 1 and len(last["whole"]) == whole
        assert "export it again" in last["models"][0]["error"]["hint"]


async def test_a_blob_of_two_models_damages_both_and_is_one_blob(home: Path) -> None:
    config = manifest(home).config
    assert config == manifest(home, NAMES[1]).config and config is not None
    flip(blob_file(home / ".ollama/models", config.digest))
    blob_file(home / ".ollama/models", manifest(home).layers[1].digest).unlink()
    done = await command("verify", "ollama:", "--json", home=home)
    last = done.events[-1]
    assert (done.code, last["event"], last["code"], last["exit_code"]) == (7, "error", "ContentDamaged", 7)
    assert last["whole"] == [] and sorted(last["damaged"]) == list(NAMES)
    found = {each["digest"]: each for each in last["blobs"]}
    assert sorted(found[str(config.digest)]["models"]) == list(NAMES)
    assert found[str(config.digest)] | {"message": "", "models": []} == {
        "place": "ollama:",
        "digest": str(config.digest),
        "size": config.size,
        "mediaType": config.media_type,
        "problem": "content",
        "message": "",
        "models": [],
        "repaired": False,
        "not_repaired": None,
    }
    assert found[str(manifest(home).layers[1].digest)]["problem"] == "missing" and len(found) == 2
    failed = next(each for each in last["models"] if each["model"] == NAMES[0])
    assert "2 of 3 blobs" in failed["error"]["message"]
    placements = [each["placement"] for each in done.events if each["event"] == "blob_done"]
    assert sorted(placements) == ["damaged", "damaged", "present", "uploaded", "uploaded", "uploaded"]
    started = next(each for each in done.events if each["event"] == "run_started")
    assert (started["models"], started["blobs"]) == (2, 5)


@pytest.mark.parametrize("content", [b"", b"{", b'{"schemaVersion": 2, "layers": 5}'])
async def test_a_manifest_that_is_none_does_not_stop_the_others(home: Path, content: bytes) -> None:
    (home / ".ollama/models/manifests/registry.ollama.ai/me/a/latest").write_bytes(content)
    done = await command("verify", "ollama:", home=home)
    assert done.code == 7 and "2 models: 1 whole, 1 damaged" in done.out
    assert done.err.count("me/a:latest is damaged") == 1 and "registry-push pull me/a:latest" in done.err


async def test_a_damaged_manifest_of_a_layout_is_known_by_its_digest(home: Path) -> None:
    await made(home, f"oci:{home}/layout")
    flip(blob_file(home / "layout", manifest(home).digest))
    done = await command("verify", f"oci:{home}/layout", "--json", home=home)
    last = done.events[-1]
    assert done.code == 7 and [each["digest"] for each in last["blobs"]] == [str(manifest(home).digest)]
    assert last["whole"] == [f"oci:{home}/layout:registry.ollama.ai/me/b:v2"]


async def test_what_is_in_the_index_by_digest_alone_is_verified_too(home: Path) -> None:
    await made(home, f"oci:{home}/layout")
    index = json.loads((home / "layout/index.json").read_text())
    index["manifests"][0].pop("annotations")
    (home / "layout/index.json").write_text(json.dumps(index))
    whole = await command("verify", f"oci:{home}/layout", home=home)
    assert whole.code == 0 and "2 models: 2 whole" in whole.out, whole.err
    flip(blob_file(home / "layout", Digest.parse(index["manifests"][0]["digest"])))
    assert (await command("verify", f"oci:{home}/layout", home=home)).code == 7


@pytest.mark.parametrize("what", ["child", "its blob"])
async def test_a_list_is_whole_if_all_that_it_lists_is(home: Path, what: str) -> None:
    root = home / "layout"
    await made(home, f"oci:{root}")
    children = [manifest(home, name) for name in NAMES]
    entries = [{"mediaType": c.media_type, "digest": str(c.digest), "size": len(c.raw)} for c in children]
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    (root / "blobs/sha256" / Digest.of(raw).hex).write_bytes(raw)
    only = {"mediaType": OCI_INDEX, "digest": str(Digest.of(raw)), "size": len(raw)}
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [only]}))
    whole = await command("verify", f"oci:{root}", "--json", home=home)
    assert whole.code == 0 and whole.events[-1]["models"][0]["uploaded"] == 5
    flip(blob_file(root, children[0].digest if what == "child" else weights(home).digest))
    flip(blob_file(root, weights(home, NAMES[1]).digest))
    done = await command("verify", f"oci:{root}", "--json", home=home)
    found = {each["digest"] for each in done.events[-1]["blobs"]}
    first = children[0].digest if what == "child" else weights(home).digest
    assert done.code == 7 and found == {str(first), str(weights(home, NAMES[1]).digest)}


async def test_a_signature_belongs_to_its_model(embedded: EmbeddedRegistry, home: Path) -> None:
    await made(home, f"registry:{embedded.host}/me/a:v1", "ollama:me/a")
    signature = artifact(b"signed", subject=manifest(home))
    await put(home, f"{embedded.host}/me/a", signature, b"signed")
    await made(home, f"oci:{home}/signed", f"registry:{embedded.host}/me/a:v1")
    for place in (f"registry:{embedded.host}/me/a:v1", f"oci:{home}/signed"):
        whole = await command("verify", place, "--json", home=home)
        assert whole.code == 0 and whole.events[-1]["models"][0]["referrers"] == 1, whole.out
        assert any(each.get("blob", {}).get("digest") == str(Digest.of(EMPTY)) for each in whole.events)
    flip(blob_file(home / "signed", Digest.of(b"signed")), 1)
    done = await command("verify", f"oci:{home}/signed", home=home)
    assert done.code == 7 and str(Digest.of(b"signed")) in done.err


@pytest.mark.real
@pytest.mark.parametrize("problem", ["missing", "content", "size"])
async def test_a_real_registry_that_has_lost_something(
    docker_registry: DockerRegistry, home: Path, problem: str
) -> None:
    """And the proposed command mends what it says it mends: docker-registry keeps a damaged blob that it has."""
    name = f"{docker_registry.host}/verify/{problem}:v1"
    await made(home, f"registry:{name}", "ollama:me/a")
    digest = weights(home).digest
    file = docker_registry.root / "docker/registry/v2/blobs/sha256" / digest.hex[:2] / digest.hex / "data"
    DAMAGE[problem](file)
    done = await command("verify", f"registry:{name}", "--retries", "0", home=home)
    assert done.code == 7 and str(digest) in done.err
    assert f"registry-push copy PLACE registry:{name} --recheck" in done.err
    assert ("have the damaged blobs removed" in done.err) == (problem != "missing")
    file.unlink(missing_ok=True)
    assert (await command("copy", "ollama:me/a", f"registry:{name}", "--recheck", home=home)).code == 0
    assert (await command("verify", f"registry:{name}", home=home)).code == 0


@pytest.mark.real
@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
async def test_what_skopeo_has_written(home: Path, image: Path, kind: str) -> None:
    theirs = home / f"theirs{'.tar' if kind == 'oci-archive' else ''}"
    await skopeo("copy", f"oci:{image}:v1", f"{kind}:{theirs}:v1")
    whole = await command("verify", f"{kind}:{theirs}", home=home)
    assert whole.code == 0 and "2 verified" in whole.out, whole.err
    layer = (await OCILayout(image).resolve("v1")).layers[0]
    if kind == "oci":
        flip(blob_file(theirs, layer.digest))
    else:
        flip_in_archive(theirs, layer.digest)
    done = await command("verify", f"{kind}:{theirs}:v1", home=home)
    assert done.code == 7 and str(layer.digest) in done.err
    mended = await command("verify", f"{kind}:{theirs}", "--repair", f"oci:{image}", home=home)
    assert mended.code == 0, mended.err


async def test_one_model_by_its_bare_name_and_what_is_not_there(home: Path) -> None:
    blob_file(home / ".ollama/models", weights(home, NAMES[1]).digest).unlink()
    assert (await command("verify", "me/a", home=home)).code == 0
    assert (await command("verify", "me/none", home=home)).code == 3
    assert (await command("verify", f"oci:{home}/none", home=home)).code == 3
    both = await command("verify", f"oci:{home}/none", "me/a", home=home)
    assert both.code == 8 and "1 whole, 1 not verified" in both.out and "run the same command again" in both.err
    assert "not verified again" not in both.err


async def test_what_is_no_model_is_left_out(home: Path) -> None:
    for stray in (".DS_Store", "Thumbs.db"):
        (home / ".ollama/models/manifests/registry.ollama.ai/me/a" / stray).write_bytes(b"\0\0\0\1Bud1")
    write_sample_store(home / ".ollama/models", name="me/c:v1", weights=1000)
    done = await command("verify", "ollama:", home=home)
    assert done.code == 0 and "3 models: 3 whole" in done.out, done.err
    assert "Thumbs.db is a stray file" in done.err


async def test_a_blob_that_is_a_link_out_of_the_store_is_not_followed(home: Path) -> None:
    path = blob_file(home / ".ollama/models", weights(home).digest)
    shutil.move(path, home / "elsewhere")
    path.symlink_to(home / "elsewhere")
    done = await command("verify", "ollama:", home=home)
    assert done.code == 7 and "is linked to a place outside the store" in done.err


def test_the_library_returns_the_report_or_raises_it(home: Path) -> None:
    settings = rp.Settings(home=home, environ={}, state_dir=None, models=home / ".ollama/models")
    assert rp.copy_sync("ollama:", f"oci:{home}/layout", settings=settings).error is None
    assert [model.model for model in rp.verify_sync("ollama:", settings=settings).done] == list(NAMES)
    flip(blob_file(home / ".ollama/models", weights(home).digest))
    with pytest.raises(rp.ContentDamaged) as raised:
        rp.verify_sync(["ollama:", f"oci:{home}/layout"], settings=settings)
    report = raised.value.report
    assert isinstance(report, rp.VerifyReport) and report.damaged == (NAMES[0],) and len(report.done) == 3
    mended = rp.verify_sync("ollama:", repair=f"oci:{home}/layout", settings=settings)
    assert [each.repaired for each in mended.findings] == [True]
    with pytest.raises(rp.UsageError):
        rp.verify_sync("ollama:", repair="ollama:me/a", settings=settings)
