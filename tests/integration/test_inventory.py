"""`inventory` says what a place has: all of it, nothing else, and always with the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

import registry_push as rp
from registry_push.content.oci.layout import OCILayout
from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import config, write_model, write_sample_store
from registry_push.events import Event, Warned
from registry_push.model import Descriptor, Digest, Manifest, ModelName
from registry_push.model.inventory import Inventory
from registry_push.model.manifest import OCI_INDEX
from registry_push.settings import Settings
from registry_push.verbs.copy import copy
from registry_push.verbs.export import export
from registry_push.verbs.inventory import inventory
from tests.support.archives import layout_files, write_archive
from tests.support.artifacts import artifact, put
from tests.support.command import command
from tests.support.layouts import BLOB, HELLO, described, manifest
from tests.support.other_user import command_as_other, public_folder, require_root
from tests.support.peers import require
from tests.support.registries import Registry
from tests.support.stores import weights_of

A, B = "registry.ollama.ai/me/a:v1", "example.com/ns/b:v2"


def settings(home: Path) -> Settings:
    return Settings(home=home, models=home / "models", state_dir=None)


async def copied(home: Path, source: str, target: str) -> None:
    assert (await copy(source, target, settings=settings(home))).error is None


async def taken(home: Path, place: str, told: list[Warned] | None = None) -> Inventory:
    events = list[Event]()
    found = await inventory(place, settings=settings(home), sink=events.append)
    warned = [event for event in events if isinstance(event, Warned)]
    assert told is not None or not warned
    (told if told is not None else []).extend(warned)
    return found


def named(found: Inventory) -> list[str]:
    return [entry.name for entry in found.manifests]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two models, which share all but their weights."""
    write_sample_store(tmp_path / "models", name=A, weights=70_000)
    write_sample_store(tmp_path / "models", name=B, weights=90_000)
    return tmp_path


def content_of(home: Path, *names: str) -> frozenset[Digest]:
    store = OllamaStore(home / "models")
    return frozenset(blob.digest for name in names for blob in store.read_manifest(ModelName.parse(name)).blobs)


async def test_a_store_has_its_models_and_their_blobs(home: Path) -> None:
    (home / "models/blobs" / Digest.of(b"of no model").path_name).write_bytes(b"of no model")
    found = await taken(home, "ollama:")
    assert (found.place, named(found), found.blobs) == ("ollama:", [B, A], content_of(home, A, B))
    raw = (home / "models/manifests" / B.replace(":", "/")).read_bytes()
    assert found.manifests[0].digest == Digest.of(raw)
    one = await taken(home, "me/a:v1")
    assert (one.place, named(one), one.blobs) == (f"ollama:{A}", [A], content_of(home, A))


async def test_the_document_is_printed_and_is_reproducible(home: Path) -> None:
    first = await command("inventory", "ollama:", "--models", str(home / "models"), home=home)
    assert (first.code, first.err) == (0, "") and first.out.endswith("}\n")
    for name in (B, A):  # made again, in another order, and with other times
        write_sample_store(home / "again", name=name, weights=90_000 if name == B else 70_000)
    again = await command("inventory", "ollama:", "--models", str(home / "again"), home=home)
    assert again.out == first.out
    listed = await command("inventory", "ollama:", "--models", str(home / "again"), "--json", home=home)
    (result,) = listed.events
    assert json.loads(first.out).items() <= result.items()
    assert Inventory.parse(listed.out.encode()) == Inventory.parse(first.out.encode())


async def test_nothing_of_the_content_is_read(home: Path) -> None:
    before = await taken(home, "ollama:")
    _, path = weights_of(OllamaStore(home / "models"), A)
    path.write_bytes(bytes(path.stat().st_size))
    assert await taken(home, "ollama:") == before


@pytest.mark.parametrize("place", ["oci:{}/l", "oci-archive:{}/a.tar"])
async def test_a_layout_and_an_archive_have_what_the_store_had(home: Path, place: str) -> None:
    place = place.format(home)
    await copied(home, "ollama:", place)
    found, store = await taken(home, place), await taken(home, "ollama:")
    assert (found.place, found.blobs, found.manifests) == (place, store.blobs, store.manifests)
    one = await taken(home, f"{place}:me/a:v1")
    assert (named(one), one.blobs) == ([A], content_of(home, A))


async def test_a_set_of_volumes_has_what_is_cut_too(home: Path) -> None:
    done = await export([A, B], str(home / "a.tar"), split=50_000, settings=settings(home))
    assert done.report.error is None and len([*home.glob("a.v*.tar")]) > 2
    found, store = await taken(home, f"oci-archive:{home}/a.tar"), await taken(home, "ollama:")
    assert (found.blobs, found.manifests) == (store.blobs, store.manifests)


async def test_an_export_since_then_has_the_rest(home: Path) -> None:
    (home / "far.json").write_bytes((await taken(home, A)).encode())
    done = await export([A, B], str(home / "a.tar"), since=[str(home / "far.json")], settings=settings(home))
    assert done.report.error is None
    told = list[Warned]()
    found = await taken(home, f"oci-archive:{home}/a.tar", told)
    assert found.blobs == content_of(home, B) - content_of(home, A)
    assert (named(found), len(told)) == ([], 2)


def _spoilt_manifest(home: Path) -> Sequence[Digest]:
    (home / "models/manifests" / A.replace(":", "/")).write_bytes(b'{"schemaVersion": 2, "layers"')
    return ()


def _missing(home: Path) -> Sequence[Digest]:
    blob, path = weights_of(OllamaStore(home / "models"), A)
    path.unlink()
    return sorted(content_of(home, A) - {blob.digest})


def _cut_off(home: Path) -> Sequence[Digest]:
    blob, path = weights_of(OllamaStore(home / "models"), A)
    path.write_bytes(path.read_bytes()[:-1])
    return sorted(content_of(home, A) - {blob.digest})


@pytest.mark.parametrize("spoil", [_spoilt_manifest, _missing, _cut_off])
async def test_a_broken_model_hides_nothing_else(home: Path, spoil: object) -> None:
    assert callable(spoil)
    left = spoil(home)
    told = list[Warned]()
    found = await taken(home, "ollama:", told)
    assert named(found) == [B] and found.blobs == content_of(home, B).union(left)
    assert len(told) == 1 and told[0].message.count("me/a:v1") == 1 and "brings it" in (told[0].hint or "")
    shown = await command("inventory", "ollama:", "--models", str(home / "models"), home=home)
    assert (shown.code, shown.out) == (0, found.encode().decode())
    assert shown.err.count("warning: ") == 1


async def test_what_is_no_model_is_told(home: Path) -> None:
    link = home / "models/manifests/registry.ollama.ai/me/linked/v1"
    link.parent.mkdir()
    link.symlink_to("/etc/hostname")
    told = list[Warned]()
    assert named(await taken(home, "ollama:", told)) == [B, A]
    assert [str(link) in each.message for each in told] == [True]


async def test_if_nothing_can_be_read_it_fails(home: Path) -> None:
    for name in (A, B):
        (home / "models/manifests" / name.replace(":", "/")).write_bytes(b"{")
    shown = await command("inventory", "ollama:", "--models", str(home / "models"), home=home)
    assert (shown.code, shown.out) == (7, "") and "→" in shown.err


async def test_what_is_closed_to_us_is_told_and_if_all_is_it_fails() -> None:
    require_root()
    with public_folder() as home:
        for name, weights in ((A, 70_000), (B, 90_000)):
            write_sample_store(home / "models", name=name, weights=weights)
        (home / "models/manifests" / A.replace(":", "/")).chmod(0)
        arguments = ("inventory", "ollama:", "--models", str(home / "models"))
        shown = await command_as_other(*arguments, home=str(home))
        assert shown.code == 0 and named(Inventory.parse(shown.out.encode())) == [B]
        assert "me/a:v1" in shown.err and "sudo" in shown.err
        (home / "models/blobs").chmod(0)
        shown = await command_as_other(*arguments, home=str(home))
        assert (shown.code, shown.out) == (4, ""), shown.err
        (home / "models/blobs").chmod(0o755)


async def test_a_cloud_stub_has_nothing_to_carry(home: Path) -> None:
    fields = config(remote_host="https://ollama.com:443", remote_model="big")
    write_model(home / "models", ModelName.parse("big:cloud"), fields, [])
    assert named(await taken(home, "ollama:")) == [B, A]
    with pytest.raises(rp.NothingToPush):
        await taken(home, "big:cloud")


def test_the_store_of_ollama_is_asked_by_its_usual_names(home: Path) -> None:
    """A name with a host is the store's; if it is not there, the registry's spelling is proposed."""
    with pytest.raises(rp.ModelNotFound) as raised:
        rp.inventory_sync("example.com/ns/c:v1", settings=settings(home))
    assert raised.value.hint == "for what is at the registry, write registry:example.com/ns/c:v1"
    assert isinstance(rp.inventory_sync("ollama:", settings=settings(home)), rp.Inventory)


# ── what is empty ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("there", [(), ("models",), ("models/lost+found",), ("models/blobs",), ("models/manifests",)])
async def test_a_store_that_is_fresh_has_nothing(tmp_path: Path, there: Sequence[str]) -> None:
    for folder in there:
        (tmp_path / folder).mkdir(parents=True)
    shown = await command("inventory", "ollama:", "--models", str(tmp_path / "models"), home=tmp_path)
    assert shown.code == 0 and Inventory.parse(shown.out.encode()) == Inventory("ollama:")
    usual = await command("inventory", "ollama:", "--json", home=tmp_path / "new")
    assert usual.code == 0 and Inventory.parse(usual.out.encode()).blobs == frozenset()


async def test_what_was_misspelt_is_no_fresh_place(home: Path) -> None:
    (home / "file").touch()
    for arguments in (
        ("ollama:", "--models", str(home)),
        ("ollama:", "--models", str(home / "file")),
        ("oci:x",),
        ("oci-archive:x.tar",),
        ("ollama:me/x", "--models", str(home / "models")),
        ("ollama:me/x", "--models", str(home / "none")),
    ):
        shown = await command("inventory", *arguments, home=home)
        assert (shown.code, shown.out) == (3, ""), shown.err
        assert "→" in shown.err
    assert (await command("inventory", "http://", home=home)).code == 2


@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
async def test_an_empty_layout_has_nothing(tmp_path: Path, kind: str) -> None:
    files = layout_files(manifests=(), blobs=())
    write_archive(tmp_path / "a.tar", files)
    (tmp_path / "l").mkdir()
    for name, content in files.items():
        (tmp_path / "l" / name).write_bytes(content)
    place = f"oci:{tmp_path}/l" if kind == "oci" else f"oci-archive:{tmp_path}/a.tar"
    assert await taken(tmp_path, place) == Inventory(place)


async def test_a_repository_that_is_not_there_has_nothing(tmp_path: Path, registry: Registry) -> None:
    told = list[Warned]()
    found = await taken(tmp_path, f"registry:{registry.host}/me/none", told)
    assert found == Inventory(f"registry:{registry.host}/me/none")
    assert len(told) == 1 and "the inventory is empty" in told[0].message
    with pytest.raises(rp.ModelNotFound):
        await taken(tmp_path, f"registry:{registry.host}/me/none:v1")


# ── lists, signatures, registries ─────────────────────────────────────────────────────────────────


def _fields(blob: Descriptor) -> dict[str, object]:
    return {"mediaType": blob.media_type, "digest": str(blob.digest), "size": blob.size}


def _list(*children: Manifest) -> Manifest:
    entries = [_fields(each.descriptor) for each in children]
    return Manifest.parse(json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode())


OTHER = b"another layer"
ONE, TWO = manifest(), manifest(layers=(described(OTHER),))
LIST = _list(ONE, TWO)


@pytest.mark.parametrize(
    "lost", [None, TWO.digest, Digest.of(OTHER)], ids=["whole", "without a child", "without a blob"]
)
async def test_a_lists_manifests_are_blobs_too(tmp_path: Path, lost: Digest | None) -> None:
    files = layout_files(manifests=((LIST, "all"),), blobs=(ONE.raw, TWO.raw, HELLO, OTHER))
    if lost is not None:
        del files[f"blobs/sha256/{lost.hex}"]
    write_archive(tmp_path / "a.tar", files)
    told = list[Warned]()
    found = await taken(tmp_path, f"oci-archive:{tmp_path}/a.tar", told)
    expected = {ONE.digest, TWO.digest, BLOB.digest, Digest.of(OTHER)} - {lost}
    if lost == TWO.digest:  # nobody knows what it named
        expected -= {Digest.of(OTHER)}
    assert found.blobs == expected
    assert named(found) == (["all"] if lost is None else []) and bool(told) == (lost is not None)


async def test_a_manifest_without_a_name_goes_by_its_digest(tmp_path: Path) -> None:
    files = layout_files(manifests=((ONE, "v1"), (TWO, "v2")), blobs=(HELLO, OTHER))
    index = json.loads(files["index.json"])
    del index["manifests"][1]["annotations"]
    files["index.json"] = json.dumps(index).encode()
    found = await taken(tmp_path, f"oci-archive:{write_archive(tmp_path / 'a.tar', files)}")
    assert named(found) == sorted([str(TWO.digest), "v1"])
    assert found.blobs == {BLOB.digest, Digest.of(OTHER)}


async def test_a_repository_has_all_its_tags(home: Path, registry: Registry) -> None:
    place = f"{registry.host}/inventory/all"
    for name, tag in ((A, "v1"), (B, "v2")):
        await copied(home, f"ollama:{name}", f"registry:{place}:{tag}")
    found, store = await taken(home, f"registry:{place}"), await taken(home, "ollama:")
    assert (named(found), found.blobs) == ([f"{place}:v1", f"{place}:v2"], store.blobs)
    assert {each.digest for each in found.manifests} == {each.digest for each in store.manifests}
    one = await taken(home, f"docker://{place}:v1")
    assert (one.place, named(one), one.blobs) == (f"registry:{place}:v1", [f"{place}:v1"], content_of(home, A))


async def test_a_registry_is_not_asked_for_each_blob(home: Path, embedded: EmbeddedRegistry) -> None:
    await copied(home, "ollama:me/a:v1", f"registry:{embedded.host}/me/a:v1")
    before = len(embedded.log)
    await taken(home, f"registry:{embedded.host}/me/a")
    assert not [each.target for each in embedded.log[before:] if "/blobs/" in each.target]


IMAGE = artifact(b"the model", kind=None)
SIGNATURE = artifact(b"a signature", subject=IMAGE)


@pytest.mark.parametrize("tag", ["", ":v1"])
async def test_signatures_are_there_too(tmp_path: Path, embedded: EmbeddedRegistry, tag: str) -> None:
    place = f"{embedded.host}/me/signed"
    await put(tmp_path, place, IMAGE, b"the model", tag="v1")
    await put(tmp_path, place, SIGNATURE, b"a signature")
    found = await taken(tmp_path, f"registry:{place}{tag}")
    assert named(found) == [f"{place}:v1", f"{place}@{SIGNATURE.digest}"]
    assert {Digest.of(b"the model"), Digest.of(b"a signature")} <= found.blobs
    await copied(tmp_path, f"registry:{place}:v1", f"oci:{tmp_path}/l:v1")
    layout = await taken(tmp_path, f"oci:{tmp_path}/l{tag}")
    assert named(layout) == sorted([str(SIGNATURE.digest), "v1"]) and layout.blobs == found.blobs


@pytest.mark.real
@pytest.mark.parametrize("name", [":v1", ""])
async def test_what_skopeo_has_written_is_there(tmp_path: Path, name: str) -> None:
    source = tmp_path / "source"
    for path, content in layout_files(manifests=((manifest(media_type=IMAGE.media_type), "v1"),)).items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(content)
    skopeo = [require("skopeo"), "--insecure-policy", "copy", "--preserve-digests", "--all", f"oci:{source}:v1"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    for target in (f"oci:{tmp_path}/l", f"oci-archive:{tmp_path}/a.tar"):
        subprocess.run([*skopeo, f"{target}{name}"], check=True, env=environment)
        found = await taken(tmp_path, target)
        whole = await OCILayout(source).resolve("v1")
        assert named(found) == [name.removeprefix(":") or str(whole.digest)]
        assert found.blobs == {blob.digest for blob in whole.blobs}
