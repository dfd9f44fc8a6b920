"""Lists of manifests: what they name is read, checked and bounded, and a list in a list is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry_push.content.oci.layout import OCILayout
from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import CONFIG_TYPE, LAYER_TYPE
from registry_push.errors import BlobCorrupt, BlobMissing, ManifestCorrupt, RegistryPushError
from registry_push.model import Descriptor, Digest, Manifest, ModelName
from registry_push.model.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    MAX_CHILDREN,
    MAX_MANIFEST_BYTES,
    OCI_INDEX,
    OCI_MANIFEST,
    OLLAMA_LIST,
)
from registry_push.settings import Settings
from registry_push.verbs.push import push

pytestmark = pytest.mark.attack("S13")

NAME = ModelName.parse("me/all")


def fields(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(content)), "size": len(content), **more}


def image(text: bytes, *, media_type: str | None = DOCKER_MANIFEST) -> tuple[bytes, list[bytes]]:
    """An image manifest, and the blobs it names."""
    config = b"{}"
    document = {
        "schemaVersion": 2,
        "config": fields(config, CONFIG_TYPE),
        "layers": [fields(text, LAYER_TYPE + "model")],
    }
    return json.dumps({"mediaType": media_type, **document} if media_type else document).encode(), [config, text]


def listing(*entries: dict[str, Any], media_type: str | None = OCI_INDEX, **more: Any) -> bytes:
    document = {"schemaVersion": 2, "manifests": list(entries), **more}
    return json.dumps({"mediaType": media_type, **document} if media_type else document).encode()


class Ollama:
    """A list as the manifest of `me/all` in an Ollama store."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "models"
        self.store = OllamaStore(self.root)

    def put(self, *contents: bytes) -> None:
        (self.root / "blobs").mkdir(parents=True, exist_ok=True)
        for content in contents:
            (self.root / "blobs" / Digest.of(content).path_name).write_bytes(content)

    async def children(self, raw: bytes) -> tuple[Manifest, ...]:
        path = self.root.joinpath("manifests", *NAME.path_parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        return await self.store.children(await self.store.resolve(NAME))


class Layout:
    """The same in an OCI image layout."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "layout"
        self.store = OCILayout(self.root)

    def put(self, *contents: bytes) -> None:
        (self.root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        for content in contents:
            (self.root / "blobs" / "sha256" / Digest.of(content).hex).write_bytes(content)

    async def children(self, raw: bytes) -> tuple[Manifest, ...]:
        self.put(raw)
        self.root.joinpath("oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        media_type = json.loads(raw).get("mediaType", OCI_INDEX)
        self.root.joinpath("index.json").write_bytes(listing(fields(raw, media_type)))
        return await self.store.children(await self.store.resolve(None))


Reader = Ollama | Layout


@pytest.fixture(params=[Ollama, Layout])
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Reader:
    """Each store that reads lists."""
    made: Reader = request.param(tmp_path)
    return made


async def refused(reader: Reader, raw: bytes) -> RegistryPushError:
    with pytest.raises(RegistryPushError) as caught:
        await reader.children(raw)
    assert caught.value.exit_code in (3, 7)
    return caught.value


async def test_what_a_list_names_is_read(reader: Reader) -> None:
    made = [image(text) for text in (b"one", b"two")]
    reader.put(*[raw for raw, _ in made])
    found = await reader.children(listing(*[fields(raw, DOCKER_MANIFEST) for raw, _ in made]))
    assert [child.raw for child in found] == [raw for raw, _ in made]
    assert not any(child.is_list for child in found)


@pytest.mark.parametrize("inner_type", [OCI_INDEX, DOCKER_LIST, OLLAMA_LIST])
@pytest.mark.parametrize("is_empty", [False, True])
async def test_a_list_in_a_list_is_refused_by_name(reader: Reader, inner_type: str, is_empty: bool) -> None:
    raw, _ = image(b"deep")
    inner = listing(*([] if is_empty else [fields(raw, DOCKER_MANIFEST)]), media_type=inner_type)
    reader.put(raw, inner)
    error = await refused(reader, listing(fields(inner, inner_type)))
    assert isinstance(error, ManifestCorrupt) and error.exit_code == 7
    assert str(Digest.of(inner)) in error.message and "not supported" in error.message


@pytest.mark.parametrize("claimed", [DOCKER_MANIFEST, OCI_MANIFEST, "application/vnd.example.thing+json"])
@pytest.mark.parametrize("inner_type", [None, OCI_INDEX])
async def test_an_entry_that_lies_about_its_type_hides_no_list(
    reader: Reader, claimed: str, inner_type: str | None
) -> None:
    raw, _ = image(b"deep")
    inner = listing(fields(raw, DOCKER_MANIFEST), media_type=inner_type)
    reader.put(raw, inner)
    assert isinstance(await refused(reader, listing(fields(inner, claimed))), ManifestCorrupt)


async def test_an_entry_that_calls_an_image_a_list_is_refused(reader: Reader) -> None:
    raw, _ = image(b"flat", media_type=None)
    reader.put(raw)
    assert isinstance(await refused(reader, listing(fields(raw, OCI_INDEX))), ManifestCorrupt)


@pytest.mark.parametrize("change", [-1, 1, 5_000_000])
async def test_bytes_that_are_not_of_the_size_the_entry_says_are_refused(reader: Reader, change: int) -> None:
    raw, _ = image(b"one")
    reader.put(raw)
    entry = fields(raw, DOCKER_MANIFEST)
    error = await refused(reader, listing({**entry, "size": max(0, len(raw) + change)}))
    assert isinstance(error, BlobCorrupt) and str(Digest.of(raw)) in error.message


async def test_ollamas_lists_give_no_sizes(tmp_path: Path) -> None:
    reader, (raw, _) = Ollama(tmp_path), image(b"one")
    reader.put(raw)
    entry = fields(raw, DOCKER_MANIFEST)
    del entry["size"]
    assert len(await reader.children(listing(entry, media_type=OLLAMA_LIST))) == 1


async def test_other_content_under_a_childs_name_is_refused(reader: Reader) -> None:
    (raw, _), (other, _) = image(b"one"), image(b"two")
    reader.put(raw)
    place = next(path for path in reader.root.rglob(f"*{Digest.of(raw).hex}"))
    place.write_bytes(other)
    assert isinstance(await refused(reader, listing(fields(raw, DOCKER_MANIFEST))), BlobCorrupt)


async def test_a_list_under_its_childs_name_is_refused(reader: Reader) -> None:
    """As near as a list can come to naming itself."""
    raw, _ = image(b"one")
    itself = listing(fields(raw, DOCKER_MANIFEST))
    reader.put(raw)
    next(path for path in reader.root.rglob(f"*{Digest.of(raw).hex}")).write_bytes(itself)
    assert isinstance(await refused(reader, itself), BlobCorrupt)


async def test_a_child_that_is_not_there_is_missing(reader: Reader) -> None:
    raw, _ = image(b"one")
    reader.put(b"something")
    assert isinstance(await refused(reader, listing(fields(raw, DOCKER_MANIFEST))), BlobMissing)


async def test_a_list_names_no_more_than_a_thousand(reader: Reader) -> None:
    raw, _ = image(b"one")
    reader.put(raw)
    error = await refused(reader, listing(*[fields(raw, DOCKER_MANIFEST)] * (MAX_CHILDREN + 1)))
    assert isinstance(error, ManifestCorrupt) and "at most 1000" in error.message


async def test_what_a_list_names_is_bounded_together(reader: Reader) -> None:
    raw, _ = image(b"one")
    padded = [raw + b" " * (MAX_MANIFEST_BYTES - len(raw) - number) for number in range(5)]
    reader.put(*padded)
    error = await refused(reader, listing(*[fields(each, DOCKER_MANIFEST) for each in padded]))
    assert isinstance(error, ManifestCorrupt) and "over 16777216 bytes" in error.message


@pytest.mark.parametrize(
    "make",
    [
        lambda raw: listing(fields(raw, DOCKER_MANIFEST), media_type=DOCKER_MANIFEST),
        lambda raw: listing(fields(raw, DOCKER_MANIFEST), media_type=OCI_MANIFEST),
        lambda raw: listing(fields(raw, DOCKER_MANIFEST), config=fields(b"{}", CONFIG_TYPE)),
        lambda _: json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "layers": []}).encode(),
        lambda _: json.dumps({"schemaVersion": 2, "mediaType": DOCKER_LIST, "config": fields(b"", "a/b")}).encode(),
    ],
)
def test_cve_2021_41190_a_type_that_its_content_contradicts(make: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ManifestCorrupt, match="manifest says it is"):
        Manifest.parse(make(image(b"one")[0]))


async def test_nothing_of_a_list_in_a_list_is_pushed(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    reader, (raw, blobs) = Ollama(tmp_path), image(b"deep")
    inner = listing(fields(raw, DOCKER_MANIFEST))
    reader.put(raw, inner, *blobs)
    outer = listing(fields(raw, DOCKER_MANIFEST), fields(inner, OCI_INDEX))
    with pytest.raises(ManifestCorrupt, match="lists in lists are not supported"):
        await reader.children(outer)
    settings = Settings(models=reader.root, home=tmp_path)
    with pytest.raises(ManifestCorrupt) as caught:
        await push([NAME.short], to=f"{embedded.host}/", settings=settings)
    assert caught.value.exit_code == 7 and "by its own name" in (caught.value.hint or "")
    assert embedded.log == []


def test_a_descriptor_of_a_list_is_a_list() -> None:
    manifest = Manifest.parse(listing(media_type=None))
    assert manifest.is_list and isinstance(manifest.descriptor, Descriptor)
