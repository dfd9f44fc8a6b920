"""OCI image layouts: what is on the disk, and what hostile ones can't do."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from registry_push.content.body import BytesBody
from registry_push.content.oci.index import REF_NAME, LayoutIndex
from registry_push.content.oci.layout import OCILayout
from registry_push.errors import (
    BlobCorrupt,
    BlobMissing,
    ManifestCorrupt,
    ManifestRefused,
    ModelNotFound,
    StoreNotFound,
    Unavailable,
    Unreadable,
)
from registry_push.model import Descriptor, Digest, Manifest
from registry_push.model.manifest import DOCKER_MANIFEST, MAX_MANIFEST_BYTES, OCI_INDEX, OCI_MANIFEST

from ..support.layouts import BLOB, HELLO, LAYER, manifest
from ..support.peers import require


@pytest.fixture
async def layout(tmp_path: Path) -> OCILayout:
    """A layout with one blob and one manifest, `latest`."""
    layout = OCILayout(tmp_path / "layout")
    await layout.put(BLOB, BytesBody(HELLO))
    await layout.put_manifest(manifest(), "latest")
    return layout


def index_of(layout: OCILayout) -> Any:
    return json.loads((layout.path / "index.json").read_bytes())


def entry(of: Manifest, **annotations: str) -> dict[str, Any]:
    fields = {"mediaType": of.media_type, "digest": str(of.digest), "size": len(of.raw)}
    return fields | ({"annotations": annotations} if annotations else {})


async def test_what_is_on_the_disk(layout: OCILayout) -> None:
    assert json.loads((layout.path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert index_of(layout) == {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [entry(manifest(), **{REF_NAME: "latest"})],
    }
    assert (layout.path / "blobs" / "sha256" / BLOB.digest.hex).read_bytes() == HELLO
    files = {path.name for path in layout.path.rglob("*") if path.is_file()}
    assert files == {"oci-layout", "index.json", BLOB.digest.hex, manifest().digest.hex}


@pytest.mark.real
@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
async def test_skopeo_reads_it(layout: OCILayout, media_type: str) -> None:
    """skopeo looks in `index.json` for OCI's own types only: Ollama's models are found by no name there."""
    wanted = manifest(media_type=media_type)
    await layout.put_manifest(wanted, "other")
    process = await asyncio.create_subprocess_exec(
        *(require("skopeo"), "inspect", "--raw", f"oci:{layout.path}:other"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if media_type == OCI_MANIFEST:
        assert (process.returncode, output) == (0, wanted.raw)
    else:
        assert b"no descriptor found" in errors


async def test_names_and_retagging(layout: OCILayout) -> None:
    newer = manifest(note="newer")
    await layout.put_manifest(manifest(), "v1")
    await layout.put_manifest(newer, "latest")
    assert await layout.tags() == ("v1", "latest")
    assert [item["digest"] for item in index_of(layout)["manifests"]] == [str(manifest().digest), str(newer.digest)]


async def test_manifest_by_digest_and_the_only_one(layout: OCILayout) -> None:
    assert await layout.resolve(str(manifest().digest)) == manifest()
    assert await layout.resolve(None) == manifest()
    await layout.put_manifest(manifest(), "again")
    assert await layout.resolve(None) == manifest(), "one manifest with two names is one"
    await layout.put_manifest(manifest(note="other"), "other")
    with pytest.raises(ModelNotFound, match="2 manifests") as caught:
        await layout.resolve(None)
    assert "latest, again, other" in (caught.value.hint or "")


async def test_media_type_is_the_entry_s_where_the_manifest_is_silent(layout: OCILayout) -> None:
    raw = json.dumps({"schemaVersion": 2, "layers": []}).encode()
    await layout.add_manifest(Manifest.parse(raw, media_type=OCI_MANIFEST))
    silent = Descriptor(OCI_MANIFEST, Digest.of(raw), len(raw))
    await layout.update(lambda index: index.tagged(silent, "silent"))
    assert (await layout.resolve("silent")).media_type == OCI_MANIFEST


async def test_what_we_do_not_understand_is_kept(layout: OCILayout) -> None:
    odd = {"mediaType": "text/odd", "digest": "sha512:" + "0" * 128, "size": 1, "new": True}
    document = index_of(layout) | {"annotations": {"a": "b"}}
    document["manifests"].insert(0, odd)
    (layout.path / "index.json").write_text(json.dumps(document))
    assert await layout.resolve("latest") == manifest()
    await layout.put_manifest(manifest(note="newer"), "newer")
    after = index_of(layout)
    assert (after["manifests"][0], after["annotations"]) == (odd, {"a": "b"})


async def test_nothing_there(tmp_path: Path) -> None:
    layout = OCILayout(tmp_path / "absent")
    assert not await layout.exists(BLOB)
    with pytest.raises(StoreNotFound):
        await layout.resolve("latest")
    with pytest.raises(StoreNotFound):
        await layout.tags()
    with pytest.raises(BlobMissing):
        await layout.open(BLOB)
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"schemaVersion":2,"manifests":{}}',
        b'{"schemaVersion":2,"manifests":[1]}',
        b'{"schemaVersion":1,"manifests":[]}',
        b" " * (MAX_MANIFEST_BYTES + 1),
    ],
    ids=["empty", "list", "object", "no text", "deep", "no list", "no object", "other version", "huge"],
)
async def test_broken_index(layout: OCILayout, index: bytes) -> None:
    (layout.path / "index.json").write_bytes(index)
    with pytest.raises(ManifestCorrupt):
        await layout.resolve("latest")
    with pytest.raises(ManifestCorrupt):
        await layout.put_manifest(manifest(), "latest")
    assert (layout.path / "index.json").read_bytes() == index, "what we can't read we don't replace"


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "sha256:../../../etc/passwd"},
        {"digest": f"sha256:{'0' * 63}\n"},
        {"digest": None},
        {"size": -1},
        {"size": 10**30},
        {"mediaType": "odd\x1b[2J"},
    ],
)
async def test_broken_entry(layout: OCILayout, change: dict[str, Any]) -> None:
    document = index_of(layout)
    document["manifests"][0] |= change
    (layout.path / "index.json").write_text(json.dumps(document))
    with pytest.raises(ManifestCorrupt):
        await layout.resolve("latest")
    await layout.put_manifest(manifest(), "other")
    assert await layout.resolve("other") == manifest()


@pytest.mark.parametrize("annotations", [None, [], {REF_NAME: 5}, {REF_NAME: ""}, "latest"])
async def test_odd_annotations_name_nothing(layout: OCILayout, annotations: Any) -> None:
    document = index_of(layout)
    document["manifests"].append(entry(manifest()) | {"annotations": annotations})
    (layout.path / "index.json").write_text(json.dumps(document))
    assert await layout.tags() == ("latest",)


async def test_manifest_that_is_another(layout: OCILayout) -> None:
    layout.blob_path(manifest().digest).write_bytes(manifest(note="other").raw)
    with pytest.raises(ManifestCorrupt, match="another digest or size"):
        await layout.resolve("latest")


@pytest.mark.parametrize("ref", ["latest", None])
async def test_what_is_damaged_is_not_fetched_by_ollama(layout: OCILayout, ref: str | None) -> None:
    raw = b'{"schemaVersion": 2, "layers": [{"mediaType": "x/y", "size": -1}]}'
    digest = Digest.of(raw)
    layout.blob_path(digest).write_bytes(raw)
    document = index_of(layout)
    document["manifests"][0] |= {"digest": str(digest), "size": len(raw)}
    (layout.path / "index.json").write_text(json.dumps(document))
    with pytest.raises(ManifestCorrupt) as damaged:
        await layout.resolve(ref)
    (layout.path / "index.json").write_text("{")
    with pytest.raises(ManifestCorrupt) as torn:
        await layout.resolve(ref)
    with pytest.raises(ManifestCorrupt) as untold:
        await layout.tags()
    assert {each.value.hint for each in (damaged, torn, untold)} == {"copy it again from where it came"}


async def test_manifest_that_is_missing(layout: OCILayout) -> None:
    layout.blob_path(manifest().digest).unlink()
    with pytest.raises(BlobMissing):
        await layout.resolve("latest")


async def test_blob_of_another_size_is_not_there(layout: OCILayout) -> None:
    os.truncate(layout.blob_path(BLOB.digest), 5)
    assert not await layout.exists(BLOB)
    with pytest.raises(BlobCorrupt):
        await layout.open(BLOB)
    await layout.put(BLOB, BytesBody(HELLO))
    assert await layout.exists(BLOB)


# ── links, pipes, folders ─────────────────────────────────────────────────────────────────────────


async def test_blob_that_is_a_link_out_of_the_layout(layout: OCILayout, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(HELLO)
    layout.blob_path(BLOB.digest).unlink()
    layout.blob_path(BLOB.digest).symlink_to(secret)
    with pytest.raises(Unreadable, match="link"):
        await layout.open(BLOB)


async def test_blob_that_is_a_link_inside_the_layout(layout: OCILayout) -> None:
    layout.blob_path(BLOB.digest).rename(layout.path / "elsewhere")
    layout.blob_path(BLOB.digest).symlink_to(layout.path / "elsewhere")
    body = await layout.open(BLOB)
    assert [piece async for piece in body.open(0, BLOB.size)] == [HELLO]
    await body.close()


async def test_layout_that_is_itself_a_link(layout: OCILayout, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(layout.path)
    assert await OCILayout(tmp_path / "link").resolve("latest") == manifest()


async def test_pipe_and_folder_instead_of_a_blob(layout: OCILayout) -> None:
    path = layout.blob_path(BLOB.digest)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BlobCorrupt):
        await layout.open(BLOB)
    path.unlink()
    path.mkdir()
    with pytest.raises(BlobCorrupt):
        await layout.open(BLOB)
    assert not await layout.exists(BLOB)


async def test_index_that_is_a_pipe_or_leads_out(layout: OCILayout, tmp_path: Path) -> None:
    path = layout.path / "index.json"
    path.rename(tmp_path / "index.json")
    path.symlink_to(tmp_path / "index.json")
    with pytest.raises(Unreadable):
        await layout.resolve("latest")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(Unreadable):
        await layout.resolve("latest")


async def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for part in ("blobs", "blobs/sha256"):
        path = tmp_path / part.replace("/", "-") / part
        path.parent.mkdir(parents=True)
        path.symlink_to(outside)
        layout = OCILayout(tmp_path / part.replace("/", "-"))
        with pytest.raises(Unreadable):
            await layout.put(BLOB, BytesBody(HELLO))
        with pytest.raises(Unreadable):
            await layout.add_manifest(manifest())
    assert not list(outside.iterdir())


# ── a disk that fails, a push that is stopped ─────────────────────────────────────────────────────


async def test_full_disk(layout: OCILayout, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(Unavailable, match="No space left"):
        await layout.put(Descriptor(LAYER, Digest.of(b"new"), 3), BytesBody(b"new"))
    with pytest.raises(Unavailable, match="No space left"):
        await layout.put_manifest(manifest(note="newer"), "latest")
    monkeypatch.undo()
    assert await layout.resolve("latest") == manifest()
    assert not [*layout.path.rglob(".spool*"), *layout.path.rglob(".partial*")]


async def test_cancelled_push_leaves_no_file(layout: OCILayout) -> None:
    under_way = asyncio.Event()

    class Endless(BytesBody):
        async def open(self, offset: int, length: int) -> Any:
            yield b"ne"
            under_way.set()
            await asyncio.Event().wait()

    before = sorted(layout.path.rglob("*"))
    push = asyncio.create_task(layout.put(Descriptor(LAYER, Digest.of(b"new"), 3), Endless(b"new")))
    await under_way.wait()
    assert len(list(layout.path.glob(".partial-*"))) == 1
    push.cancel()
    with pytest.raises(asyncio.CancelledError):
        await push
    assert sorted(layout.path.rglob("*")) == before


def test_index_without_a_digest() -> None:
    index = LayoutIndex().tagged(manifest().descriptor, "a").tagged(manifest().descriptor, "b")
    index = index.added(manifest(note="other").descriptor)
    assert index.added(manifest().descriptor) == index
    assert index.without(manifest().digest).refs == ()
    assert len(index.without(manifest().digest).entries) == 1
    assert index.untagged("a").refs == ("b",)


def test_processes_that_tag_at_the_same_time_lose_no_tag(tmp_path: Path) -> None:
    """Each reads the index and replaces it: without turns, the later one puts back what the other had read."""
    script = (
        "import asyncio, sys; from pathlib import Path; from registry_push.content.oci.layout import OCILayout\n"
        "from registry_push.model import Manifest\n"
        'manifest = Manifest.parse(b\'{"schemaVersion": 2, "layers": []}\')\n'
        "async def main():\n"
        "    layout = OCILayout(Path(sys.argv[1]))\n"
        "    for number in range(20):\n"
        "        await layout.put_manifest(manifest, f'{sys.argv[2]}-{number}')\n"
        "asyncio.run(main())\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "l"), name]) for name in ("a", "b", "c")]
    assert [each.wait() for each in running] == [0, 0, 0]
    index = json.loads((tmp_path / "l" / "index.json").read_text())
    assert len(index["manifests"]) == 60


async def test_an_index_does_not_grow_beyond_what_is_read(layout: OCILayout) -> None:
    """One that is too large would hide all that is in the layout."""
    names = [f"t{n}" for n in range(20)]
    size = MAX_MANIFEST_BYTES // 16

    def grown(index: LayoutIndex) -> LayoutIndex:
        for name in names:
            index = index.tagged(manifest().descriptor, name * (size // len(name)))
        return index

    before = (layout.path / "index.json").read_bytes()
    with pytest.raises(ManifestRefused, match="which nobody could read"):
        await layout.update(grown)
    assert (layout.path / "index.json").read_bytes() == before
    assert await layout.tags() == ("latest",)
