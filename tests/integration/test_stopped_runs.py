"""What a run of many models says once it is stopped: one line for all that were not begun."""

from __future__ import annotations

import asyncio
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from registry_push.cli.render import Kind, renderer
from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import Denied, Interrupted
from registry_push.events import Event, ModelDone, ModelFailed, ModelStarted
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.copy import copy
from registry_push.verbs.push import push
from registry_push.verbs.resume import go_on
from tests.support.event_schema import checked

MANY = 40


class Run:
    """A run that is stopped when its first model is done, as `kind` shows it."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        for number in range(MANY):
            write_sample_store(folder / "models", name=f"me/tiny:v{number}", weights=1000 + number)
        self.settings = Settings(models=folder / "models", home=folder, state_dir=folder / "state")
        self.told: list[Event] = []
        self.out, self.err, self.stop = io.StringIO(), io.StringIO(), asyncio.Event()
        self._kind = kind

    async def stopped(self, source: str, target: str) -> Interrupted:
        with renderer(self._kind, self.err, self.out, progress=False) as show:

            def sink(event: Event) -> None:
                self.told.append(event)
                show(event)
                if isinstance(event, ModelDone):
                    self.stop.set()

            with pytest.raises(Interrupted) as interrupted:
                if source == "push":
                    await push(["*"], to=target, settings=self.settings, sink=sink, stop=self.stop)
                else:
                    await copy(source, target, settings=self.settings, sink=sink, stop=self.stop)
            show.error(interrupted.value)
        return interrupted.value

    @property
    def numbers(self) -> tuple[int, int, int]:
        """Models done, broken off, and not begun."""
        failed = [event for event in self.told if isinstance(event, ModelFailed)]
        left = sum(not event.begun for event in failed)
        return sum(isinstance(event, ModelDone) for event in self.told), len(failed) - left, left


@pytest.mark.parametrize("source", ["push", "ollama:"])
@pytest.mark.parametrize("kind", [Kind.PLAIN, Kind.QUIET, Kind.BARS])
async def test_one_line_says_how_many_were_not_begun(
    embedded: EmbeddedRegistry, tmp_path: Path, source: str, kind: Kind
) -> None:
    run = Run(tmp_path, kind)
    error = await run.stopped(source, f"{embedded.origin}/x/")
    done, broken, left = run.numbers
    assert done + broken + left == MANY and left > 0
    assert sum(isinstance(event, ModelStarted) for event in run.told) == done + broken
    assert f"{done} of {MANY} models" in error.message and f"{left} not begun; " in error.message
    said = run.err.getvalue()
    assert len(re.findall("not begun|before it was begun", said)) == 1, said
    assert said.count("error:") == broken + 1, said


async def test_what_was_not_begun_is_begun_by_resume(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    run = Run(tmp_path, Kind.QUIET)
    await run.stopped("push", f"{embedded.origin}/x/")
    report = await go_on(settings=run.settings, sink=run.told.append)
    done, broken, left = run.numbers
    assert report.error is None and len(report.done) == MANY - (done - len(report.done)) == broken + left


async def test_programs_are_told_of_each(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    run = Run(tmp_path, Kind.JSON)
    await run.stopped("ollama:", f"{embedded.origin}/x/")
    events: list[dict[str, Any]] = checked(run.out.getvalue())
    failed = [event for event in events if event["event"] == "model_failed"]
    begun = {event["model"] for event in events if event["event"] == "model_started"}
    assert {event["model"] for event in failed if event["begun"]} <= begun
    assert not begun & {event["model"] for event in failed if not event["begun"]}
    assert all(event["error"]["code"] == "Interrupted" for event in failed)
    assert events[-1]["event"] == "error" and events[-1]["exit_code"] == 130
    assert json.loads(run.out.getvalue().splitlines()[0])["models"] == MANY


def test_a_run_that_failed_too_counts_those_that_were_not_begun() -> None:
    failed = ModelFailed("a", None, Denied("no"))
    left = [ModelFailed(name, None, Interrupted("stopped"), begun=False) for name in "bcd"]
    error = Report((failed, *left)).error
    assert error is not None and error.message == "4 of 4 models were not pushed: a; 3 were not begun"
