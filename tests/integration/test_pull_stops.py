"""`registry-push pull`, stopped and killed: what came is kept, and the next one asks for the rest only."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from aiohttp import web

from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.errors import Interrupted
from registry_push.events import BlobProgress, BlobStarted, Event
from registry_push.settings import Settings
from registry_push.verbs.pull import pull
from tests.support.command import command, start_command
from tests.support.pulls import SIZES, Stage, partials
from tests.support.registries import EmbeddedFactory


class Halting:
    """Serves the largest blob as far as a byte, the first time it is asked for, and waits there."""

    def __init__(self, pulls: Stage, at: int) -> None:
        self.at = at
        self.halted, self.go_on = asyncio.Event(), asyncio.Event()
        self.ranges: list[str | None] = []
        self._pulls = pulls

    async def hook(self, request: web.Request) -> web.StreamResponse | None:
        if request.method != "GET" or "/blobs/" not in request.path:
            return None
        largest = max((self._pulls.origin / "blobs").iterdir(), key=lambda path: path.stat().st_size)
        if request.path.rpartition(":")[2] not in largest.name:
            return None
        self.ranges.append(request.headers.get("Range"))
        if len(self.ranges) > 1:
            return None
        content = largest.read_bytes()
        response = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[: self.at])
        self.halted.set()
        await self.go_on.wait()
        await response.write(content[self.at :])
        return response


def blobs(pulls: Stage) -> int:
    """How many are whole: all but the largest, in the end."""
    folder = pulls.store / "blobs"
    return len(list(folder.iterdir())) if folder.exists() else 0


@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT twice", "SIGTERM twice"])
@pytest.mark.parametrize("then", ["pull", "resume"])
async def test_what_was_stopped_goes_on_where_it_was(
    embedded_with: EmbeddedFactory, pulls: Stage, how: str, then: str
) -> None:
    halting = Halting(pulls, 8_000_000)
    registry = await embedded_with(Options(hook=halting.hook))
    await pulls.push(registry, "me/tiny:latest")
    process = await start_command("pull", f"{registry.host}/me/tiny", home=pulls.home)
    assert process.stderr is not None
    await halting.halted.wait()
    # Another process writes them: there is nothing to wait on.
    while blobs(pulls) < len(SIZES) or not any(size >= 6_000_000 for size in partials(pulls).values()):
        await asyncio.sleep(0.01)
    match how:
        case "SIGKILL":
            process.kill()
        case _:
            number = 2 if how.startswith("SIGINT") else 15
            process.send_signal(number)
            while b"again to stop" not in (line := await process.stderr.readline()):
                assert b"chunk" not in line, "there are none"
            with suppress(ProcessLookupError):  # the first may have been enough
                process.send_signal(number)
    _, err = await process.communicate()
    assert process.returncode == (-9 if how == "SIGKILL" else 130)
    assert how == "SIGKILL" or b"to resume, run the same command again" in err, err
    kept = max(partials(pulls).values())
    assert 6_000_000 <= kept <= 8_000_000
    assert not (pulls.store / "manifests").exists(), "no half model is ever to be seen"
    again = ["resume"] if then == "resume" else ["pull", f"{registry.host}/me/tiny"]
    done = await command(*again, home=pulls.home)
    assert done.code == 0, done.err
    assert f"1 {'transferred' if then == 'resume' else 'pulled'}, " in done.out, "a pull uploads nothing"
    assert halting.ranges == [None, f"bytes={kept}-"]
    await pulls.check(f"{registry.host}/me/tiny", "me/tiny")
    assert partials(pulls) == {}


async def test_the_first_stop_keeps_all_that_has_come(embedded: EmbeddedRegistry, pulls: Stage) -> None:
    await pulls.push(embedded, "me/tiny:latest")
    stop, reached = asyncio.Event(), 0

    def sink(event: Event) -> None:
        nonlocal reached
        pulls.events.append(event)
        if isinstance(event, BlobProgress) and event.size == SIZES[0]:
            reached = event.offset
            stop.set()

    settings = Settings(home=pulls.home, models=pulls.store, state_dir=None)
    with pytest.raises(Interrupted):
        await pull([f"{embedded.host}/me/tiny"], settings=settings, sink=sink, stop=stop)
    kept = max(partials(pulls).values())
    assert 0 < reached <= kept <= SIZES[0], "a turn of a thread may have brought the rest"
    await pulls.pull(f"{embedded.host}/me/tiny")
    await pulls.check(f"{embedded.host}/me/tiny", "me/tiny")
    started = [event.offset for event in pulls.events if isinstance(event, BlobStarted) and event.blob.size == SIZES[0]]
    assert started == ([0, kept] if kept < SIZES[0] else [0])
