"""Across an air gap, with the real command: export, carry, import; what arrives is what left."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from registry_push.embedded.sample import write_sample_store
from registry_push.errors import BlobMissing
from registry_push.events import BlobDone, Event
from registry_push.model import Digest
from registry_push.settings import Settings
from registry_push.verbs.export import export
from tests.support.command import Finished, command
from tests.support.given_models import blob_file, manifest_file, same_stores, write_model
from tests.support.peers import require
from tests.support.registries import DockerRegistry

MB = 1_000_000
SHARED = random.Random(1).randbytes(25 * MB)
OTHER = random.Random(2).randbytes(9 * MB)
MODELS = {
    "llama:8b": [SHARED, b"a template"],
    "me/tuned:v2": [SHARED, b"another template"],
    "me/small": [OTHER, b"a template"],
}


async def run(*arguments: str, cwd: Path | None = None) -> bytes:
    """What a program of others prints; it has to succeed."""
    process = await asyncio.create_subprocess_exec(
        require(arguments[0]), *arguments[1:], cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out


class Side:
    """A machine: its home, and the models in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.models = home / "models"
        (self.models / "blobs").mkdir(parents=True)
        self.manifests: dict[str, bytes] = {}

    def has(self, models: dict[str, list[bytes]]) -> None:
        for name, layers in models.items():
            self.manifests[name] = write_model(self.models, name, layers)

    async def __call__(self, *arguments: str, code: int = 0) -> Finished:
        done = await command(*arguments, home=self.home, OLLAMA_MODELS=str(self.models))
        assert done.code == code, done.err
        return done


@pytest.fixture
def near(tmp_path: Path) -> Side:
    side = Side(tmp_path / "near")
    side.has(MODELS)
    return side


@pytest.fixture
def far(tmp_path: Path) -> Side:
    return Side(tmp_path / "far")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """What is carried."""
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


def volumes(disk: Path) -> list[str]:
    return [str(each) for each in sorted(disk.glob("*.tar"))]


async def test_from_store_over_volumes_to_another_machines_registry_and_store(
    near: Side, far: Side, disk: Path, docker_registry: DockerRegistry
) -> None:
    await near("export", "--all", "--to", f"{disk}/all.tar", "--split", "15MB", "--verify")
    files = volumes(disk)
    assert len(files) == 3
    for file in files:
        assert Path(file).stat().st_size <= 15 * MB
        listing = (await run("tar", "tvf", file)).decode().splitlines()
        assert [line.split()[-1] for line in listing[:2]] == ["oci-layout", "index.json"]
        assert all(line.startswith("-rw-r--r-- 0/0 ") and "1970-01-01 00:00" in line for line in listing)
    assert (await run("sha256sum", "-c", "all.sha256", cwd=disk)).count(b": OK") == 3
    await far("import", *files, "--to", "ollama:")
    assert same_stores(near.models, far.models)
    for blob in (far.models / "blobs").iterdir():
        assert (await run("sha256sum", str(blob))).split()[0].decode() == blob.name.removeprefix("sha256-")
    await far("import", *files[::-1], "--to", f"registry:{docker_registry.host}/gap/")
    for name, path in (("llama:8b", "llama:8b"), ("me/tuned:v2", "me/tuned:v2"), ("me/small", "me/small:latest")):
        raw = await far("inspect", "--raw", f"registry:{docker_registry.host}/gap/{path}")
        assert raw.out.encode() == near.manifests[name]
    verified = await far("verify", f"registry:{docker_registry.host}/gap/llama", "--json")
    assert verified.events[-1]["event"] == "result"


async def test_the_same_export_has_the_same_bytes(near: Side, disk: Path, tmp_path: Path) -> None:
    await near("export", "--all", "--to", f"{disk}/all.tar", "--split", "15MB")
    (tmp_path / "again").mkdir()
    await near("export", "me/small", "me/tuned:v2", "llama:8b", "--to", f"{tmp_path}/again/all.tar", "--split", "15MB")
    first = {each.name: each.read_bytes() for each in disk.iterdir()}
    assert {each.name: each.read_bytes() for each in (tmp_path / "again").iterdir()} == first


async def test_skopeo_reads_each_volume_of_one_model(near: Side, disk: Path) -> None:
    await near("export", "me/small", "--to", f"{disk}/small.tar", "--split", "5MB")
    assert len(volumes(disk)) == 2
    for file in volumes(disk):
        raw = await run("skopeo", "--insecure-policy", "inspect", "--raw", f"oci-archive:{file}")
        assert raw == near.manifests["me/small"]


@pytest.mark.parametrize("since", ["inventory", "archive"])
async def test_a_second_version_is_a_small_delta(near: Side, far: Side, disk: Path, since: str) -> None:
    await near("export", "llama:8b", "--to", f"{disk}/base.tar")
    await far("import", f"{disk}/base.tar", "--to", "ollama:")
    known = f"{disk}/base.tar"
    if since == "inventory":
        known = f"{disk}/far.json"
        Path(known).write_text((await far("inventory", "ollama:")).out)
    near.has({"llama:8b-v2": [SHARED, b"a new template"]})
    await near("export", "llama:8b-v2", "--to", f"{disk}/delta.tar", "--since", known)
    assert (disk / "delta.tar").stat().st_size < MB / 20
    await far("import", f"{disk}/delta.tar", "--to", "ollama:")
    assert manifest_file(far.models, "llama:8b-v2").read_bytes() == near.manifests["llama:8b-v2"]
    await far("verify", "ollama:")


async def test_a_delta_without_its_base_says_what_is_needed_and_writes_nothing(
    near: Side, far: Side, disk: Path, docker_registry: DockerRegistry
) -> None:
    await near("export", "llama:8b", "--to", f"{disk}/base.tar")
    near.has({"llama:8b-v2": [SHARED, b"a new template"]})
    await near("export", "llama:8b-v2", "--to", f"{disk}/delta.tar", "--since", f"{disk}/base.tar")
    for target in ("ollama:", f"registry:{docker_registry.host}/gap-delta/", f"oci:{disk}/layout"):
        refused = await far("import", f"{disk}/delta.tar", "--to", target, code=3)
        assert str(Digest.of(SHARED)) in refused.err
        assert "registry-push export llama:8b-v2 --to FILE.tar" in refused.err
    assert not [each for each in far.models.rglob("*") if each.is_file()]
    assert not (disk / "layout").exists()
    await far("tags", f"{docker_registry.host}/gap-delta/llama", code=3)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (3, 2, 1), (2, 3, 1)])
@pytest.mark.parametrize("kind", ["store", "layout"])
async def test_volumes_one_at_a_time_in_any_order(
    near: Side, far: Side, disk: Path, kind: str, order: tuple[int, ...]
) -> None:
    """Each alone, as on a stick that is carried three times. Parts that come before their turn are kept."""
    await near("export", "--all", "--to", f"{disk}/all.tar", "--split", "15MB")
    target = "ollama:" if kind == "store" else f"oci:{disk}/layout"
    left = [1, 2, 3]
    for number in order:
        left.remove(number)
        done = await far("import", f"{disk}/all.v00{number}.tar", "--to", target, "--partial", "--json")
        missing = {file for files in done.events[-1]["missing"].values() for file in files}
        assert missing == {f"all.v00{n}.tar" for n in left}
    await far("verify", target)
    if kind == "store":
        assert same_stores(near.models, far.models)
    assert not list(disk.rglob("*.part")) + list(far.home.rglob("*.part")), "what was kept is not needed any more"


@pytest.mark.parametrize("check", ["--check", "--no-check"])
async def test_a_kept_part_that_is_damaged_is_found_and_not_kept(near: Side, far: Side, disk: Path, check: str) -> None:
    await near("export", "llama:8b", "--to", f"{disk}/all.tar", "--split", "10MB")
    first, second, third = volumes(disk)
    await far("import", third, "--to", "ollama:", "--partial")
    [part] = far.models.rglob("*.part")
    part.write_bytes(bytes(part.stat().st_size))
    await far("import", first, "--to", "ollama:", "--partial")
    again = await far("import", second, "--to", "ollama:", "--partial", check, "--json")
    assert [*again.events[-1]["missing"].values()] == [["all.v001.tar", "all.v003.tar"]]
    await far("import", third, "--to", "ollama:", "--partial", check)
    await far("import", first, "--to", "ollama:", "--partial", check)
    await far("verify", "ollama:")
    assert manifest_file(far.models, "llama:8b").read_bytes() == near.manifests["llama:8b"]


async def test_a_missing_volume_is_named_before_anything_is_written(near: Side, far: Side, disk: Path) -> None:
    await near("export", "--all", "--to", f"{disk}/all.tar", "--split", "15MB")
    first, _, third = volumes(disk)
    refused = await far("import", first, third, "--to", "ollama:", code=3)
    assert "all.v002.tar" in refused.err
    assert not (far.models / "manifests").exists()


async def test_a_blob_arrives_at_a_registry_part_by_part(
    near: Side, far: Side, disk: Path, docker_registry: DockerRegistry
) -> None:
    """Each part is a chunk of one upload, which the registry keeps from one run to the next."""
    await near("export", "llama:8b", "--to", f"{disk}/all.tar", "--split", "10MB")
    target, sent = f"registry:{docker_registry.host}/gap-parts/", list[tuple[int, int]]()
    for number, file in enumerate(volumes(disk), 1):
        done = (await far("import", file, "--to", target, "--partial", "--json")).events
        waits = [*done[-1]["missing"].values()]
        assert waits == ([[f"all.v00{n}.tar" for n in range(number + 1, 4)]] if number < 3 else [])
        moved = [each["offset"] for each in done if each["event"] == "blob_progress" and each["size"] == 25 * MB]
        [begun] = [
            each["offset"] for each in done if each["event"] == "blob_started" and each["blob"]["size"] == 25 * MB
        ]
        sent.append((begun, moved[-1]))
    assert [begun for begun, _ in sent] == [0, *(end for _, end in sent[:-1])], "nothing is sent twice"
    raw = await far("inspect", "--raw", f"registry:{docker_registry.host}/gap-parts/llama:8b")
    assert raw.out.encode() == near.manifests["llama:8b"]
    await far("verify", f"registry:{docker_registry.host}/gap-parts/llama")


async def test_a_dry_run_says_what_would_be_in_each_volume(near: Side, disk: Path) -> None:
    said = await near("export", "--all", "--to", f"{disk}/all.tar", "--split", "15MB", "--dry-run")
    assert [line.split()[0] for line in said.out.splitlines() if ".tar " in line and "→" not in line] == [
        f"{disk}/all.v00{n}.tar" for n in (1, 2, 3)
    ]
    assert f"  {Digest.of(SHARED).short}" in said.out
    assert list(disk.iterdir()) == []
    told = (await near("export", "--all", "--to", f"{disk}/all.tar", "--split", "15MB", "-n", "--json")).events[-1]
    await near("export", "--all", "--to", f"{disk}/all.tar", "--split", "15MB")
    assert [(each["file"], each["size"]) for each in told["files"]] == [
        (file, Path(file).stat().st_size) for file in volumes(disk)
    ]


async def test_a_folder(near: Side, far: Side, disk: Path) -> None:
    await near("export", "me/small", "--to", f"{disk}/folder", "--verify")
    document = json.loads((disk / "folder" / "registry-push.json").read_text())
    assert document["requires"] == []
    assert [each["name"] for each in document["manifests"]] == ["registry.ollama.ai/me/small:latest"]
    done = await far("import", f"{disk}/folder", "--to", "ollama:")
    assert f"oci:{disk}/folder:registry.ollama.ai/me/small:latest" in done.out
    assert manifest_file(far.models, "me/small").read_bytes() == near.manifests["me/small"]


@pytest.mark.parametrize("form", ["oci-archive", "oci"])
async def test_what_skopeo_writes_is_imported(near: Side, far: Side, disk: Path, form: str) -> None:
    image, files = disk / "umoci", disk / "files"
    files.mkdir()
    (files / "hello").write_text("hello\n")
    await run("umoci", "init", "--layout", str(image))
    await run("umoci", "new", "--image", f"{image}:v1")
    await run("umoci", "insert", "--image", f"{image}:v1", str(files), "/files")
    place = f"{disk}/theirs.tar" if form == "oci-archive" else f"{disk}/theirs"
    await run("skopeo", "--insecure-policy", "copy", f"oci:{image}:v1", f"{form}:{place}:me/image:v1")
    await far("import", place, "--to", f"oci:{disk}/ours")
    theirs = await run("skopeo", "--insecure-policy", "inspect", "--raw", f"{form}:{place}:me/image:v1")
    assert hashlib.sha256(theirs).hexdigest() in {each.name for each in (disk / "ours/blobs/sha256").iterdir()}
    await far("verify", f"oci:{disk}/ours")


@pytest.mark.parametrize("kind", ["store", "registry"])
async def test_what_is_there_already_is_neither_checked_nor_sent(
    near: Side, far: Side, disk: Path, docker_registry: DockerRegistry, kind: str
) -> None:
    await near("export", "--all", "--to", f"{disk}/all.tar")
    target = "ollama:" if kind == "store" else f"registry:{docker_registry.host}/gap-twice/"
    first, again = [(await far("import", f"{disk}/all.tar", "--to", target, "--json")).events for _ in range(2)]
    phases = [[each["phase"] for each in run if each["event"] == "run_started"] for run in (first, again)]
    assert phases == [["checking", ""], [""]]
    assert [each["sent"] for each in again[-1]["models"]] == [0, 0, 0]


async def test_a_set_is_a_place(near: Side, disk: Path) -> None:
    await near("export", "--all", "--to", f"{disk}/all.tar", "--split", "15MB")
    shown = await near("inspect", f"oci-archive:{disk}/all.tar:me/small")
    assert Digest.of(OTHER).short in shown.out
    await near("copy", f"oci-archive:{disk}/all.tar", f"oci:{disk}/copied")
    await near("verify", f"oci:{disk}/copied", f"oci-archive:{disk}/all.tar")
    Path(volumes(disk)[1]).unlink()
    lost = await near("verify", f"oci-archive:{disk}/all.tar", code=7)
    assert "all.v002.tar" in lost.err


async def test_a_damaged_volume_is_repaired_in_its_place(near: Side, disk: Path) -> None:
    """A part of a blob, and a manifest, which each volume has: afterwards the sums are right again."""
    await near("export", "--all", "--to", f"{disk}/all.tar", "--split", "15MB")
    for number, file in enumerate(map(Path, volumes(disk))):
        content = file.read_bytes()
        manifest = content.index(near.manifests["me/small"])
        for at in (manifest + 20, 5 * MB + number):
            content = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        file.write_bytes(content)
    await near("verify", f"oci-archive:{disk}/all.tar", code=7)
    await near("verify", f"oci-archive:{disk}/all.tar", "--repair", "ollama:")
    assert (await run("sha256sum", "-c", "all.sha256", cwd=disk)).count(b": OK") == 3


async def exported(home: Path, to: Path, sink: Any) -> None:
    settings = Settings(home=home, models=home / "models", state_dir=None)
    await export([], str(to), every=True, settings=settings, sink=sink)


async def test_a_model_that_is_removed_while_it_is_exported_is_in_no_archive(near: Side, disk: Path) -> None:
    """As `ollama rm` does it: the manifest first, then the blobs."""

    def removing(event: Event) -> None:
        if isinstance(event, BlobDone) and manifest_file(near.models, "me/small").exists():
            manifest_file(near.models, "me/small").unlink()
            for content in (SHARED, OTHER):
                blob_file(near.models, Digest.of(content)).unlink(missing_ok=True)

    with pytest.raises(BlobMissing):
        await exported(near.home, disk / "all.tar", removing)
    assert not (disk / "all.tar").exists()


async def test_a_model_that_appears_while_others_are_exported_does_not_matter(
    near: Side, far: Side, disk: Path
) -> None:
    before = shutil.copytree(near.models, disk / "before")

    def adding(event: Event) -> None:
        if isinstance(event, BlobDone):
            write_model(near.models, "me/new", [b"new weights"])

    await exported(near.home, disk / "all.tar", adding)
    await far("import", f"{disk}/all.tar", "--to", "ollama:")
    assert same_stores(before, far.models)


async def test_the_tiny_store_of_the_demo(far: Side, tmp_path: Path, disk: Path) -> None:
    write_sample_store(tmp_path / "sample", weights=70_000)
    done = await command("export", "--all", "--to", f"{disk}/a.tar", home=tmp_path, OLLAMA_MODELS=f"{tmp_path}/sample")
    assert done.code == 0, done.err
    await far("import", str(disk), "--to", "ollama:")
    assert same_stores(tmp_path / "sample", far.models)
