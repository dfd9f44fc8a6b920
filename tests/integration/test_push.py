"""Push against the embedded registry: what goes over the wire, counted."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest

from registry_push.auth.identity import Identity
from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry, OnCut, Options, Token
from registry_push.embedded.sample import CONFIG_TYPE, LAYER_TYPE, Layer, config, write_model, write_sample_store
from registry_push.errors import ManifestRefused, NameCollision, SomeFailed, Unauthorized, UsageError
from registry_push.events import BlobDone, BlobRewound, Event, ModelDone, Placement, Retrying
from registry_push.model import ModelName
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.push import push
from tests.support.registries import EmbeddedFactory, Registry
from tests.support.secrets import PASSWORD
from tests.support.stores import weights_of

# Above SINGLE_PUT: the weights go in PATCHes.
LARGE = 12_000_000


Told = TypeVar("Told")


class Stage:
    """A store and a home in a folder, and what was told during pushes from it."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "models"
        self.home = folder / "home"
        self.home.mkdir()
        self.events: list[Event] = []

    async def push(
        self,
        registry: Registry,
        *models: str,
        to: str = "",
        tags: Sequence[str] = (),
        every: bool = False,
        dry_run: bool = False,
        **settings: object,
    ) -> Report:
        """Pushes below the registry's host, or to `to` there."""
        self.events.clear()
        return await push(
            models,
            to=f"{registry.host}/{to}",
            tags=tags,
            every=every,
            dry_run=dry_run,
            settings=Settings(models=self.store, home=self.home, **settings),  # type: ignore[arg-type]  # any of its fields
            sink=self.events.append,
        )

    def of(self, kind: type[Told]) -> list[Told]:
        """The events of that kind."""
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def requests(registry: EmbeddedRegistry, repository: str) -> list[str]:
    """`METHOD part` of each request to a repository: `HEAD blobs`, `POST uploads`, `PUT manifests` …"""
    prefix = f"/v2/{repository}/"
    found = []
    for exchange in registry.log:
        if exchange.target.startswith(prefix):
            parts = exchange.target.removeprefix(prefix).partition("?")[0].split("/")
            found.append(f"{exchange.method} {'uploads' if 'uploads' in parts else parts[0]}")
    return found


def body_bytes(registry: EmbeddedRegistry) -> int:
    return sum(exchange.received for exchange in registry.log)


async def test_a_small_absent_blob_takes_three_requests_and_a_present_one_takes_one(
    embedded: EmbeddedRegistry, stage: Stage
) -> None:
    write_sample_store(stage.store, name="me/tiny", weights=70_000)
    await stage.push(embedded, "me/tiny")
    seen = requests(embedded, "me/tiny")
    assert [seen.count(each) for each in ("HEAD blobs", "POST uploads", "PUT uploads")] == [6, 6, 6]
    assert (seen[0], seen[-1]) == ("HEAD manifests", "PUT manifests")
    assert len(seen) == 6 * 3 + 2
    embedded.log.clear()
    await stage.push(embedded, "me/tiny", recheck=True)
    assert sorted(requests(embedded, "me/tiny")) == ["HEAD blobs"] * 6 + ["HEAD manifests"]
    assert body_bytes(embedded) == 0


async def test_a_model_whose_manifest_is_there_takes_one_request(embedded: EmbeddedRegistry, stage: Stage) -> None:
    write_sample_store(stage.store, name="me/tiny", weights=70_000)
    await stage.push(embedded, "me/tiny", tags=["v2"])
    embedded.log.clear()
    done = (await stage.push(embedded, "me/tiny")).done[0]
    assert requests(embedded, "me/tiny") == ["HEAD manifests"]
    assert (done.present, done.uploaded, done.sent) == (6, 0, 0)
    assert [event.placement for event in stage.of(BlobDone)] == [Placement.PRESENT] * 6
    embedded.log.clear()
    await stage.push(embedded, "me/tiny", tags=["v2", "v3"])  # one tag is new: everything is asked for
    assert requests(embedded, "me/tiny").count("HEAD blobs") == 6
    assert requests(embedded, "me/tiny").count("PUT manifests") == 1


async def test_recheck_mends_a_registry_that_lost_a_blob_behind_a_tag(registry: Registry, stage: Stage) -> None:
    write_sample_store(stage.store, name="me/tiny", weights=LARGE)
    await stage.push(registry, "me/tiny", to="mend/tiny:v1")
    blob = weights_of(OllamaStore(stage.store))[0]
    async with aiohttp.ClientSession() as session:
        await session.delete(f"{registry.origin}/v2/mend/tiny/blobs/{blob.digest}")
    assert (await stage.push(registry, "me/tiny", to="mend/tiny:v1")).done[0].sent == 0
    done = (await stage.push(registry, "me/tiny", to="mend/tiny:v1", recheck=True)).done[0]
    assert (done.uploaded, done.sent) == (1, blob.size)


async def test_the_manifest_goes_last(embedded: EmbeddedRegistry, stage: Stage) -> None:
    write_sample_store(stage.store, name="me/tiny", weights=LARGE)
    await stage.push(embedded, "me/tiny")
    assert [each for each in requests(embedded, "me/tiny") if each.startswith("PUT")][-1] == "PUT manifests"


async def test_chunks_have_the_size_that_was_asked_for(embedded: EmbeddedRegistry, stage: Stage) -> None:
    write_sample_store(stage.store, name="me/tiny", weights=LARGE)
    blob, _ = weights_of(OllamaStore(stage.store))
    await stage.push(embedded, "me/tiny", chunk_size=5_000_000)
    sizes = [exchange.received for exchange in embedded.log if exchange.method == "PATCH"]
    assert sizes == [5_000_000, 5_000_000, blob.size - 10_000_000]


async def test_the_registrys_smallest_chunk_is_honoured(embedded_with: EmbeddedFactory, stage: Stage) -> None:
    registry = await embedded_with(Options(min_chunk=10_000_000))
    write_sample_store(stage.store, name="me/tiny", weights=LARGE)
    blob, _ = weights_of(OllamaStore(stage.store))
    await stage.push(registry, "me/tiny", chunk_size=5_000_000)
    sizes = [exchange.received for exchange in registry.log if exchange.method == "PATCH"]
    assert sizes == [10_000_000, blob.size - 10_000_000]


async def test_a_limit_on_requests_is_found_once_and_remembered(embedded_with: EmbeddedFactory, stage: Stage) -> None:
    registry = await embedded_with(Options(max_chunk=3_000_000))
    write_sample_store(stage.store, name="me/one", weights=LARGE)
    report = await stage.push(registry, "me/one")
    assert report.error is None
    assert any(exchange.status == 413 for exchange in registry.log)
    assert max(exchange.received for exchange in registry.log if exchange.status == 202) <= 3_000_000


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("on_cut", OnCut)
async def test_a_cut_in_the_middle_is_mended(
    embedded_with: EmbeddedFactory, stage: Stage, on_cut: OnCut, relative: bool
) -> None:
    registry = await embedded_with(Options(on_cut=on_cut, cut_after=7_000_000, relative_locations=relative))
    write_sample_store(stage.store, name="me/tiny", weights=LARGE)
    report = await stage.push(registry, "me/tiny", chunk_size=2_000_000)
    assert report.error is None
    assert len(stage.of(Retrying)) == 1
    rewinds = [event.offset for event in stage.of(BlobRewound)]
    total = sum(event.blob.size for event in stage.of(BlobDone))
    sent = report.done[0].sent
    match on_cut:
        case OnCut.LOSE:
            assert rewinds == [0]
        case OnCut.ACKNOWLEDGED:
            assert rewinds[0] % 2_000_000 == 0 and rewinds[0] > 0
            assert sent <= total + 2_000_000
        case OnCut.KEEP:
            assert rewinds[0] % 2_000_000 != 0
            assert sent <= total + 2_000_000


async def test_a_model_signs_in_with_its_key_and_a_foreign_key_is_named(
    embedded_with: EmbeddedFactory, stage: Stage
) -> None:
    mine, other = Identity.create(stage.home / "mine"), Identity.create(stage.home / "other")
    registry = await embedded_with(Options(auth=Token(keys=frozenset({mine.public_wire}))))
    write_sample_store(stage.store, name="me/tiny", weights=LARGE)
    refused = (await stage.push(registry, "me/tiny", key=stage.home / "other")).error
    assert isinstance(refused, Unauthorized)
    assert other.fingerprint in refused.message
    assert refused.hint is not None and other.public_line in refused.hint
    report = await stage.push(registry, "me/tiny", key=stage.home / "mine")
    assert report.error is None


async def test_a_login_gets_its_token_from_the_realm(embedded_with: EmbeddedFactory, stage: Stage) -> None:
    registry = await embedded_with(Options(auth=Token(users={"me": PASSWORD})))
    write_sample_store(stage.store, name="me/tiny", weights=70_000)
    report = await stage.push(registry, "me/tiny", username="me", password=PASSWORD)
    assert report.error is None
    tokens = [exchange for exchange in registry.log if exchange.target.startswith("/token")]
    assert [exchange.authorization for exchange in tokens] == ["Basic"]
    assert {exchange.authorization for exchange in registry.log} == {None, "Basic", "Bearer"}


async def test_a_blob_that_another_pushed_repository_has_is_mounted(embedded: EmbeddedRegistry, stage: Stage) -> None:
    for model in ("me/one", "me/two", "you/three"):
        write_sample_store(stage.store, name=model, weights=LARGE)
    report = await stage.push(embedded, every=True)
    assert report.error is None
    assert sum(model.uploaded for model in report.done) == 6
    assert sum(model.mounted for model in report.done) == 12
    total = sum(event.blob.size for event in stage.of(BlobDone) if event.placement is Placement.UPLOADED)
    assert sum(model.sent for model in report.done) == total


async def test_a_layer_that_names_its_model_is_mounted_from_there(embedded: EmbeddedRegistry, stage: Stage) -> None:
    write_sample_store(stage.store, name="library/base", weights=LARGE)
    await stage.push(embedded, "base")
    weights = stage.store / "blobs" / weights_of(OllamaStore(stage.store), "base")[0].digest.path_name
    layer = Layer(LAYER_TYPE + "model", weights.read_bytes(), from_model="base:latest")
    write_model(stage.store, ModelName.parse("me/derived"), config(), [layer])
    report = await stage.push(embedded, "me/derived")
    placements = {event.blob.kind: event.placement for event in stage.of(BlobDone)}
    assert placements == {"model": Placement.MOUNTED, "config": Placement.UPLOADED}
    assert report.error is None


async def test_two_tags_of_one_repository_send_each_blob_once(embedded: EmbeddedRegistry, stage: Stage) -> None:
    write_sample_store(stage.store, name="me/tiny:a", weights=LARGE)
    write_sample_store(stage.store, name="me/tiny:b", weights=LARGE)
    report = await stage.push(embedded, "me/tiny:*")
    assert report.error is None
    assert requests(embedded, "me/tiny").count("POST uploads") == 6


async def test_more_tags_on_one_upload(embedded: EmbeddedRegistry, stage: Stage) -> None:
    write_sample_store(stage.store, name="me/tiny:v2", weights=70_000)
    await stage.push(embedded, "me/tiny:v2", to="me/other:v2", tags=["latest", "v2", "stable"])
    assert [each for each in requests(embedded, "me/other") if each == "PUT manifests"] == ["PUT manifests"] * 3


async def test_a_dry_run_asks_and_writes_nothing(embedded: EmbeddedRegistry, stage: Stage) -> None:
    write_sample_store(stage.store, name="me/tiny", weights=LARGE)
    report = await stage.push(embedded, "me/tiny", dry_run=True)
    assert {exchange.method for exchange in embedded.log} == {"HEAD"}
    assert report.done[0].uploaded == 6
    assert report.done[0].sent == sum(event.blob.size for event in stage.of(BlobDone))


async def test_one_broken_model_keeps_no_other_back(embedded: EmbeddedRegistry, stage: Stage) -> None:
    write_sample_store(stage.store, name="me/broken", weights=80_000)
    _, weights = weights_of(OllamaStore(stage.store), "me/broken")
    write_sample_store(stage.store, name="me/whole", weights=70_000)
    weights.unlink()
    report = await stage.push(embedded, every=True)
    assert isinstance(report.error, SomeFailed) and report.error.exit_code == 8
    assert [model.model for model in report.failed] == ["me/broken:latest"]
    assert [event.model for event in stage.of(ModelDone)] == ["me/whole:latest"]


async def test_nothing_is_sent_before_every_name_is_settled(embedded: EmbeddedRegistry, stage: Stage) -> None:
    write_sample_store(stage.store, name="library/same", weights=70_000)
    shutil.copytree(
        stage.store / "manifests/registry.ollama.ai", stage.store / "manifests/registry.example.com", dirs_exist_ok=True
    )
    with pytest.raises(NameCollision):
        await stage.push(embedded, every=True)
    with pytest.raises(UsageError, match="can't all become"):
        await stage.push(embedded, "same", "registry.example.com/library/same", to="a/b:c")
    assert embedded.log == []


async def test_a_manifest_list_brings_its_children(embedded: EmbeddedRegistry, stage: Stage) -> None:
    """The layout of Ollama's pull request 16590: a list whose manifests are blobs of the store."""
    import json

    name = write_sample_store(stage.store, name="me/tiny", weights=70_000)
    manifest = stage.store.joinpath("manifests", *name.path_parts)
    child = OllamaStore(stage.store).read_manifest(name)
    (stage.store / "blobs" / child.digest.path_name).write_bytes(child.raw)
    entry = {"mediaType": child.media_type, "digest": str(child.digest), "runner": "llama", "format": "gguf"}
    listed = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.ollama.manifest.list.v2+json",
        "manifests": [entry],
    }
    manifest.write_text(json.dumps(listed))
    report = await stage.push(embedded, "me/tiny")
    assert report.error is None
    assert report.done[0].uploaded == 6
    assert requests(embedded, "me/tiny").count("PUT manifests") == 2


async def test_a_digest_may_repeat_and_a_blob_may_be_empty(registry: Registry, stage: Stage) -> None:
    layer = Layer(LAYER_TYPE + "params", b"{}")
    empty = Layer(LAYER_TYPE + "license", b"")
    write_model(stage.store, ModelName.parse("me/odd"), config(), [layer, layer, empty])
    report = await stage.push(registry, "me/odd")
    assert report.error is None
    assert report.done[0].uploaded == 3


async def test_a_manifest_that_the_registry_does_not_take_is_refused_with_5(registry: Registry, stage: Stage) -> None:
    """`config.digest` may be empty in an Ollama store; distribution takes no such manifest."""
    import json

    name = write_model(stage.store, ModelName.parse("me/bare"), config(), [Layer(LAYER_TYPE + "params", b"{}")])
    path = stage.store.joinpath("manifests", *name.path_parts)
    document = json.loads(path.read_text())
    document["config"] = {"mediaType": CONFIG_TYPE, "digest": "", "size": 0}
    path.write_text(json.dumps(document) + "\n")
    report = await stage.push(registry, "me/bare")
    assert isinstance(report.error, ManifestRefused) and report.error.exit_code == 5
    assert [event.blob.kind for event in stage.of(BlobDone)] == ["params"]
