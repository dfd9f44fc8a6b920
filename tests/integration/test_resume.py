"""Another process goes on where one was stopped: killed, told to stop, or beside it."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry, Ollama, OnCut, Options
from registry_push.embedded.sample import write_sample_store
from registry_push.events import BlobWaiting, Event
from registry_push.model import Descriptor, ModelName
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.support.command import command, start_command
from tests.support.registries import EmbeddedFactory
from tests.support.stores import weights_of

LARGE = 24_000_000
CHUNK = 2_000_000


class Gate:
    """Counts the PATCHes that arrive, and holds back the one that is awaited until it is opened."""

    def __init__(self, at: int) -> None:
        self.arrived, self.open = asyncio.Event(), asyncio.Event()
        self._left = at

    async def hook(self, request: web.Request) -> web.StreamResponse | None:
        if request.method == "PATCH":
            self._left -= 1
            if self._left == 0:
                self.arrived.set()
                await self.open.wait()
        return None


def weights(folder: Path) -> Descriptor:
    write_sample_store(folder / ".ollama/models", weights=LARGE)
    return weights_of(OllamaStore(folder / ".ollama/models"))[0]


def arguments(registry: EmbeddedRegistry) -> list[str]:
    return ["push", "me/tiny", "--to", f"{registry.host}/", "--chunk-size", str(CHUNK), "--json"]


async def killed_at(gate: Gate, registry: EmbeddedRegistry, home: Path) -> None:
    """A push that is killed when its PATCH has come to the gate."""
    process = await start_command(*arguments(registry), home=home)
    await gate.arrived.wait()
    process.kill()
    await process.communicate()
    gate.open.set()


def patched(registry: EmbeddedRegistry) -> int:
    return sum(exchange.received for exchange in registry.log if exchange.method == "PATCH")


@pytest.mark.parametrize("on_cut", [OnCut.KEEP, OnCut.ACKNOWLEDGED])
async def test_a_killed_push_goes_on(embedded_with: EmbeddedFactory, tmp_path: Path, on_cut: OnCut) -> None:
    gate = Gate(at=7)
    registry = await embedded_with(Options(hook=gate.hook, on_cut=on_cut))
    blob = weights(tmp_path)
    await killed_at(gate, registry, tmp_path)
    again = await command(*arguments(registry), home=tmp_path)
    assert again.code == 0, again.err
    started = next(event for event in again.events if event["event"] == "blob_started")
    assert started["blob"]["digest"] == str(blob.digest) and started["offset"] >= 6 * CHUNK
    assert patched(registry) <= blob.size + CHUNK


async def test_a_lost_session_is_said_and_sent_again(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    gate = Gate(at=7)
    registry = await embedded_with(Options(hook=gate.hook, on_cut=OnCut.LOSE))
    blob = weights(tmp_path)
    await killed_at(gate, registry, tmp_path)
    again = await command(*arguments(registry), home=tmp_path)
    assert again.code == 0, again.err
    rewinds = [event for event in again.events if event["event"] == "blob_rewound"]
    assert [(event["offset"], event["digest"]) for event in rewinds] == [(0, str(blob.digest))]
    assert again.events[-1]["models"][0]["sent"] <= blob.size


async def test_what_came_to_another_repository_meanwhile_is_mounted_and_not_continued(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    gate = Gate(at=7)
    registry = await embedded_with(Options(hook=gate.hook))
    blob = weights(tmp_path)
    await killed_at(gate, registry, tmp_path)
    other = await command("push", "me/tiny", "--to", f"{registry.host}/you/tiny", home=tmp_path)
    assert other.code == 0, other.err
    sent = patched(registry)
    again = await command(*arguments(registry), home=tmp_path)
    assert again.code == 0, again.err
    done = {event["blob"]["digest"]: event["placement"] for event in again.events if event["event"] == "blob_done"}
    assert done[str(blob.digest)] == "mounted" and patched(registry) == sent
    assert [each.status for each in registry.log if each.method == "DELETE"] == [204], "of the session that was left"


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
async def test_a_stopped_push_finishes_its_chunk_and_goes_on_without_a_byte_twice(
    embedded_with: EmbeddedFactory, tmp_path: Path, which: signal.Signals
) -> None:
    gate = Gate(at=5)
    registry = await embedded_with(Options(hook=gate.hook, on_cut=OnCut.LOSE))
    blob = weights(tmp_path)
    first = await start_command(*arguments(registry)[:-1], home=tmp_path)
    await gate.arrived.wait()
    first.send_signal(which)
    assert first.stderr is not None
    while b"finishing the chunks" not in await first.stderr.readline():
        pass
    gate.open.set()
    _, err = await first.communicate()
    assert first.returncode == 130
    assert b"run the same command again" in err
    again = await command(*arguments(registry), home=tmp_path)
    assert again.code == 0, again.err
    assert patched(registry) == blob.size


async def test_parts_that_are_placed_are_not_sent_again(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    # Each of the five small blobs is asked for once, and two parts are under way at most: three or more are placed.
    gate = Gate(at=11)
    registry = await embedded_with(Options(hook=gate.hook, ollama=Ollama()))
    blob = weights(tmp_path)
    more = [*arguments(registry), "--dialect", "ollama", "--jobs", "1"]
    first = await start_command(*more, home=tmp_path)
    await gate.arrived.wait()
    first.kill()
    await first.communicate()
    gate.open.set()
    again = await command(*more, home=tmp_path)
    assert again.code == 0, again.err
    assert registry.breaches == []
    placed = sum(exchange.received for exchange in registry.storage_log)
    everything = OllamaStore(tmp_path / ".ollama/models").read_manifest(ModelName.parse("me/tiny")).size
    assert placed <= everything + 3 * CHUNK
    begun = {event["blob"]["digest"]: event["offset"] for event in again.events if event["event"] == "blob_started"}
    assert begun[str(blob.digest)] > 0
    assert blob.size > 10 * CHUNK


async def test_no_resume_notes_nothing(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    registry = await embedded_with(Options())
    weights(tmp_path)
    done = await command(*arguments(registry), "--no-resume", home=tmp_path)
    assert done.code == 0
    assert not (tmp_path / ".local/state/registry-push").exists()


@pytest.mark.parametrize("is_noted", [True, False])
async def test_resume_is_proposed_only_for_what_was_noted(
    embedded_with: EmbeddedFactory, tmp_path: Path, is_noted: bool
) -> None:
    gate = Gate(at=3)
    registry = await embedded_with(Options(hook=gate.hook))
    weights(tmp_path)
    how = [] if is_noted else ["--no-resume"]
    running = await start_command(*arguments(registry)[:-1], *how, home=tmp_path)
    assert running.stderr is not None
    await gate.arrived.wait()
    running.send_signal(signal.SIGINT)
    while b"again to stop" not in await running.stderr.readline():
        pass
    gate.open.set()
    _, err = await running.communicate()
    assert running.returncode == 130
    assert "to resume, run the same command again" in err.decode()
    assert ("registry-push resume" in err.decode()) is is_noted


async def test_two_processes_send_a_blob_once(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    gate = Gate(at=3)
    registry = await embedded_with(Options(hook=gate.hook))
    blob = weights(tmp_path)
    first = await start_command(*arguments(registry), home=tmp_path)
    await gate.arrived.wait()
    waited = asyncio.Event()

    def watch(event: Event) -> None:
        if isinstance(event, BlobWaiting):
            waited.set()

    settings = Settings(
        models=tmp_path / ".ollama/models", home=tmp_path, state_dir=tmp_path / ".local/state/registry-push"
    )
    second = asyncio.create_task(push(["me/tiny"], to=f"{registry.host}/", settings=settings, sink=watch))
    await waited.wait()
    gate.open.set()
    await first.communicate()
    report = await second
    assert first.returncode == 0 and report.error is None
    assert patched(registry) == blob.size


async def test_a_push_that_gave_up_goes_on(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    left = 4

    async def break_down(request: web.Request) -> web.StreamResponse | None:
        nonlocal left
        left -= request.method == "PATCH"
        return web.Response(status=503) if left < 0 else None

    registry = await embedded_with(Options(hook=break_down))
    blob = weights(tmp_path)
    first = await command(*arguments(registry), "--retries", "1", home=tmp_path)
    assert first.code == 6
    assert patched(registry) == 4 * CHUNK
    left = 1000
    again = await command(*arguments(registry), home=tmp_path)
    assert again.code == 0, again.err
    assert patched(registry) == blob.size
