"""One suite for every store that is read and written."""

from __future__ import annotations

import asyncio
import json
import shutil
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from registry_push.content.base import BlobBody, Source, Target
from registry_push.content.body import BytesBody
from registry_push.content.memory import MemoryStore
from registry_push.content.oci.archive import OCIArchive
from registry_push.content.oci.archive_writer import OCIArchiveWriter
from registry_push.content.oci.layout import OCILayout
from registry_push.content.oci.partial_archive import partial_path
from registry_push.content.ollama.source import OllamaStore
from registry_push.content.ollama.target import OllamaTarget
from registry_push.embedded import EmbeddedRegistry
from registry_push.errors import BlobCorrupt, BlobMissing, IntegrityError, ManifestRefused, ModelNotFound, Unavailable
from registry_push.events import Placement, ignore
from registry_push.model import Descriptor, Digest, Manifest, ModelName, Reference
from registry_push.model.manifest import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from registry_push.registry.registries import Registries
from registry_push.settings import Settings
from tests.support.facts import DISTRIBUTION_2_8, EMBEDDED, ZUUL, Facts
from tests.support.registries import DockerRegistry, ZuulRegistry

HELLO = b"hello world"
LAYER = "application/vnd.ollama.image.model"
CONFIG = "application/vnd.docker.container.image.v1+json"


class Store(Source[str], Target, Protocol):
    """What the suite needs."""


@pytest.fixture
def memory() -> Store:
    return MemoryStore()


@pytest.fixture
def layout(tmp_path: Path) -> Store:
    return OCILayout(tmp_path / "layout")


class OllamaModel(OllamaTarget):
    """A model in an Ollama store, read by its tags too."""

    async def resolve(self, ref: str) -> Manifest:
        return await OllamaStore(self.root).resolve(ModelName.parse(f"{self.name}:{ref}"))

    async def open(self, blob: Descriptor) -> BlobBody:
        return await OllamaStore(self.root).open(blob)


@pytest.fixture
def ollama(tmp_path: Path) -> Store:
    return OllamaModel(tmp_path / "models", ModelName.parse("me/tiny"))


class Archive(OCIArchiveWriter):
    """A new archive, read before it is finished: a copy of what there is of it is, each time."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._put_manifests: list[tuple[Manifest, str]] = []
        self._opened = AsyncExitStack()

    async def put_manifest(self, manifest: Manifest, ref: str) -> None:
        await super().put_manifest(manifest, ref)
        self._put_manifests.append((manifest, ref))

    async def resolve(self, ref: str) -> Manifest:
        return await (await self._so_far()).resolve(ref)

    async def open(self, blob: Descriptor) -> BlobBody:
        return await (await self._so_far()).open(blob)

    async def _so_far(self) -> OCIArchive:
        path, partial = self.path.with_name(f"{uuid.uuid4().hex}.tar"), partial_path(self.path)
        if partial.exists():
            shutil.copy(partial, partial_path(path))
        async with OCIArchiveWriter(path) as copied:
            empty = Manifest.parse(b'{"schemaVersion": 2, "layers": []}')
            for manifest, ref in [*self._put_manifests, (empty, "so far")]:
                await copied.put_manifest(manifest, ref)
            await copied.finish()
        return await self._opened.enter_async_context(OCIArchive(path))

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()
        await super().__aexit__()


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Store]:
    async with Archive(tmp_path / "archive.tar") as archive:
        yield archive


@asynccontextmanager
async def _repository(host: str, settings: Settings) -> AsyncIterator[Store]:
    async with Registries(settings, ignore) as registries:
        yield registries.repository(Reference.parse(f"{host}/stores/{uuid.uuid4().hex}"))


@pytest.fixture
async def repository_at_embedded(embedded: EmbeddedRegistry, tmp_path: Path) -> AsyncIterator[Store]:
    async with _repository(embedded.host, Settings(home=tmp_path, retries=0)) as repository:
        yield repository


@pytest.fixture
async def repository_at_docker_registry(docker_registry: DockerRegistry, tmp_path: Path) -> AsyncIterator[Store]:
    async with _repository(docker_registry.host, Settings(home=tmp_path, retries=0)) as repository:
        yield repository


@pytest.fixture
async def repository_at_zuul_registry(zuul_registry: ZuulRegistry, tmp_path: Path) -> AsyncIterator[Store]:
    # A blob of one repository is there in all.
    shutil.rmtree(zuul_registry.root, ignore_errors=True)
    settings = Settings(home=tmp_path, retries=0, username=zuul_registry.username, password=zuul_registry.password)
    async with _repository(zuul_registry.host, settings) as repository:
        yield repository


@pytest.fixture(
    params=[
        "memory",
        "layout",
        "archive",
        "ollama",
        "repository_at_embedded",
        pytest.param("repository_at_docker_registry", marks=pytest.mark.real),
        pytest.param("repository_at_zuul_registry", marks=pytest.mark.real),
    ]
)
def store(request: pytest.FixtureRequest) -> Store:
    """Each of the stores, empty."""
    found: Store = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def facts(request: pytest.FixtureRequest) -> Facts:
    """What is true of the store."""
    kinds = {"repository_at_docker_registry": DISTRIBUTION_2_8, "repository_at_zuul_registry": ZUUL}
    return kinds.get(request.node.callspec.params["store"], EMBEDDED)


def blob(content: bytes, media_type: str = LAYER) -> Descriptor:
    return Descriptor(media_type, Digest.of(content), len(content))


def fields(content: bytes, media_type: str = LAYER) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(content)), "size": len(content)}


def manifest(*layers: bytes, media_type: str = DOCKER_MANIFEST) -> Manifest:
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": fields(b"{}", CONFIG),
        "layers": [fields(layer) for layer in layers],
    }
    return Manifest.parse(json.dumps(document, indent=3).encode() + b"\n")


async def read(store: Store, wanted: Descriptor, offset: int = 0, length: int | None = None) -> bytes:
    body = await store.open(wanted)
    try:
        return b"".join([piece async for piece in body.open(offset, wanted.size if length is None else length)])
    finally:
        await body.close()
        await body.close()


async def put(store: Store, *contents: bytes) -> None:
    for content in contents:
        await store.put(blob(content), BytesBody(content))


async def test_blob_comes_and_reads_back(store: Store) -> None:
    assert not await store.exists(blob(HELLO))
    assert (await store.put(blob(HELLO), BytesBody(HELLO))).placement is Placement.UPLOADED
    assert await store.exists(blob(HELLO))
    assert await read(store, blob(HELLO)) == HELLO


@pytest.mark.parametrize(("offset", "length"), [(0, 5), (6, 5), (3, 1), (11, 0), (0, 0)])
async def test_any_part_of_a_blob_reads_back(store: Store, offset: int, length: int) -> None:
    await put(store, HELLO)
    assert await read(store, blob(HELLO), offset, length) == HELLO[offset : offset + length]


async def test_blob_of_several_pieces(store: Store) -> None:
    content = bytes(range(256)) * 10_000
    await put(store, content)
    assert await read(store, blob(content)) == content
    assert await read(store, blob(content), 1_000_000, 1_200_000) == content[1_000_000:2_200_000]


async def test_part_beyond_the_end_is_an_integrity_error(store: Store) -> None:
    await put(store, HELLO)
    with pytest.raises(BlobCorrupt):
        await read(store, blob(HELLO), 5, 7)


async def test_empty_blob(store: Store) -> None:
    await put(store, b"")
    assert await store.exists(blob(b""))
    assert await read(store, blob(b"")) == b""


async def test_putting_what_is_there_changes_nothing(store: Store) -> None:
    await put(store, HELLO)
    await put(store, HELLO)
    assert await read(store, blob(HELLO)) == HELLO


@pytest.mark.parametrize("content", [b"hello worle", b"hello", b"hello world!", b""])
async def test_wrong_content_is_refused(store: Store, content: bytes) -> None:
    with pytest.raises(BlobCorrupt):
        await store.put(blob(HELLO), BytesBody(content))
    assert not await store.exists(blob(HELLO))
    await put(store, HELLO)
    assert await read(store, blob(HELLO)) == HELLO


async def test_unknown_blob(store: Store) -> None:
    with pytest.raises(BlobMissing):
        await read(store, blob(HELLO))


async def test_blob_of_another_size_than_was_said(store: Store) -> None:
    await put(store, HELLO)
    with pytest.raises(IntegrityError):
        await read(store, Descriptor(LAYER, Digest.of(HELLO), 10))


@pytest.mark.parametrize("media_type", [DOCKER_MANIFEST, OCI_MANIFEST])
async def test_manifest_reads_back_byte_for_byte(store: Store, media_type: str) -> None:
    wanted = manifest(HELLO, media_type=media_type)
    await put(store, HELLO, b"{}")
    await store.put_manifest(wanted, "latest")
    assert await store.resolve("latest") == wanted
    assert (await store.resolve("latest")).raw == wanted.raw


async def test_unknown_tag(store: Store) -> None:
    await put(store, b"{}")
    await store.put_manifest(manifest(), "latest")
    with pytest.raises(ModelNotFound):
        await store.resolve("other")


async def test_tag_moves(store: Store) -> None:
    await put(store, HELLO, b"{}")
    await store.put_manifest(manifest(), "latest")
    await store.put_manifest(manifest(), "kept")
    await store.put_manifest(manifest(HELLO), "latest")
    assert await store.resolve("latest") == manifest(HELLO)
    assert await store.resolve("kept") == manifest()


@pytest.mark.parametrize("missing", [HELLO, b"{}"])
async def test_manifest_whose_blobs_are_missing_is_refused(store: Store, facts: Facts, missing: bytes) -> None:
    await put(store, b"one", *({HELLO, b"{}"} - {missing}))
    if missing == b"{}" and not facts.checks_config:
        await store.put_manifest(manifest(b"one", HELLO), "latest")
        return
    with pytest.raises(ManifestRefused if facts.missing_layer < 500 else Unavailable):
        await store.put_manifest(manifest(b"one", HELLO), "latest")
    await put(store, missing)
    await store.put_manifest(manifest(), "other")
    with pytest.raises(ModelNotFound):
        await store.resolve("latest")


async def test_index_needs_its_manifests(store: Store, facts: Facts) -> None:
    child = manifest(HELLO)
    listed = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [fields(child.raw, DOCKER_MANIFEST)]}
    index = Manifest.parse(json.dumps(listed).encode())
    await put(store, HELLO, b"{}")
    if facts.checks_oci:
        with pytest.raises(ManifestRefused):
            await store.put_manifest(index, "all")
    await store.put_manifest(child, str(child.digest))
    await store.put_manifest(index, "all")
    assert await store.resolve("all") == index


async def test_cancelled_push_leaves_nothing(store: Store) -> None:
    under_way = asyncio.Event()

    class Endless(BytesBody):
        async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
            yield HELLO[:5]
            under_way.set()
            await asyncio.Event().wait()

    push = asyncio.create_task(store.put(blob(HELLO), Endless(HELLO)))
    await under_way.wait()
    push.cancel()
    with pytest.raises(asyncio.CancelledError):
        await push
    assert not await store.exists(blob(HELLO))
    await put(store, HELLO)
    assert await read(store, blob(HELLO)) == HELLO


async def test_pushes_at_the_same_time(store: Store) -> None:
    contents = [bytes([n]) * 1000 for n in range(20)]
    await asyncio.gather(*(store.put(blob(content), BytesBody(content)) for content in contents * 2))
    assert [await read(store, blob(content)) for content in contents] == contents


async def test_tags_at_the_same_time(store: Store) -> None:
    await put(store, b"{}")
    tags = [f"v{n}" for n in range(20)]
    await asyncio.gather(*(store.put_manifest(manifest(), tag) for tag in tags))
    assert [await store.resolve(tag) for tag in tags] == [manifest()] * 20
