"""Two processes push one blob to two repositories of a registry: it goes over the line once, and is mounted then."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.embedded.sample import write_sample_store
from registry_push.events import BlobDone, BlobWaiting, Event, Placement
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.support.command import Finished, command, start_command
from tests.support.registries import EmbeddedFactory
from tests.support.stores import weights_of

SIZES = pytest.mark.parametrize("weights", [24_000_000, 300_000], ids=["in chunks", "in one PUT"])


class Gate:
    """Holds back the first body, or what comes after it, until it is opened."""

    def __init__(self) -> None:
        self.arrived, self.open = asyncio.Event(), asyncio.Event()

    async def hook(self, request: web.Request) -> web.StreamResponse | None:
        if (
            request.method in ("PATCH", "PUT")
            and "/uploads/" in request.path
            and (request.content_length or 0) > 10_000
        ):
            self.arrived.set()
            await self.open.wait()
        return None


def received(registry: EmbeddedRegistry) -> int:
    return sum(each.received for each in registry.log if "/uploads/" in each.target)


def arguments(registry: EmbeddedRegistry, repository: str) -> list[str]:
    return ["push", "me/tiny", "--to", f"{registry.host}/{repository}", "--json"]


@SIZES
async def test_who_waits_for_another_process_mounts_what_it_has_sent(
    embedded_with: EmbeddedFactory, tmp_path: Path, weights: int
) -> None:
    gate = Gate()
    registry = await embedded_with(Options(hook=gate.hook))
    write_sample_store(tmp_path / ".ollama/models", weights=weights)
    first = await start_command(*arguments(registry, "h/a"), home=tmp_path)
    await gate.arrived.wait()
    blob, _ = weights_of(OllamaStore(tmp_path / ".ollama/models"))
    events: list[Event] = []
    waiting = asyncio.Event()

    def watch(event: Event) -> None:
        events.append(event)
        if isinstance(event, BlobWaiting):
            waiting.set()

    state = tmp_path / ".local/state/registry-push"
    settings = Settings(models=tmp_path / ".ollama/models", home=tmp_path, state_dir=state)
    second = asyncio.create_task(push(["me/tiny"], to=f"{registry.host}/h/b", settings=settings, sink=watch))
    await waiting.wait()
    gate.open.set()
    await first.communicate()
    report = await second
    assert first.returncode == 0 and report.error is None
    placed = {event.blob.digest: event.placement for event in events if isinstance(event, BlobDone)}
    assert placed[blob.digest] is Placement.MOUNTED
    assert received(registry) < 2 * blob.size


@SIZES
async def test_who_comes_just_too_late_to_wait_mounts_too(
    embedded_with: EmbeddedFactory, tmp_path: Path, weights: int
) -> None:
    """The other one pushes all of it after this one has begun."""
    write_sample_store(tmp_path / ".ollama/models", weights=weights)
    first: asyncio.Task[Finished] | None = None
    before = 0

    async def overtake(request: web.Request) -> web.StreamResponse | None:
        nonlocal first, before
        if "/h/b/" in request.path and first is None:
            first = asyncio.create_task(command(*arguments(registry, "h/a"), home=tmp_path))
            assert (await first).code == 0
            before = received(registry)
        return None

    registry = await embedded_with(Options(hook=overtake))
    second = await command(*arguments(registry, "h/b"), home=tmp_path)
    assert second.code == 0, second.err
    done = second.events[-1]["models"][0]
    assert (done["mounted"], done["sent"]) == (6, 0)
    assert received(registry) == before


async def test_what_an_earlier_process_has_put_elsewhere_is_mounted(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    registry = await embedded_with(Options())
    write_sample_store(tmp_path / ".ollama/models", weights=24_000_000)
    assert (await command(*arguments(registry, "h/a"), home=tmp_path)).code == 0
    before = received(registry)
    finished = await command(*arguments(registry, "h/b"), home=tmp_path)
    assert finished.code == 0, finished.err
    assert finished.events[-1]["models"][0]["mounted"] >= 1
    assert received(registry) - before < 1_000_000


async def test_a_memory_that_is_wrong_costs_one_request_and_is_forgotten(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    registry = await embedded_with(Options())
    write_sample_store(tmp_path / ".ollama/models", weights=24_000_000)
    blob, _ = weights_of(OllamaStore(tmp_path / ".ollama/models"))
    assert (await command(*arguments(registry, "h/a"), home=tmp_path)).code == 0
    registry.repositories["h/a"].blob_path(blob.digest).unlink()
    for repository, asked in (("h/b", 1), ("h/c", 0)):
        registry.log.clear()
        finished = await command(*arguments(registry, repository), home=tmp_path)
        assert finished.code == 0, finished.err
        wrong = [each for each in registry.log if "from=h%2Fa" in each.target or "from=h/a" in each.target]
        assert len([each for each in wrong if blob.digest.hex in each.target]) == asked
        # "h/c" has it mounted from "h/b", where it was seen after that.
        assert finished.events[-1]["models"][0]["mounted"] == (0 if repository == "h/b" else 1)
