"""`registry-push verify` of a store that Ollama writes to and removes from at the same time; and one that is stopped.

Each change happens at an event of the run, so that nothing depends on which of two is quicker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from registry_push.errors import ContentDamaged, Interrupted
from registry_push.events import BlobDone, BlobStarted, Event, ModelDone, ModelFailed, RunStarted, Warned
from registry_push.settings import Settings
from registry_push.verbs.verify import verify
from registry_push.verbs.verify_report import VerifyReport
from tests.support.command import command
from tests.support.damage import blob_file, flip
from tests.support.stores import make_mixed_store

from .test_verify_places import NAMES, home, manifest, weights

__all__ = ["home"]
HERE = "manifests/registry.ollama.ai"


class Meanwhile:
    """A sink that does `act` at the first event that `when` says."""

    def __init__(self, when: Callable[[Event], bool], act: Callable[[], object]) -> None:
        self.events: list[Event] = []
        self._when, self._act = when, act
        self._has_acted = False

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if not self._has_acted and self._when(event):
            self._has_acted = True
            self._act()

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warned)]


async def run(home: Path, sink: Meanwhile) -> VerifyReport:
    return await verify(["ollama:"], settings=Settings(home=home, models=home / ".ollama/models"), sink=sink)


def begun(event: Event) -> bool:
    return isinstance(event, RunStarted)


def path_of(home: Path, name: str) -> Path:
    return home / ".ollama/models" / HERE / name.replace(":", "/")


async def test_a_model_that_is_removed_is_no_damage(home: Path) -> None:
    blobs = [blob_file(home / ".ollama/models", blob.digest) for blob in manifest(home).layers]

    def remove() -> None:
        for path in (path_of(home, NAMES[0]), *blobs):
            path.unlink()

    sink = Meanwhile(begun, remove)
    report = await run(home, sink)
    assert report.error is None and report.findings == ()
    assert [model.model for model in report.models] == [NAMES[1]]
    assert sink.warnings == [f"{NAMES[0]} was removed while it was verified"]
    assert not any(isinstance(event, ModelFailed) for event in sink.events)


async def test_a_model_that_is_replaced_is_verified_as_it_is_now(home: Path) -> None:
    old = blob_file(home / ".ollama/models", weights(home).digest)

    def replace() -> None:
        make_mixed_store(home / ".ollama/models", (70_000,), name=NAMES[0])
        old.unlink()

    sink = Meanwhile(begun, replace)
    report = await run(home, sink)
    assert report.error is None and report.findings == ()
    done = {model.model: model.digest for model in report.models if isinstance(model, ModelDone)}
    assert done == {name: manifest(home, name).digest for name in NAMES}
    assert sum(isinstance(event, RunStarted) for event in sink.events) == 1


async def test_a_damaged_blob_of_the_model_that_replaced_another_is_damage(home: Path) -> None:
    old = blob_file(home / ".ollama/models", weights(home).digest)

    def replace() -> None:
        make_mixed_store(home / ".ollama/models", (70_000,), name=NAMES[0])
        flip(blob_file(home / ".ollama/models", weights(home).digest))
        old.unlink()

    report = await run(home, Meanwhile(begun, replace))
    assert isinstance(report.error, ContentDamaged) and report.damaged == (NAMES[0],)
    assert [each.broken.blob.digest for each in report.findings] == [weights(home).digest]


async def test_a_manifest_that_was_half_written_is_read_again(home: Path) -> None:
    path = path_of(home, NAMES[0])
    content = path.read_bytes()
    path.write_bytes(content[:100])
    sink = Meanwhile(begun, lambda: path.write_bytes(content))
    report = await run(home, sink)
    assert report.error is None and sorted(model.model for model in report.done) == list(NAMES)
    assert not any(isinstance(event, ModelFailed) for event in sink.events)


async def test_a_manifest_that_was_half_written_and_is_gone_is_no_damage(home: Path) -> None:
    path = path_of(home, NAMES[0])
    path.write_bytes(b"{")
    sink = Meanwhile(begun, path.unlink)
    report = await run(home, sink)
    assert report.error is None and [model.model for model in report.done] == [NAMES[1]]
    assert len(sink.warnings) == 1 and f"{NAMES[0]} was removed meanwhile" in sink.warnings[0]


async def test_a_model_that_stays_is_damaged_although_another_is_removed(home: Path) -> None:
    """They share the broken blob."""
    config = manifest(home).config
    assert config is not None
    flip(blob_file(home / ".ollama/models", config.digest))
    report = await run(home, Meanwhile(begun, path_of(home, NAMES[0]).unlink))
    assert report.damaged == (NAMES[1],) and [each.models for each in report.findings] == [(NAMES[1],)]


async def test_the_error_carries_the_report(home: Path) -> None:
    flip(blob_file(home / ".ollama/models", weights(home).digest))
    report = await run(home, Meanwhile(begun, lambda: None))
    failed = report.failed[0].error
    assert isinstance(failed, ContentDamaged) and failed.report is report
    assert isinstance(report.error, ContentDamaged) and report.error.report is report
    assert [each.blob.digest for each in failed.broken] == [weights(home).digest]


async def test_a_stop_does_not_wait_for_the_blobs_under_way(home: Path) -> None:
    stop = asyncio.Event()
    sink = Meanwhile(lambda event: isinstance(event, BlobStarted), stop.set)
    with pytest.raises(Interrupted):
        await verify(["ollama:"], settings=Settings(home=home, models=home / ".ollama/models"), sink=sink, stop=stop)
    assert not any(isinstance(event, BlobDone) for event in sink.events)


async def test_no_state_is_kept(home: Path) -> None:
    flip(blob_file(home / ".ollama/models", weights(home).digest))
    assert (await command("verify", "ollama:", home=home)).code == 7
    assert {path.name for path in home.iterdir()} == {".ollama"}
    assert {path.name for path in (home / ".ollama/models").iterdir()} == {"blobs", "manifests"}
