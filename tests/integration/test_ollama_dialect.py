"""Push to a registry of Ollama's kind: in parts, directly, mounted; its strict rules are never broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry_push.auth.identity import Identity
from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry, Ollama, Options, Token
from registry_push.embedded.sample import LAYER_TYPE, Layer, config, write_model, write_sample_store
from registry_push.errors import Denied, IntegrityError, Unauthorized
from registry_push.events import BlobDone, BlobProgress, BlobRewound, Event, Placement
from registry_push.model import ModelName
from registry_push.settings import Dialect, Settings
from registry_push.transfer.report import Report
from registry_push.verbs.push import push
from tests.support.registries import EmbeddedFactory
from tests.support.stores import make_many_store, weights_of

LARGE = 40_000_000
PART = 2_500_000  # sixteen parts of it


class Stage:
    """A store, a registered key, and a registry of Ollama's kind."""

    def __init__(self, folder: Path, start: EmbeddedFactory) -> None:
        self.store, self.home = folder / "models", folder / "home"
        self.home.mkdir()
        self.identity = Identity.create(self.home / "key")
        self.events: list[Event] = []
        self._start = start

    async def registry(self, options: Ollama | None = None, **more: object) -> EmbeddedRegistry:
        """Lets in the key, into the namespace `me` alone."""
        auth = Token(keys={self.identity.public_wire: frozenset({"me", "library"})}, **more)  # type: ignore[arg-type]  # any of its fields
        return await self._start(Options(auth=auth, ollama=options or Ollama()))

    async def push(
        self, registry: EmbeddedRegistry, *models: str, dialect: Dialect = "ollama", key: str = "key", part: int = PART
    ) -> Report:
        self.events.clear()
        settings = Settings(
            models=self.store, home=self.home, key=self.home / key, dialect=dialect, chunk_size=part, retries=3
        )
        return await push(models, to=f"{registry.host}/", settings=settings, sink=self.events.append)


@pytest.fixture
def stage(tmp_path: Path, embedded_with: EmbeddedFactory) -> Stage:
    return Stage(tmp_path, embedded_with)


def received(registry: EmbeddedRegistry) -> int:
    return sum(exchange.received for exchange in (*registry.log, *registry.storage_log))


@pytest.mark.parametrize("dialect", ["ollama", "auto"])
async def test_parts_are_redirected_side_by_side_and_sent_once(stage: Stage, dialect: Dialect) -> None:
    registry = await stage.registry()
    name = write_sample_store(stage.store, weights=LARGE)
    report = await stage.push(registry, "me/tiny", dialect=dialect)
    assert report.error is None
    assert registry.breaches == []
    assert 2 <= registry.most_parallel_puts <= 16
    total = OllamaStore(stage.store).read_manifest(name).size
    assert report.done[0].sent == total
    assert total <= received(registry) <= total * 1.01 + 2000  # and the manifest
    assert all(exchange.authorization is None for exchange in registry.storage_log)


async def test_a_registry_that_keeps_the_parts_itself_gets_them_one_by_one(stage: Stage) -> None:
    registry = await stage.registry(Ollama(redirect=False))
    write_sample_store(stage.store, weights=LARGE)
    report = await stage.push(registry, "me/tiny")
    assert report.error is None
    assert registry.breaches == []
    assert registry.storage_log == []
    assert report.done[0].sent == sum(event.blob.size for event in stage.events if isinstance(event, BlobDone))


async def test_some_parts_here_and_some_there(stage: Stage) -> None:
    registry = await stage.registry(Ollama(redirect=lambda offset, _: offset % (2 * PART) == 0))
    write_sample_store(stage.store, weights=LARGE)
    report = await stage.push(registry, "me/tiny")
    assert report.error is None
    assert registry.breaches == []


async def test_tensors_are_uploaded_directly(stage: Stage) -> None:
    registry = await stage.registry()
    make_many_store(stage.store, layers=60, layer_size=20_000, name="me/many")
    report = await stage.push(registry, "me/many")
    assert report.error is None
    assert registry.breaches == []
    direct = [exchange for exchange in registry.log if exchange.method == "POST" and "digest=" in exchange.target]
    assert len(direct) == 60
    assert report.done[0].sent == sum(event.blob.size for event in stage.events if isinstance(event, BlobDone))


async def test_tensors_go_in_parts_where_direct_uploads_are_not_offered(stage: Stage) -> None:
    registry = await stage.registry(Ollama(direct=False))
    make_many_store(stage.store, layers=5, layer_size=20_000, name="me/many")
    assert (await stage.push(registry, "me/many")).error is None
    assert registry.breaches == []


async def test_a_second_push_sends_nothing(stage: Stage) -> None:
    registry = await stage.registry()
    write_sample_store(stage.store, weights=LARGE)
    await stage.push(registry, "me/tiny")
    registry.log.clear()
    registry.storage_log.clear()
    report = await stage.push(registry, "me/tiny")
    assert report.done[0].sent == received(registry) == 0
    assert registry.breaches == []


async def test_a_layer_is_mounted_from_the_model_it_names(stage: Stage) -> None:
    registry = await stage.registry()
    write_sample_store(stage.store, name="library/base", weights=LARGE)
    await stage.push(registry, "base")
    weights = weights_of(OllamaStore(stage.store), "base")[1].read_bytes()
    layer = Layer(LAYER_TYPE + "model", weights, from_model="base:latest")
    write_model(stage.store, ModelName.parse("me/derived"), config(), [layer])
    report = await stage.push(registry, "me/derived")
    assert report.error is None
    placements = {event.blob.kind: event.placement for event in stage.events if isinstance(event, BlobDone)}
    assert placements["model"] is Placement.MOUNTED
    assert registry.breaches == []


async def test_presigned_urls_that_ran_out_are_asked_for_again(stage: Stage) -> None:
    registry = await stage.registry(Ollama(expire_first=3))
    write_sample_store(stage.store, weights=LARGE)
    report = await stage.push(registry, "me/tiny")
    assert report.error is None
    assert registry.breaches == []
    assert [exchange.status for exchange in registry.storage_log].count(403) == 3


async def test_progress_never_goes_back_without_a_rewind(stage: Stage) -> None:
    registry = await stage.registry(Ollama(expire_first=3))
    write_sample_store(stage.store, weights=LARGE)
    blob, _ = weights_of(OllamaStore(stage.store))
    await stage.push(registry, "me/tiny")
    offset = 0
    for event in stage.events:
        if isinstance(event, BlobRewound) and event.digest == blob.digest:
            assert event.offset < offset
            offset = event.offset
        elif isinstance(event, BlobProgress) and event.digest == blob.digest:
            assert event.offset >= offset
            offset = event.offset
    assert offset == blob.size


async def test_damage_is_never_committed(stage: Stage) -> None:
    registry = await stage.registry()
    write_sample_store(stage.store, weights=LARGE)
    blob, file = weights_of(OllamaStore(stage.store))
    content = bytearray(file.read_bytes())
    content[LARGE // 2] ^= 1
    file.write_bytes(content)
    report = await stage.push(registry, "me/tiny")
    assert isinstance(report.error, IntegrityError)
    assert not any("etag=" in exchange.target and blob.digest.hex in exchange.target for exchange in registry.log)


async def test_a_key_that_is_not_registered_is_shown_with_where_to_add_it(stage: Stage) -> None:
    registry = await stage.registry()
    other = Identity.create(stage.home / "other")
    write_sample_store(stage.store, weights=100_000)
    error = (await stage.push(registry, "me/tiny", key="other")).error
    assert isinstance(error, Unauthorized)
    assert error.hint is not None and other.public_line in error.hint and "ollama.com/settings/keys" in error.hint


async def test_a_namespace_of_somebody_else_is_named(stage: Stage) -> None:
    registry = await stage.registry()
    write_sample_store(stage.store, name="you/tiny", weights=100_000)
    error = (await stage.push(registry, "you/tiny")).error
    assert isinstance(error, Denied | Unauthorized)
    assert error.hint is not None and "you" in f"{error.message} {error.hint}"
    assert "--to" in error.hint


async def test_a_skewed_clock_is_measured_and_named(stage: Stage) -> None:
    import time

    registry = await stage.registry(clock=lambda: time.time() + 3600)
    write_sample_store(stage.store, weights=100_000)
    error = (await stage.push(registry, "me/tiny")).error
    assert isinstance(error, Unauthorized)
    assert "60 minutes behind" in error.message
    assert error.hint is not None and "clock" in error.hint


async def test_a_plain_registry_never_sees_what_only_ollamas_understands(
    embedded_with: EmbeddedFactory, stage: Stage
) -> None:
    """zot answers such a POST with 415."""
    registry = await embedded_with(Options(zot_like=True))
    write_sample_store(stage.store, weights=LARGE)
    make_many_store(stage.store, layers=5, layer_size=20_000, name="me/many")
    report = await stage.push(registry, "me/tiny", "me/many", dialect="auto")
    assert report.error is None
    assert registry.breaches == []
