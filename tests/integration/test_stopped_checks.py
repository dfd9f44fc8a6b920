"""What to do next when the checks before an import, or after an export, are stopped: it works as it is written."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

import pytest

from registry_push.embedded.sample import write_sample_store
from registry_push.errors import Interrupted, UsageError
from registry_push.events import Event, RunStarted, Sink
from registry_push.settings import Settings
from registry_push.verbs.export import export
from registry_push.verbs.importing import import_models
from tests.support.command import command


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_sample_store(tmp_path / "models")
    return Settings(home=tmp_path, models=tmp_path / "models", state_dir=tmp_path / "state")


def stopping(phase: str, stop: asyncio.Event) -> Sink:
    """Stop when that phase begins."""

    def sink(event: Event) -> None:
        if isinstance(event, RunStarted) and event.phase == phase:
            stop.set()

    return sink


@pytest.mark.parametrize(("name", "split"), [("a b.tar", None), ("a b.tar", 400_000), ("folder", None)])
async def test_an_export_that_is_stopped_while_the_medium_is_read_is_there(
    settings: Settings, tmp_path: Path, name: str, split: int | None
) -> None:
    stop = asyncio.Event()
    with pytest.raises(Interrupted, match="all of it is written") as caught:
        await export(
            [],
            str(tmp_path / name),
            every=True,
            split=split,
            verify_medium=True,
            settings=settings,
            sink=stopping("verifying", stop),
            stop=stop,
        )
    before, _, typed = str(caught.value.hint).partition("registry-push ")
    assert before == "to read it again: "
    done = await command(*shlex.split(typed), home=tmp_path)
    assert done.code == 0, done.err


async def test_an_import_that_is_stopped_while_it_checks_has_nothing_to_resume(
    settings: Settings, tmp_path: Path
) -> None:
    file = str(tmp_path / "all.tar")
    await export([], file, every=True, settings=settings)
    stop = asyncio.Event()
    with pytest.raises(Interrupted, match="before anything was written") as caught:
        await import_models(
            [file], f"oci:{tmp_path / 'far'}", settings=settings, sink=stopping("checking", stop), stop=stop
        )
    assert caught.value.hint == "run the same command again"


async def test_an_export_to_nothing_writes_nothing_here(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `--to "$DISK"` is, if the variable is not set."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UsageError, match="needs a file or a folder"):
        await export([], "", every=True, settings=settings)
    assert not [*(tmp_path / "here").iterdir()]
