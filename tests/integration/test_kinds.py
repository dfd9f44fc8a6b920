"""What a registry keeps of a cut upload is learned, said, remembered and made use of."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.embedded import EmbeddedRegistry, Ollama, OnCut, Options
from registry_push.embedded.sample import LAYER_TYPE, Layer, config, gguf, write_model, write_sample_store
from registry_push.errors import Interrupted
from registry_push.events import BlobProgress, BlobRewound, BlobStarted, Event
from registry_push.model import ModelName
from registry_push.protocol.cut_behaviour import CutBehaviour
from registry_push.protocol.upload.chunks import FIRST_CHUNK, MiB
from registry_push.settings import Settings
from registry_push.state.journal import Journal
from registry_push.transfer.report import Report
from registry_push.verbs.push import push
from tests.support.command import command
from tests.support.registries import EmbeddedFactory

LARGE = 80_000_000


class Stage:
    """A store, and a state folder that pushes share as processes do."""

    def __init__(self, folder: Path) -> None:
        self.store, self.state = folder / "models", folder / "state"
        self.events: list[Event] = []
        self.stop = asyncio.Event()

    async def push(self, registry: EmbeddedRegistry, model: str = "me/tiny", **settings: object) -> Report:
        self.events.clear()
        told = Settings(models=self.store, home=self.store, state_dir=self.state, **settings)  # type: ignore[arg-type]  # any of its fields
        return await push([model], to=f"{registry.host}/", settings=told, sink=self.seen, stop=self.stop)

    def seen(self, event: Event) -> None:
        self.events.append(event)

    def kept(self, registry: EmbeddedRegistry) -> CutBehaviour:
        journal = Journal(self.state, self.seen)
        try:
            profile = journal.profile(registry.origin)
        finally:
            journal.close()
        assert profile is not None
        return profile.kept


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def chunks(registry: EmbeddedRegistry) -> list[int]:
    return [int(each.headers["Content-Length"]) for each in registry.log if each.method == "PATCH"]


@pytest.mark.parametrize(
    ("on_cut", "kept"),
    [
        (OnCut.KEEP, CutBehaviour.EVERYTHING),
        (OnCut.ACKNOWLEDGED, CutBehaviour.ACKNOWLEDGED),
        (OnCut.LOSE, CutBehaviour.NOTHING),
    ],
)
async def test_a_cut_shows_the_kind_and_it_is_remembered(
    stage: Stage, embedded_with: EmbeddedFactory, on_cut: OnCut, kept: CutBehaviour
) -> None:
    # In the second chunk, which is longer than all buffers on the way.
    registry = await embedded_with(Options(on_cut=on_cut, cut_after=FIRST_CHUNK + 30 * MiB))
    write_sample_store(stage.store, weights=LARGE)
    assert (await stage.push(registry)).error is None
    assert stage.kept(registry) is kept


async def test_a_registry_that_keeps_everything_gets_one_long_chunk(
    stage: Stage, embedded_with: EmbeddedFactory
) -> None:
    registry = await embedded_with(Options(cut_after=FIRST_CHUNK + 30 * MiB))
    write_sample_store(stage.store, weights=LARGE)
    write_model(stage.store, ModelName.parse("me/next"), config(), [Layer(LAYER_TYPE + "model", gguf(LARGE, seed=7))])
    await stage.push(registry)
    registry.log.clear()
    await stage.push(registry, "me/next")
    assert len(chunks(registry)) == 1
    registry.log.clear()
    write_model(stage.store, ModelName.parse("me/mine"), config(), [Layer(LAYER_TYPE + "model", gguf(LARGE, seed=8))])
    await stage.push(registry, "me/mine", chunk_size=20 * MiB)  # the user's word goes first
    assert chunks(registry)[:3] == [20 * MiB] * 3


async def test_a_stop_does_not_wait_for_a_long_chunks_end(stage: Stage, embedded_with: EmbeddedFactory) -> None:
    registry = await embedded_with(Options(cut_after=FIRST_CHUNK + 30 * MiB))
    write_sample_store(stage.store, weights=LARGE)
    await stage.push(registry)
    write_model(stage.store, ModelName.parse("me/next"), config(), [Layer(LAYER_TYPE + "model", gguf(LARGE, seed=7))])
    registry.log.clear()

    def stop_in_the_middle(event: Event) -> None:
        if isinstance(event, BlobProgress) and event.offset > 40_000_000:
            stage.stop.set()

    stage.seen = stop_in_the_middle  # type: ignore[method-assign]
    with pytest.raises(Interrupted):  # with a limit, progress keeps pace with the line
        await stage.push(registry, "me/next", jobs=1, bwlimit=100_000_000)
    before = sum(each.received for each in registry.log)
    assert 0 < before < LARGE
    again = Stage(stage.store.parent)
    assert (await again.push(registry, "me/next")).error is None
    started = next(event for event in again.events if isinstance(event, BlobStarted) and event.blob.size > LARGE / 2)
    assert started.offset > 0
    # What was on the line when it was cut, and no more, may have gone twice.
    assert sum(each.received for each in registry.log if each.method == "PATCH") <= started.blob.size


async def test_what_a_cut_has_cost_is_said(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    registry = await embedded_with(Options(on_cut=OnCut.LOSE, cut_after=FIRST_CHUNK + 30 * MiB))
    write_sample_store(tmp_path / ".ollama/models", weights=LARGE)
    done = await command("push", "me/tiny", "--to", f"{registry.host}/", home=tmp_path)
    assert done.code == 0
    line = next(line for line in done.err.splitlines() if "sent again" in line)
    assert "MB are sent again, from its beginning" in line
    assert "this registry keeps nothing of an upload that is cut inside a chunk" in line


async def test_a_limit_is_remembered_for_the_host(stage: Stage, embedded_with: EmbeddedFactory) -> None:
    registry = await embedded_with(Options(max_chunk=5 * MiB))
    write_sample_store(stage.store, weights=LARGE)
    write_model(stage.store, ModelName.parse("me/next"), config(), [Layer(LAYER_TYPE + "model", gguf(LARGE, seed=7))])
    await stage.push(registry)
    assert 413 in {each.status for each in registry.log}
    registry.log.clear()
    assert (await stage.push(registry, "me/next")).error is None
    assert 413 not in {each.status for each in registry.log}
    assert max(chunks(registry)) <= 5 * MiB


async def test_chunks_grow_on_a_fast_line(stage: Stage, embedded: EmbeddedRegistry) -> None:
    write_sample_store(stage.store, weights=LARGE)
    await stage.push(embedded)
    assert chunks(embedded)[0] == FIRST_CHUNK
    assert len(chunks(embedded)) == 2 and sum(chunks(embedded)) > LARGE * 0.99


async def test_a_blob_at_ollamas_storage_is_only_committed_by_the_next_process(
    stage: Stage, embedded_with: EmbeddedFactory
) -> None:
    """Direct upload: the whole blob went to the storage, and the process died before the registry was told."""
    arrived, held = asyncio.Event(), True

    async def hook(request: web.Request) -> web.StreamResponse | None:
        if held and request.method == "PUT" and tensor.descriptor.digest.hex in request.raw_path:
            arrived.set()
            await asyncio.Event().wait()
        return None

    tensor = Layer(LAYER_TYPE + "tensor", gguf(12_000_000, seed=3), name="blk.0")
    registry = await embedded_with(Options(hook=hook, ollama=Ollama()))
    write_model(stage.store, ModelName.parse("me/tensors"), config(), [tensor])
    first = asyncio.create_task(stage.push(registry, "me/tensors", dialect="ollama"))
    await arrived.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    held = False
    report = await stage.push(registry, "me/tensors", dialect="ollama")
    assert report.error is None, report.error
    assert registry.breaches == []
    sent = [each for each in registry.storage_log if each.received == len(tensor.content)]
    assert len(sent) == 1
    assert not any(isinstance(event, BlobRewound) for event in stage.events)


async def test_parts_that_are_all_placed_are_only_committed_by_the_next_process(
    stage: Stage, embedded_with: EmbeddedFactory
) -> None:
    arrived, held = asyncio.Event(), True

    async def hook(request: web.Request) -> web.StreamResponse | None:
        if held and request.method == "PUT" and "etag=" in request.raw_path and "-1&" not in f"{request.raw_path}&":
            arrived.set()
            await asyncio.Event().wait()
        return None

    registry = await embedded_with(Options(hook=hook, ollama=Ollama()))
    write_sample_store(stage.store, weights=24_000_000)
    first = asyncio.create_task(stage.push(registry, dialect="ollama", chunk_size=2_000_000))
    await arrived.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    held = False
    before = sum(each.received for each in registry.storage_log)
    report = await stage.push(registry, dialect="ollama", chunk_size=2_000_000)
    assert report.error is None, report.error
    assert sum(each.received for each in registry.storage_log) - before < 2_000_000


async def test_a_session_lost_before_its_first_acknowledgement_is_said_too(
    stage: Stage, embedded_with: EmbeddedFactory
) -> None:
    arrived, held = asyncio.Event(), True

    async def hook(request: web.Request) -> web.StreamResponse | None:
        if held and request.method == "PATCH":
            arrived.set()
            await asyncio.Event().wait()
        return web.Response(status=404) if request.method == "GET" else None

    registry = await embedded_with(Options(hook=hook))
    write_sample_store(stage.store, weights=24_000_000)
    first = asyncio.create_task(stage.push(registry))
    await arrived.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    held = False
    assert (await stage.push(registry)).error is None
    rewinds = [event for event in stage.events if isinstance(event, BlobRewound)]
    assert [(event.offset, event.lost) for event in rewinds] == [(0, 0)]
    assert "lose an upload that is cut inside a chunk" in rewinds[0].reason
