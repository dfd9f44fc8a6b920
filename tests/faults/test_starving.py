"""A line that has all but stopped: after `--timeout` far under the run's own rate, another connection is tried."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from registry_push.embedded import EmbeddedRegistry, OnCut, Options
from registry_push.embedded.sample import write_sample_store
from registry_push.events import Event, Retrying
from registry_push.protocol.cut_behaviour import CutBehaviour
from registry_push.protocol.upload.chunks import FIRST_CHUNK, MiB
from registry_push.registry.profile import Profile
from registry_push.settings import Settings
from registry_push.state.journal import Journal
from registry_push.verbs.push import push

from .clock import run

# So much that the slow chunk lasts longer than `timeout`, whatever the kernel swallows of it.
LARGE = 120_000_000
# Real seconds. A busy kernel drops segments of so much, and sends them again after 0.2 s, and after 0.4 s more.
_QUIET = 1.0


class Trickle:
    """A line whose connection with the second chunk rests for `pause` seconds after each 64 KiB; others are fast."""

    def __init__(self, target: str, pause: float) -> None:
        self._pause = pause
        self._slow: asyncio.StreamReader | None = None  # what comes from the slow connection
        self._host, _, port = target.partition(":")
        self._port = int(port)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Its address."""
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._host, self._port)
        answers = asyncio.create_task(self._pass(there, writer))
        try:
            with suppress(ConnectionError):
                await self._pass(reader, back, slow_from=FIRST_CHUNK + MiB)
        finally:
            answers.cancel()
            back.transport.abort()
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, slow_from: int = 0) -> None:
        count = 0
        while piece := await reader.read(64 * 1024):
            writer.write(piece)
            await writer.drain()
            count += len(piece)
            if 0 < slow_from < count and self._slow in (None, reader):
                self._slow = reader
                await asyncio.sleep(self._pause)


def pushed(folder: Path, on_cut: OnCut, known: CutBehaviour, *, pause: float) -> tuple[list[Event], int, int]:
    """Pushes over such a line to a registry that is known to be of a kind: what was told, PATCHes, and their bytes."""

    async def main() -> tuple[list[Event], int, int]:
        told = list[Event]()
        write_sample_store(folder / "models", weights=LARGE)
        async with (
            EmbeddedRegistry(folder / "registry", Options(on_cut=on_cut, relative_locations=True)) as registry,
            Trickle(registry.host, pause).open() as host,
        ):
            journal = Journal(folder / "state", told.append)
            journal.learn(f"http://{host}", Profile(kept=known))
            journal.close()
            settings = Settings(models=folder / "models", home=folder, state_dir=folder / "state", timeout=60)
            report = await push(["me/tiny"], to=f"{host}/", settings=settings, sink=told.append)
            assert report.error is None
            patches = [each for each in registry.log if each.method == "PATCH"]
            return told, len(patches), sum(each.received for each in patches)

    return run(main(), most_quiet=_QUIET)


@pytest.mark.parametrize("on_cut", [OnCut.KEEP, OnCut.ACKNOWLEDGED])
def test_a_starving_body_gets_another_connection(tmp_path: Path, on_cut: OnCut) -> None:
    # Far slower than the first chunk, also where a busy machine makes that one slow.
    told, patches, received = pushed(tmp_path, on_cut, CutBehaviour.ACKNOWLEDGED, pause=0.3)
    reasons = [event.reason for event in told if isinstance(event, Retrying)]
    assert len(reasons) == 1 and "far slower than before" in reasons[0]
    assert patches > 2
    # How much of the slow chunk had gone is the kernel's; what was acknowledged before it goes once.
    assert received <= FIRST_CHUNK + 2 * (LARGE - FIRST_CHUNK) + MiB


def test_where_a_cut_costs_everything_slow_is_better_than_again(tmp_path: Path) -> None:
    told, patches, received = pushed(tmp_path, OnCut.LOSE, CutBehaviour.NOTHING, pause=0.1)
    assert not any(isinstance(event, Retrying) for event in told)
    assert patches >= 2  # on a busy machine the first is so slow that the second is smaller, and there is a third
    assert LARGE * 0.99 < received <= LARGE * 1.01 and received > FIRST_CHUNK
