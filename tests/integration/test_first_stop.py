"""How long the first Ctrl-C takes, and what is said of it, by a clock that jumps where nothing moves."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.embedded import EmbeddedRegistry, OnCut, Options
from registry_push.embedded.sample import LAYER_TYPE, Layer, config, write_model
from registry_push.errors import Interrupted
from registry_push.events import BlobProgress, BlobRewound, BlobStarted, Event, Stopping, Warned
from registry_push.model import ModelName
from registry_push.settings import Settings
from registry_push.verbs.copy import copy
from registry_push.verbs.push import push
from tests.faults.clock import run

# Seconds.
PATIENCE = 5.0
AGAIN = Warned("again")
Hook = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


def written(folder: Path, *sizes: int) -> None:
    layers = [Layer(LAYER_TYPE + "model", bytes([number]) * size) for number, size in enumerate(sizes)]
    write_model(folder / "models", ModelName.parse("me/tiny"), config(), layers)


async def stopped(
    folder: Path, limit: int | None, jobs: int, after: int, hook: Hook | None = None
) -> tuple[float, list[Event]]:
    """Stop a push after so many bytes; return the seconds that it took to end, and all that was told.

    `AGAIN` stands between what was told by it and by the push that continues it.
    """
    told: list[Event] = []
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    asked = 0.0

    def sink(event: Event) -> None:
        nonlocal asked
        told.append(event)
        if isinstance(event, BlobProgress) and event.offset >= after and not stop.is_set():
            asked = loop.time()
            stop.set()

    async with EmbeddedRegistry(folder / "registry", Options(on_cut=OnCut.ACKNOWLEDGED, hook=hook)) as registry:
        settings = Settings(models=folder / "models", home=folder, state_dir=folder / "state", bwlimit=limit, jobs=jobs)
        with pytest.raises(Interrupted):
            await push(["me/tiny"], to=f"{registry.origin}/", settings=settings, sink=sink, stop=stop)
        ended = loop.time() - asked
        told.append(AGAIN)
        again = await push(["me/tiny"], to=f"{registry.origin}/", settings=Settings(
            models=folder / "models", home=folder, state_dir=folder / "state"), sink=told.append)  # fmt: skip
        assert again.error is None
    return ended, told


@pytest.mark.parametrize("jobs", [1, 8])
@pytest.mark.parametrize("sizes", [(20_000_000,), (8_000_000,) * 3], ids=["in chunks", "in one PUT each"])
@pytest.mark.parametrize("limit", [100_000, 1_000_000, None])
def test_the_first_stop_ends_within_seconds_and_loses_nothing(
    tmp_path: Path, limit: int | None, sizes: tuple[int, ...], jobs: int
) -> None:
    written(tmp_path, *sizes)
    seconds, told = run(stopped(tmp_path, limit, jobs, after=300_000))
    assert seconds < PATIENCE
    assert not any(isinstance(event, BlobRewound) for event in told)


@pytest.mark.parametrize("size", [20_000_000, 3_000_000], ids=["in chunks", "in one PUT each"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_what_waits_for_its_turn_when_it_is_stopped_is_not_begun(tmp_path: Path, size: int, jobs: int) -> None:
    """A far registry: more uploads are opened than are sent."""
    written(tmp_path, *[size] * 6)

    async def far(request: web.Request) -> web.StreamResponse | None:
        if request.method in ("HEAD", "POST"):
            await asyncio.sleep(0.05)
        return None

    seconds, told = run(stopped(tmp_path, 1_000_000, jobs, after=300_000, hook=far))
    begun = {
        event.blob.digest
        for event in told[: told.index(AGAIN)]
        if isinstance(event, BlobStarted) and event.blob.size == size
    }
    assert (len(begun), seconds < PATIENCE) == (jobs, True)


def test_what_is_waited_for_is_told_and_what_it_costs_not_to(tmp_path: Path) -> None:
    written(tmp_path, 20_000_000)
    _, told = run(stopped(tmp_path, 1_000_000, 1, after=2_000_000))
    (stopping,) = [event for event in told if isinstance(event, Stopping)]
    assert 0 < stopping.left < 4_000_000 and 0 < stopping.cost < 4_000_000 and not stopping.loses_uploads
    assert stopping.seconds == pytest.approx(stopping.left / 1_000_000, rel=0.3)


class Silent:
    """Serves content up to a byte, calls `fell_silent`, and sends nothing more until `go_on`."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content, self._at = content, at
        self._digest = hashlib.sha256(content).hexdigest()
        self.fell_silent: Callable[[], None] = lambda: None
        self.go_on = asyncio.Event()

    async def hook(self, request: web.Request) -> web.StreamResponse | None:
        if request.method != "GET" or self._digest not in request.path or self.go_on.is_set():
            return None
        response = web.StreamResponse(headers={"Content-Length": str(len(self._content))})
        if self._at:
            await response.prepare(request)
            await response.write(self._content[: self._at])
        self.fell_silent()
        await self.go_on.wait()
        return response


async def stopped_in_silence(folder: Path, at: int, chunk: int | None) -> tuple[float, int]:
    """Stop a copy from a source that sends nothing after `at` bytes.

    Return the seconds that it took to end, and the bytes that the target got when it was continued.
    """
    content = bytes(20_000_000)
    write_model(folder / "models", ModelName.parse("me/tiny"), config(), [Layer(LAYER_TYPE + "model", content)])
    silent, stop, asked = Silent(content, at), asyncio.Event(), list[float]()
    bodies = at // chunk + 1 if chunk else 1  # the last of them is never whole

    def ask() -> None:
        asked.append(asyncio.get_running_loop().time())
        stop.set()

    async def count(request: web.Request) -> web.StreamResponse | None:
        nonlocal bodies
        bodies -= request.method in ("PATCH", "PUT") and (request.content_length or 0) > 1_000_000
        if bodies == 0 and not stop.is_set():
            ask()
        return None

    if at == 0:
        silent.fell_silent = ask
    source_options, target_options = Options(hook=silent.hook), Options(on_cut=OnCut.ACKNOWLEDGED, hook=count)
    async with (
        EmbeddedRegistry(folder / "source", source_options) as source,
        EmbeddedRegistry(folder / "target", target_options) as target,
    ):
        settings = Settings(models=folder / "models", home=folder, state_dir=folder / "state", chunk_size=chunk)
        await push(["me/tiny"], to=f"{source.host}/", settings=settings)
        places = f"registry:{source.host}/me/tiny:latest", f"registry:{target.host}/me/tiny:latest"
        with pytest.raises(Interrupted):
            await copy(*places, settings=settings, stop=stop)
        seconds = asyncio.get_running_loop().time() - asked[0]
        silent.go_on.set()
        before = sum(each.received for each in target.log)
        assert (await copy(*places, settings=settings)).error is None
        return seconds, sum(each.received for each in target.log) - before


@pytest.mark.parametrize("at", [0, 11_000_000], ids=["before its answer", "in the content"])
@pytest.mark.parametrize("chunk", [None, 4_000_000])
def test_the_first_stop_does_not_wait_for_a_source_that_sends_nothing(
    tmp_path: Path, at: int, chunk: int | None
) -> None:
    seconds, after = run(stopped_in_silence(tmp_path, at, chunk))
    assert seconds < PATIENCE
    if chunk is not None:
        assert after < 20_000_000 - at + chunk + 10_000, "what the target has acknowledged is kept"
