"""What goes in one PUT is noted too, where a cut one may be kept: a killed push goes on from what arrived."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from registry_push.embedded import EmbeddedRegistry, OnCut, Options
from registry_push.embedded.sample import LAYER_TYPE, Layer, config, write_model
from registry_push.events import BlobProgress, BlobStarted, Event
from registry_push.model import ModelName
from registry_push.protocol.cut_behaviour import CutBehaviour
from registry_push.registry.profile import Profile
from registry_push.settings import Settings
from registry_push.state.journal import Journal
from registry_push.verbs.push import push
from tests.support.registries import DockerRegistry, EmbeddedFactory

MiB = 1 << 20
SIZE = 6 * MiB


class Stage:
    """A model of one blob that goes in one PUT, and a user whose pushes are killed."""

    def __init__(self, folder: Path, size: int = SIZE) -> None:
        self.folder, self.state = folder, folder / "state"
        self.events: list[Event] = []
        layer = Layer(LAYER_TYPE + "model", random.Random(size).randbytes(size))
        write_model(folder / "models", ModelName.parse("me/a"), config(), [layer])

    async def push(
        self, registry: EmbeddedRegistry | DockerRegistry, *, kill_at: int | None = None, **more: object
    ) -> None:
        settings = Settings(models=self.folder / "models", home=self.folder, state_dir=self.state, **more)  # type: ignore[arg-type]  # any of its fields

        def seen(event: Event) -> None:
            self.events.append(event)
            if kill_at is not None and isinstance(event, BlobProgress) and event.offset >= kill_at:
                task.cancel()

        self.events.clear()
        task = asyncio.create_task(push(["me/a"], to=f"{registry.host}/me/cut", settings=settings, sink=seen))
        if kill_at is not None:
            with pytest.raises(asyncio.CancelledError):
                await task
            return
        report = await task
        assert report.error is None, f"{report.error}"

    def noted(self) -> int:
        journal = Journal(self.state, self.events.append)
        try:
            return len(journal.entries())
        finally:
            journal.close()

    def learned(self, registry: EmbeddedRegistry, profile: Profile) -> None:
        journal = Journal(self.state, self.events.append)
        journal.learn(registry.origin, profile)
        journal.close()


def received(registry: EmbeddedRegistry) -> int:
    return sum(each.received for each in registry.log if each.method == "PUT" and "/blobs/" in each.target)


@pytest.mark.parametrize("one_put", [False, True])
async def test_a_put_that_was_killed_goes_on_where_the_registry_keeps_it(
    tmp_path: Path, embedded: EmbeddedRegistry, one_put: bool
) -> None:
    stage = Stage(tmp_path, 30 * MiB if one_put else SIZE)
    size = stage_size = 30 * MiB if one_put else SIZE
    await stage.push(embedded, kill_at=size // 2, bwlimit=40_000_000, one_put=one_put)
    assert stage.noted() == 1
    embedded.log.clear()
    await stage.push(embedded, one_put=one_put)
    assert received(embedded) < stage_size * 3 // 4
    started = [event.offset for event in stage.events if isinstance(event, BlobStarted) and event.blob.size == size]
    assert started[0] > size // 4
    assert stage.noted() == 0


@pytest.mark.parametrize("on_cut", [OnCut.ACKNOWLEDGED, OnCut.LOSE])
async def test_a_put_that_was_killed_begins_again_where_the_registry_keeps_nothing_of_it(
    tmp_path: Path, embedded_with: EmbeddedFactory, on_cut: OnCut
) -> None:
    registry = await embedded_with(Options(on_cut=on_cut))
    stage = Stage(tmp_path)
    await stage.push(registry, kill_at=SIZE // 2, bwlimit=40_000_000)
    await stage.push(registry)
    assert stage.noted() == 0


@pytest.mark.real
async def test_distribution_2_loses_a_put_that_was_killed_and_gets_it_again(
    tmp_path: Path, docker_registry: DockerRegistry
) -> None:
    stage = Stage(tmp_path)
    await stage.push(docker_registry, kill_at=SIZE // 2, bwlimit=40_000_000)
    await stage.push(docker_registry)
    assert stage.noted() == 0


@pytest.mark.parametrize("kept", [CutBehaviour.ACKNOWLEDGED, CutBehaviour.NOTHING])
async def test_nothing_is_noted_where_a_cut_put_is_known_to_be_lost(
    tmp_path: Path, embedded: EmbeddedRegistry, kept: CutBehaviour
) -> None:
    stage = Stage(tmp_path)
    stage.learned(embedded, Profile(kept=kept))
    await stage.push(embedded, kill_at=SIZE // 2, bwlimit=40_000_000)
    assert stage.noted() == 0


async def test_what_takes_no_second_is_not_worth_a_note(tmp_path: Path, embedded: EmbeddedRegistry) -> None:
    stage = Stage(tmp_path, MiB - 1)
    await stage.push(embedded, kill_at=MiB // 2, bwlimit=10_000_000)
    assert stage.noted() == 0
