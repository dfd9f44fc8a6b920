"""Damaged, missing and foreign content: the documented code, and no manifest at the target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import BlobCorrupt, BlobMissing, IntegrityError, RegistryPushError
from registry_push.events import BlobProgress, Event
from registry_push.model import Digest, ModelName, Reference
from registry_push.model.manifest import DOCKER_MANIFEST
from registry_push.registry.registries import Registries
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.support.registries import Registry
from tests.support.stores import weights_of

# Above SINGLE_PUT, so that the weights go in a PATCH and are half sent when the damage shows.
LARGE = 12_000_000


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def lengthen(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")


def link_out(file: Path) -> None:
    outside = file.parent.parent.parent / "outside"
    file.rename(outside)
    file.symlink_to(outside)


def make_fifo(file: Path) -> None:
    import os

    file.unlink()
    os.mkfifo(file)


DAMAGES: dict[str, tuple[Callable[[Path], None], type[RegistryPushError], int]] = {
    "one bit flipped": (flip, BlobCorrupt, 7),
    "truncated": (truncate, BlobCorrupt, 7),
    "too long": (lengthen, BlobCorrupt, 7),
    "missing": (Path.unlink, BlobMissing, 3),
    "linked out of the store": (link_out, BlobMissing, 3),
    "a FIFO": (make_fifo, BlobMissing, 3),
}


async def is_at(registry: Registry, model: str, digest: Digest) -> tuple[bool, bool]:
    """Whether the manifest is there, and whether the blob is."""
    import aiohttp

    # Without the Accept distribution 2 would have to make a manifest of schema 1 of it, and says 404.
    async with aiohttp.ClientSession(headers={"Accept": DOCKER_MANIFEST}) as session:
        base = f"{registry.origin}/v2/{model}"
        async with session.head(f"{base}/manifests/latest") as manifest, session.head(f"{base}/blobs/{digest}") as blob:
            return manifest.status == 200, blob.status == 200


@pytest.mark.parametrize("weights", [100_000, LARGE], ids=["in one PUT", "in chunks"])
@pytest.mark.parametrize("damage", DAMAGES, ids=str)
async def test_damage_is_never_committed(registry: Registry, tmp_path: Path, damage: str, weights: int) -> None:
    change, error, code = DAMAGES[damage]
    model = f"damage/{damage.replace(' ', '-')}-{weights}".lower()
    settings = Settings(models=tmp_path / "models", home=tmp_path)
    write_sample_store(tmp_path / "models", name=model, weights=weights)
    blob, file = weights_of(OllamaStore(tmp_path / "models"), model)
    change(file)
    report = await push([model], to=f"{registry.host}/", settings=settings)
    assert type(report.error) is error
    assert report.error.exit_code == code
    assert await is_at(registry, model, blob.digest) == (False, False)


async def test_content_that_changes_while_it_is_sent_is_never_committed(registry: Registry, tmp_path: Path) -> None:
    model = "damage/rewritten"
    settings = Settings(models=tmp_path / "models", home=tmp_path, chunk_size=1_000_000)
    write_sample_store(tmp_path / "models", name=model, weights=LARGE)
    blob, file = weights_of(OllamaStore(tmp_path / "models"), model)
    done = False

    def rewrite(event: Event) -> None:
        nonlocal done
        if isinstance(event, BlobProgress) and event.digest == blob.digest and not done:
            done = True
            with file.open("r+b") as opened:
                opened.seek(LARGE - 100_000)
                opened.write(b"something else")

    report = await push([model], to=f"{registry.host}/", settings=settings, sink=rewrite)
    assert done
    assert isinstance(report.error, IntegrityError)
    assert await is_at(registry, model, blob.digest) == (False, False)


async def test_a_touched_file_is_no_changed_file(registry: Registry, tmp_path: Path) -> None:
    """Ollama sets the time of a blob that `create` uses again (manifest/layer.go, touchLayer)."""
    import os

    model = "damage/touched"
    settings = Settings(models=tmp_path / "models", home=tmp_path, chunk_size=1_000_000)
    write_sample_store(tmp_path / "models", name=model, weights=LARGE)
    blob, file = weights_of(OllamaStore(tmp_path / "models"), model)

    def touch(event: Event) -> None:
        if isinstance(event, BlobProgress) and event.digest == blob.digest:
            os.utime(file)

    report = await push([model], to=f"{registry.host}/", settings=settings, sink=touch)
    assert report.error is None
    assert await is_at(registry, model, blob.digest) == (True, True)


async def test_a_file_cut_short_while_it_is_sent_fails_with_7(registry: Registry, tmp_path: Path) -> None:
    import os

    model = "damage/shrinking"
    settings = Settings(models=tmp_path / "models", home=tmp_path, chunk_size=1_000_000)
    write_sample_store(tmp_path / "models", name=model, weights=LARGE)
    blob, file = weights_of(OllamaStore(tmp_path / "models"), model)

    def shrink(event: Event) -> None:
        if isinstance(event, BlobProgress) and event.digest == blob.digest:
            os.truncate(file, 5_000_000)

    report = await push([model], to=f"{registry.host}/", settings=settings, sink=shrink)
    assert isinstance(report.error, IntegrityError)
    assert await is_at(registry, model, blob.digest) == (False, False)


async def test_a_failed_upload_is_cancelled_at_the_registry(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    write_sample_store(tmp_path / "models", name="damage/cancelled", weights=LARGE)
    _, file = weights_of(OllamaStore(tmp_path / "models"), "damage/cancelled")
    flip(file)
    await push(
        ["damage/cancelled"], to=f"{embedded.host}/", settings=Settings(models=tmp_path / "models", home=tmp_path)
    )
    assert [exchange.status for exchange in embedded.log if exchange.method == "DELETE"] == [204]


async def test_what_is_pushed_can_be_read_back(registry: Registry, tmp_path: Path) -> None:
    name = write_sample_store(tmp_path / "models", name="damage/none", weights=LARGE)
    settings = Settings(models=tmp_path / "models", home=tmp_path)
    report = await push(["damage/none"], to=f"{registry.host}/", settings=settings)
    here = await OllamaStore(tmp_path / "models").resolve(ModelName.parse(str(name)))
    async with Registries(settings, lambda _: None) as registries:
        repository = registries.repository(Reference.parse(str(report.done[0].target)))
        assert (await repository.resolve("latest")).raw == here.raw
        for blob in here.blobs:
            body = await repository.open(blob)
            content = b"".join([piece async for piece in body.open(0, blob.size)])
            assert Digest.of(content) == blob.digest
