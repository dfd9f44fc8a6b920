"""How long the first Ctrl-C takes, and what is said of it, by a clock that jumps where nothing moves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from registry_push.embedded import EmbeddedRegistry, OnCut, Options
from registry_push.embedded.sample import LAYER_TYPE, Layer, config, write_model
from registry_push.errors import Interrupted
from registry_push.events import BlobProgress, BlobRewound, Event, Stopping
from registry_push.model import ModelName
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.faults.clock import run

# Seconds.
PATIENCE = 5.0


def written(folder: Path, *sizes: int) -> None:
    layers = [Layer(LAYER_TYPE + "model", bytes([number]) * size) for number, size in enumerate(sizes)]
    write_model(folder / "models", ModelName.parse("me/tiny"), config(), layers)


async def stopped(folder: Path, limit: int | None, jobs: int, after: int) -> tuple[float, list[Event]]:
    """Stop a push after so many bytes; return the seconds that it took to end, and all that was told."""
    told: list[Event] = []
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    asked = 0.0

    def sink(event: Event) -> None:
        nonlocal asked
        told.append(event)
        if isinstance(event, BlobProgress) and event.offset >= after and not stop.is_set():
            asked = loop.time()
            stop.set()

    async with EmbeddedRegistry(folder / "registry", Options(on_cut=OnCut.ACKNOWLEDGED)) as registry:
        settings = Settings(models=folder / "models", home=folder, state_dir=folder / "state", bwlimit=limit, jobs=jobs)
        with pytest.raises(Interrupted):
            await push(["me/tiny"], to=f"{registry.origin}/", settings=settings, sink=sink, stop=stop)
        ended = loop.time() - asked
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


def test_what_is_waited_for_is_told_and_what_it_costs_not_to(tmp_path: Path) -> None:
    written(tmp_path, 20_000_000)
    _, told = run(stopped(tmp_path, 1_000_000, 1, after=2_000_000))
    (stopping,) = [event for event in told if isinstance(event, Stopping)]
    assert 0 < stopping.left < 4_000_000 and 0 < stopping.cost < 4_000_000 and not stopping.loses_uploads
    assert stopping.seconds == pytest.approx(stopping.left / 1_000_000, rel=0.3)
