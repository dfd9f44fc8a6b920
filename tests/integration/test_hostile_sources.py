"""Registries that are read from, and lie."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry_push.content.oci.layout import OCILayout
from registry_push.errors import (
    ManifestCorrupt,
    NameCollision,
    NameNotMappable,
    Origin,
    ProtocolViolation,
    RemoteMismatch,
    SomeFailed,
    UsageError,
)
from registry_push.events import Event, ModelDone, ModelFailed, Warned
from registry_push.model import Digest, Manifest
from registry_push.model.manifest import OCI_INDEX, OCI_MANIFEST
from registry_push.model.referrers import fallback_tag
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.copy import copy
from registry_push.verbs.open_store import open_store
from registry_push.verbs.pull import pull
from tests.support.artifacts import EMPTY, artifact
from tests.support.command import command
from tests.support.scripted import Says, Scripted

REPOSITORY = "me/model"
CONTENT = b"the model"
IMAGE = artifact(CONTENT, kind=None)
TAGS = f"/v2/{REPOSITORY}/tags/list"
JSON = ("Content-Type", "application/json")


class Source(Scripted):
    """A registry with one repository."""

    @property
    def place(self) -> str:
        """The repository."""
        return f"registry:http://127.0.0.1:{self.port}/{REPOSITORY}"

    def has(self, manifest: Manifest, *blobs: bytes, tag: str | None = None) -> None:
        """Put `manifest` there."""
        headers = (("Content-Type", manifest.media_type), ("Docker-Content-Digest", str(manifest.digest)))
        for ref in (str(manifest.digest), *([tag] if tag is not None else [])):
            for method in ("GET", "HEAD"):
                self.on(method, f"/v2/{REPOSITORY}/manifests/{ref}", Says(200, headers, manifest.raw))
        for blob in (EMPTY, *blobs):
            self.on("GET", f"/v2/{REPOSITORY}/blobs/{Digest.of(blob)}", Says(200, (), blob))

    def lists(self, *tags: str) -> None:
        """List these tags."""
        self.on("GET", TAGS, Says(200, (JSON,), json.dumps({"tags": tags}).encode()))

    def attaches(self, subject: Manifest, *referrers: Manifest) -> None:
        """List these as being about `subject`."""
        path = f"/v2/{REPOSITORY}/referrers/{subject.digest}"
        self.on("GET", path, Says(200, (("Content-Type", OCI_INDEX),), index_of(*referrers).raw))


def index_of(*manifests: Manifest) -> Manifest:
    """A list of them."""
    entries = [{"mediaType": each.media_type, "digest": str(each.digest), "size": len(each.raw)} for each in manifests]
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    return Manifest.parse(json.dumps(document).encode())


def large(n: int) -> Manifest:
    """A manifest of nearly 4 MB."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "layers": [],
        "annotations": {"n": f"{n}{'x' * 3_900_000}"},
    }
    return Manifest.parse(json.dumps(document).encode())


@pytest.fixture
async def source() -> AsyncIterator[Source]:
    async with Source(otherwise=Says(404)) as scripted:
        scripted.on("GET", "/v2/", Says(200, (JSON,), b"{}"))
        scripted.has(IMAGE, CONTENT, tag="v1")
        yield scripted


async def copied(home: Path, source: str, target: str) -> Report:
    return await copy(source, target, settings=Settings(home=home, models=home / "models", state_dir=None, retries=0))


async def test_what_is_about_another_manifest_is_not_attached_to_it(source: Source, tmp_path: Path) -> None:
    """Else whoever has a registry could have his signature put beside any manifest of the target."""
    theirs = artifact(b"a signature", subject=artifact(b"another model", kind=None))
    source.has(theirs, b"a signature")
    source.attaches(IMAGE, theirs)
    with pytest.raises(RemoteMismatch, match="another manifest"):
        await copied(tmp_path, f"{source.place}:v1", f"oci:{tmp_path}/layout")
    assert not (tmp_path / "layout").exists()


async def test_a_list_of_large_manifests_is_not_read_to_its_end(source: Source, tmp_path: Path) -> None:
    children = [large(n) for n in range(30)]
    for child in children:
        source.has(child)
    source.has(index_of(*children), tag="list")
    with pytest.raises(ManifestCorrupt, match="over 16777216 bytes"):
        await copied(tmp_path, f"{source.place}:list", f"oci:{tmp_path}/layout")
    asked = [each for each in source.requests("GET") if "/manifests/sha256:" in each.path]
    assert len(asked) <= 13  # five are too much, and eight are asked for at once


async def test_referrers_are_bounded_together(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry_push.verbs.referrers._MOST_BYTES", 1000)
    about = [artifact(f"signature {n}".encode(), subject=IMAGE) for n in range(3)]
    for each in about:
        source.has(each)
    source.attaches(IMAGE, *about)
    with pytest.raises(ProtocolViolation, match="over 1000 bytes"):
        await copied(tmp_path, f"{source.place}:v1", f"oci:{tmp_path}/layout")


async def test_one_source_does_not_spoil_what_another_has(source: Source, tmp_path: Path) -> None:
    """Its manifest names the other's blobs, which it has not."""
    async with Source(otherwise=Says(404)) as other:
        other.has(Manifest.parse(IMAGE.raw.replace(b"org.example.note", b"org.example.mine")), tag="v1")
        names = [f"http://127.0.0.1:{each.port}/{REPOSITORY}:v1" for each in (source, other)]
        settings = Settings(home=tmp_path, models=tmp_path / "models", state_dir=None, retries=0)
        for order in (names, names[::-1]):
            report = await pull(order, settings=settings)
            assert {model.model: isinstance(model, ModelDone) for model in report.models}[names[0]]
            shutil.rmtree(tmp_path / "models")


async def test_tags_that_differ_in_case_only_are_one_model_to_ollama(source: Source, tmp_path: Path) -> None:
    source.has(artifact(b"another", kind=None), b"another", tag="V1")
    source.lists("v1", "V1")
    with pytest.raises(NameCollision):
        await copied(tmp_path, source.place, "ollama:")
    assert not list(tmp_path.glob("models/manifests/*"))
    assert (await copied(tmp_path, source.place, f"oci:{tmp_path}/layout")).error is None


@pytest.mark.parametrize("tag", ["../x", "a\nb", "", "a" * 129])
async def test_what_is_no_tag_is_the_source_s_fault_and_the_others_are_copied(
    source: Source, tmp_path: Path, tag: str
) -> None:
    source.lists("v1", tag)
    told: list[Event] = []
    settings = Settings(home=tmp_path, models=tmp_path / "models", state_dir=None, retries=0)
    for already in (False, True):
        report = await copy(source.place, f"oci:{tmp_path}/layout", settings=settings, sink=told.append)
        (done,), (failed,) = report.done, report.failed
        assert done.model.endswith(":v1") and (done.sent == 0) is already
        assert isinstance(failed.error, ProtocolViolation) and failed.error.origin is Origin.SOURCE
        assert "lists what is no tag" in failed.error.message and repr(tag)[:20] in failed.error.message
        assert failed.error.hint and isinstance(report.error, SomeFailed)
    assert sum(isinstance(event, ModelFailed) for event in told) == 2
    async with open_store(source.place, settings=settings) as store:
        assert await store.names() == ("v1",)


async def test_what_is_no_tag_is_reported_beside_the_only_tag_if_that_fails_too(source: Source, tmp_path: Path) -> None:
    source.lists("v9", "../x")
    done = await command("copy", source.place, f"oci:{tmp_path}/layout", home=tmp_path)
    assert done.code == 8, done.err
    assert "2 of 2 models were not copied" in done.err
    assert "v9" in done.err and "lists what is no tag" in done.err


async def test_an_archive_is_not_written_without_a_tag_that_is_listed(source: Source, tmp_path: Path) -> None:
    source.lists("v1", "../x")
    with pytest.raises(ProtocolViolation, match="lists what is no tag"):
        await copied(tmp_path, source.place, f"oci-archive:{tmp_path}/a.tar")
    assert not list(tmp_path.glob("*.tar*"))


async def test_a_repository_with_nothing_but_what_is_no_tag(source: Source, tmp_path: Path) -> None:
    source.lists("../x")
    report = await copied(tmp_path, source.place, f"oci:{tmp_path}/layout")
    assert isinstance(report.error, ProtocolViolation) and report.error.exit_code == 5


async def test_a_damaged_manifest_in_an_ollama_store_leaves_the_others(source: Source, tmp_path: Path) -> None:
    for name in ("me/good:v1", "me/bad:v1"):
        assert (await copied(tmp_path, f"{source.place}:v1", f"ollama:{name}")).error is None
    (bad,) = tmp_path.glob("models/manifests/*/me/bad/v1")
    bad.write_bytes(b"{")
    report = await copied(tmp_path, "ollama:", f"oci:{tmp_path}/layout")
    assert [each.model for each in report.done] == ["me/good:v1"]
    assert isinstance(report.failed[0].error, ManifestCorrupt)


async def test_a_name_that_the_target_does_not_allow_leaves_the_others(source: Source, tmp_path: Path) -> None:
    """In a layout, a name is any text."""
    assert (await copied(tmp_path, f"{source.place}:v1", f"oci:{tmp_path}/layout:me/good:v1")).error is None
    assert (await copied(tmp_path, f"{source.place}:v1", f"oci:{tmp_path}/layout:me/b ad:v1")).error is None
    report = await copied(tmp_path, f"oci:{tmp_path}/layout", "ollama:")
    assert [each.model for each in report.done] == [f"oci:{tmp_path}/layout:me/good:v1"]
    (failed,) = report.failed
    assert "me/b ad:v1" in failed.model and isinstance(failed.error, NameNotMappable) and failed.error.hint
    with pytest.raises(NameNotMappable):
        await copied(tmp_path, f"oci:{tmp_path}/layout:me/b ad:v1", "ollama:")


async def test_a_tag_does_not_act_on_the_terminal(source: Source, tmp_path: Path) -> None:
    source.lists("v1", "a\x1b[31mb\nc")
    shown = await command("tags", source.place, home=tmp_path)
    assert (shown.code, shown.out) == (0, "a\\x1b[31mb c\nv1\n")


@pytest.mark.parametrize("place", ["oci:{}", "oci:{}/blobs", "oci-archive:{}/blobs/a.tar", "oci:{}/../link/x"])
async def test_a_layout_is_not_written_into_an_ollama_store(source: Source, tmp_path: Path, place: str) -> None:
    """In its folder of blobs Ollama deletes what is no blob; and what is copied from is not written."""
    models = tmp_path / "models"
    assert (await copied(tmp_path, f"{source.place}:v1", "ollama:")).error is None
    (tmp_path / "link").symlink_to(models)
    before = sorted(models.rglob("*"))
    for where in (f"{source.place}:v1", "ollama:"):
        with pytest.raises(UsageError, match="inside the Ollama store"):
            await copied(tmp_path, where, place.format(models))
    assert sorted(models.rglob("*")) == before


async def test_the_hint_removes_nothing_else(source: Source, tmp_path: Path) -> None:
    there = tmp_path / "my models.tar"
    there.write_bytes(b"")
    with pytest.raises(UsageError) as raised:
        await copied(tmp_path, f"{source.place}:v1", f"oci-archive:{there}")
    assert f"rm '{there}'" in (raised.value.hint or "")
    with pytest.raises(UsageError) as raised:
        await copied(tmp_path, f"{source.place}:v1", "oci-archive:/dev/null")
    assert "rm " not in (raised.value.hint or "")


@pytest.mark.parametrize("page", [b"", b"<html>blocked</html>"], ids=["no words", "a page"])
async def test_a_list_of_referrers_that_is_refused_is_no_list_and_is_told(
    source: Source, tmp_path: Path, page: bytes
) -> None:
    """Some firewalls know the paths of registries of old. A signature must not stay behind without a word."""
    signature = artifact(b"a signature", subject=IMAGE)
    source.has(signature, b"a signature")
    source.has(index_of(signature), tag=fallback_tag(IMAGE.digest))
    html = (("Content-Type", "text/html"),) if page else ()
    source.on("GET", f"/v2/{REPOSITORY}/referrers/{IMAGE.digest}", Says(403, html, page))
    layout, events = tmp_path / "layout", list[Event]()
    settings = Settings(home=tmp_path, state_dir=None, retries=0)
    report = await copy(f"{source.place}:v1", f"oci:{layout}", settings=settings, sink=events.append)
    assert report.error is None
    assert await OCILayout(layout).resolve(str(signature.digest)) == signature
    told = [event.message for event in events if isinstance(event, Warned)]
    assert len(told) == 1
    assert "refused to list what is about" in told[0]
    assert "only signatures and the like that have a tag are found" in told[0]
