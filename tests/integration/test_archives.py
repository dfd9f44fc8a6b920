"""OCI archives and layouts between our own stores, and between us and the programs of others."""

from __future__ import annotations

import asyncio
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from registry_push.content.oci.archive import OCIArchive
from registry_push.content.oci.layout import OCILayout
from registry_push.content.oci.partial_archive import partial_path
from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import BlobCorrupt, ManifestCorrupt, ModelNotFound, SomeFailed, UsageError
from registry_push.events import BlobDone, Event, Placement
from registry_push.model import Digest, Manifest, ModelName, Reference
from registry_push.model.manifest import OCI_MANIFEST
from registry_push.registry.registries import Registries
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.copy import copy
from tests.support.command import command
from tests.support.peers import require
from tests.support.registries import DockerRegistry, Registry
from tests.support.stores import make_mixed_store, weights_of

TINY = "registry.ollama.ai/me/tiny:latest"


def settings(home: Path, **given: object) -> Settings:
    return Settings(**{"home": home, "models": home / "models", "state_dir": None, **given})  # type: ignore[arg-type]


async def copied(home: Path, source: str, target: str, **given: object) -> Report:
    report = await copy(source, target, settings=settings(home, **given))
    assert report.error is None
    return report


async def run(*arguments: str) -> bytes:
    """What a program of others prints; it has to succeed."""
    process = await asyncio.create_subprocess_exec(
        require(arguments[0]), *arguments[1:], stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out


async def skopeo(*arguments: str) -> bytes:
    return await run("skopeo", "--insecure-policy", *arguments)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a store of two models that share their weights."""
    write_sample_store(tmp_path / "models", weights=70_000)
    return tmp_path


@pytest.fixture
async def image(tmp_path: Path) -> Path:
    """A layout with one image, `v1`, as umoci makes it."""
    layout, files = tmp_path / "umoci", tmp_path / "files"
    files.mkdir()
    (files / "hello").write_text("hello\n")
    await run("umoci", "init", "--layout", str(layout))
    await run("umoci", "new", "--image", f"{layout}:v1")
    await run("umoci", "insert", "--image", f"{layout}:v1", str(files), "/files")
    return layout


async def digest_in(layout: Path, ref: str) -> Digest:
    digest = await OCILayout(layout).digest_of(ref)
    assert digest is not None
    return digest


async def test_from_place_to_place(home: Path, registry: Registry) -> None:
    """Store, archive, registry, archive, layout, archive, store: the same manifest byte for byte, the same content."""
    name = f"{registry.host}/archives/round:v1"
    await copied(home, "ollama:me/tiny", f"oci-archive:{home}/a.tar:v1")
    await copied(home, f"oci-archive:{home}/a.tar", f"registry:{name}")
    await copied(home, f"registry:{name}", f"oci-archive:{home}/b.tar:v1")
    assert (home / "b.tar").read_bytes() == (home / "a.tar").read_bytes()
    await copied(home, f"oci-archive:{home}/b.tar:v1", f"oci:{home}/layout:v1")
    await copied(home, f"oci:{home}/layout", f"oci-archive:{home}/c.tar")
    assert (home / "c.tar").read_bytes() == (home / "a.tar").read_bytes()
    await copied(home, f"oci-archive:{home}/c.tar", "ollama:me/again", models=home / "other")
    there, here = OllamaStore(home / "other"), OllamaStore(home / "models")
    again, manifest = await there.resolve(ModelName.parse("me/again")), await here.resolve(ModelName.parse("me/tiny"))
    assert again.raw == manifest.raw
    for blob in manifest.blobs:
        content = [(store.root / "blobs" / blob.digest.path_name).read_bytes() for store in (there, here)]
        assert content[0] == content[1]


async def test_referrers_travel_along(home: Path) -> None:
    """A signature without a name of its own: from a layout into an archive, and out of it."""
    await copied(home, "ollama:me/tiny", f"oci:{home}/a:v1")
    first, there = OCILayout(home / "a"), OCILayout(home / "b")
    model = await first.resolve("v1")
    assert model.config is not None
    config = {"mediaType": "text/plain", "digest": str(model.config.digest), "size": model.config.size}
    subject = {"mediaType": model.media_type, "digest": str(model.digest), "size": len(model.raw)}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [], "subject": subject}
    signature = Manifest.parse(json.dumps(document).encode())
    await first.put_manifest(signature, str(signature.digest))
    await copied(home, f"oci:{home}/a", f"oci-archive:{home}/a.tar")
    await copied(home, f"oci-archive:{home}/a.tar", f"oci:{home}/b")
    assert [entry.digest for entry in (await there.index()).readable()].count(signature.digest) == 1
    assert await there.tags() == ("v1",)
    assert (await there.resolve(str(signature.digest))).raw == signature.raw


async def test_a_whole_store_with_its_names(home: Path) -> None:
    """The names come back; and the same models give the same bytes, from whatever they are read."""
    for size in range(1, 9):
        make_mixed_store(home / "models", [100_000 * size, 70_000], name=f"me/m{size}")
    await copied(home, "ollama:", f"oci-archive:{home}/a.tar")
    await copied(home, f"oci-archive:{home}/a.tar", "ollama:", models=home / "other")
    here, there = OllamaStore(home / "models"), OllamaStore(home / "other")
    names = [model.name for model in await there.models()]
    assert len(names) > 8
    assert [(await there.resolve(name)).raw for name in names] == [(await here.resolve(name)).raw for name in names]
    await copied(home, "ollama:", f"oci:{home}/layout", models=home / "other")
    await copied(home, f"oci:{home}/layout", f"oci-archive:{home}/b.tar")
    assert (home / "a.tar").read_bytes() == (home / "b.tar").read_bytes()


async def test_command(home: Path) -> None:
    flags = ("--models", str(home / "models"))
    path = home / "a.tar"
    dry = await command("copy", "ollama:me/tiny", f"oci-archive:{path}:v1", "--dry-run", *flags, home=home)
    assert dry.code == 0 and not path.exists() and not partial_path(path).exists()
    done = await command("copy", "ollama:me/tiny", f"oci-archive:{path}:v1", "--tag", "v2", *flags, home=home)
    assert done.code == 0 and f"oci-archive:{path}:v1" in done.out
    for dry_run in ([], ["--dry-run"]):
        again = await command("copy", "ollama:me/tiny", f"oci-archive:{path}:v3", *dry_run, *flags, home=home)
        assert again.code == 2 and "is there already" in again.err and f"rm {path}" in again.err
    for tag in ("v1", "v2"):
        shown = await command("inspect", f"oci-archive:{path}:{tag}", home=home)
        assert shown.code == 0 and "present" in shown.out and "missing" not in shown.out
    raw = await command("inspect", "--raw", f"oci-archive:{path}:v1", home=home)
    assert raw.out.encode() == (await OllamaStore(home / "models").resolve(ModelName.parse("me/tiny"))).raw
    none = await command("inspect", f"oci-archive:{path}:v3", home=home)
    assert none.code == 3 and "v1, v2" in none.err


async def test_an_archive_that_lacks_a_blob(home: Path, tmp_path: Path) -> None:
    await copied(home, "ollama:me/tiny", f"oci-archive:{home}/a.tar:v1")
    blob, _ = weights_of(OllamaStore(home / "models"))
    with tarfile.open(home / "a.tar") as whole, tarfile.open(home / "b.tar", "w") as lacking:
        for entry in whole:
            if blob.digest.hex not in entry.name:
                lacking.addfile(entry, whole.extractfile(entry))
    shown = await command("inspect", f"oci-archive:{home}/b.tar", home=home)
    assert shown.code == 3 and "missing" in shown.out and str(blob.digest) in shown.err
    done = await command("copy", f"oci-archive:{home}/b.tar", f"oci:{home}/new", home=home)
    assert done.code == 3 and str(blob.digest) in done.err
    assert not (home / "new" / "index.json").exists()


async def test_content_that_is_not_what_it_is_called(home: Path, embedded: EmbeddedRegistry) -> None:
    """A bit that flips on the way over the gap: no manifest appears, wherever it is copied to."""
    await copied(home, "ollama:me/tiny", f"oci-archive:{home}/a.tar:v1")
    content = (home / "a.tar").read_bytes()
    _, weights = weights_of(OllamaStore(home / "models"))
    at = content.index(weights.read_bytes())
    (home / "a.tar").write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    for target in (
        "ollama:me/new",
        f"oci:{home}/new",
        f"oci-archive:{home}/new.tar",
        f"registry:{embedded.host}/new:v",
    ):
        report = await copy(f"oci-archive:{home}/a.tar", target, settings=settings(home, models=home / "other"))
        assert isinstance(report.error, BlobCorrupt), target
    assert not [path for path in (home / "other" / "manifests").rglob("*") if path.is_file()]
    assert not (home / "new" / "index.json").exists() and not (home / "new.tar").exists()
    async with Registries(settings(home), lambda _: None) as registries:
        with pytest.raises(ModelNotFound):
            await registries.repository(Reference.parse(f"{embedded.host}/new")).resolve("v")


async def test_all_models_or_no_archive(home: Path) -> None:
    """What there was of it is continued by the same command, when the damage is mended."""
    big = 9_000_000
    make_mixed_store(home / "models", [big], name="me/a")
    make_mixed_store(home / "models", [big + 1, 5_000], name="me/b")
    _, path = weights_of(OllamaStore(home / "models"), "me/b")
    whole = path.read_bytes()
    path.write_bytes(whole[::-1])
    events: list[Event] = []
    for _ in range(2):
        report = await copy("ollama:", f"oci-archive:{home}/a.tar", settings=settings(home))
        assert isinstance(report.error, SomeFailed)
        assert [model.model for model in report.failed] == ["me/b:latest"]
        assert not (home / "a.tar").exists() and partial_path(home / "a.tar").exists()
    path.write_bytes(whole)
    report = await copy("ollama:", f"oci-archive:{home}/a.tar", settings=settings(home), sink=events.append)
    assert report.error is None
    placed = {event.blob.size: event.placement for event in events if isinstance(event, BlobDone)}
    assert (placed[big], placed[big + 1]) == (Placement.PRESENT, Placement.UPLOADED)
    assert not partial_path(home / "a.tar").exists()
    async with OCIArchive(home / "a.tar") as archive:
        for tag in await archive.tags():
            await archive.check(await archive.resolve(tag))


async def test_a_model_that_can_not_be_read_keeps_the_archive_back(home: Path) -> None:
    broken = home / "models" / "manifests" / "registry.ollama.ai" / "me" / "broken" / "latest"
    broken.parent.mkdir()
    broken.write_bytes(b"{")
    with pytest.raises(ManifestCorrupt, match="me/broken"):
        await copy("ollama:", f"oci-archive:{home}/a.tar", settings=settings(home))
    assert [each.name for each in home.iterdir()] == ["models"]


@pytest.mark.real
async def test_skopeo_and_umoci_read_what_we_write(home: Path) -> None:
    await copied(home, "ollama:me/tiny", f"oci-archive:{home}/a.tar:v1")
    await copied(home, f"oci-archive:{home}/a.tar", f"oci:{home}/layout")
    raw = (await OllamaStore(home / "models").resolve(ModelName.parse("me/tiny"))).raw
    for place in (f"oci-archive:{home}/a.tar", f"oci:{home}/layout"):
        assert await skopeo("inspect", "--raw", place) == raw
    assert await run("umoci", "ls", "--layout", str(home / "layout")) == b"v1\n"
    (home / "unpacked").mkdir()
    await run("tar", "-xf", str(home / "a.tar"), "-C", str(home / "unpacked"))
    assert await run("umoci", "ls", "--layout", str(home / "unpacked")) == b"v1\n"


@pytest.mark.real
async def test_skopeo_copies_what_we_write(image: Path, tmp_path: Path, docker_registry: DockerRegistry) -> None:
    digest = await digest_in(image, "v1")
    await copied(tmp_path, f"oci:{image}", f"oci-archive:{tmp_path}/a.tar")
    await copied(tmp_path, f"oci-archive:{tmp_path}/a.tar", f"oci:{tmp_path}/ours")
    for number, place in enumerate((f"oci-archive:{tmp_path}/a.tar:v1", f"oci:{tmp_path}/ours:v1")):
        await skopeo("copy", place, f"oci:{tmp_path}/theirs{number}:v1")
        assert await digest_in(tmp_path / f"theirs{number}", "v1") == digest
        name = f"{docker_registry.host}/archives/skopeo:v{number}"
        await skopeo("copy", "--dest-tls-verify=false", place, f"docker://{name}")
        await copied(tmp_path, f"registry:{name}", f"oci:{tmp_path}/back:v{number}")
        assert await digest_in(tmp_path / "back", f"v{number}") == digest
    await run("umoci", "stat", "--image", f"{tmp_path}/ours:v1")
    await run("umoci", "raw", "unpack", "--rootless", "--image", f"{tmp_path}/ours:v1", f"{tmp_path}/root")
    assert (tmp_path / "root" / "files" / "hello").read_text() == "hello\n"


@pytest.mark.real
@pytest.mark.parametrize("named", [True, False])
async def test_we_read_what_skopeo_writes(
    image: Path, tmp_path: Path, docker_registry: DockerRegistry, named: bool
) -> None:
    digest, name = await digest_in(image, "v1"), f"{docker_registry.host}/archives/theirs:v1"
    await skopeo("copy", "--dest-tls-verify=false", f"oci:{image}:v1", f"docker://{name}")
    for kind, path in (("oci", tmp_path / "theirs"), ("oci-archive", tmp_path / "theirs.tar")):
        await skopeo("copy", "--src-tls-verify=false", f"docker://{name}", f"{kind}:{path}" + (":v1" if named else ""))
        report = await copied(tmp_path, f"{kind}:{path}", f"oci:{tmp_path}/ours-{kind}")
        (done,) = report.done
        assert done.digest == digest
        manifest = await OCILayout(tmp_path / f"ours-{kind}").resolve("v1" if named else "latest")
        assert manifest.media_type == OCI_MANIFEST and manifest.digest == digest
        assert all([await OCILayout(tmp_path / f"ours-{kind}").exists(blob) for blob in manifest.blobs])


@pytest.mark.real
async def test_we_read_what_umoci_writes(image: Path, tmp_path: Path) -> None:
    """As a folder, and as tar packs the folder up, with `./` before the names and in its own form."""
    digest = await digest_in(image, "v1")
    await copied(tmp_path, f"oci:{image}:v1", f"oci:{tmp_path}/a")
    assert await digest_in(tmp_path / "a", "v1") == digest
    for form in ("gnu", "pax", "ustar"):
        tar = tmp_path / f"{form}.tar"
        await run("tar", f"--format={form}", "-C", str(image), "-cf", str(tar), ".")
        await copied(tmp_path, f"oci-archive:{tar}", f"oci:{tmp_path}/{form}")
        assert await digest_in(tmp_path / form, "v1") == digest
        shutil.rmtree(tmp_path / form)
    await run("tar", "-C", str(tmp_path), "-cf", str(tmp_path / "inside.tar"), image.name)
    with pytest.raises(UsageError, match="no index"):
        await copied(tmp_path, f"oci-archive:{tmp_path}/inside.tar", f"oci:{tmp_path}/b")
