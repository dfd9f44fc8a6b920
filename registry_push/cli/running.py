"""Runs a command's work: with its renderer, its signals and its exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click

from ..errors import Interrupted, RegistryPushError
from .render import Renderer, choose, renderer

T = TypeVar("T")

# As a shell reports a program that died of SIGPIPE: what was printed did not get to its reader.
_BROKEN_PIPE: Final = 141


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command ends with: lines for people, fields for programs, and an error that some of it met."""

    lines: Iterable[str] = ()
    fields: Mapping[str, object] | None = None
    error: RegistryPushError | None = None


def run(flags: Mapping[str, Any], work: Callable[[Renderer], Coroutine[Any, Any, Outcome]]) -> None:
    """Runs `work` with the renderer that `flags` ask for, and exits with its code."""
    kind = choose(
        sys.stderr,
        environ=os.environ,
        json=flags.get("as_json", False),
        quiet=flags.get("quiet", False),
        no_progress=flags.get("no_progress", False),
    )
    lost: list[OSError] = []
    with renderer(
        kind,
        sys.stderr,
        sys.stdout,
        verbose=flags.get("verbose", False),
        progress=not flags.get("no_progress", False),
        on_lost=lost.append,
    ) as show:
        try:
            outcome = _run_until_signalled(work(show))
        except RegistryPushError as error:
            show.error(error)
            code = error.exit_code
        else:
            if outcome.error is None:
                show.result(outcome.lines, outcome.fields)
            else:
                show.error(outcome.error)
            code = outcome.error.exit_code if outcome.error else 0
    raise click.exceptions.Exit(code or (_BROKEN_PIPE if lost else 0))


def _run_until_signalled(work: Coroutine[Any, Any, T]) -> T:
    """Runs `work`; SIGINT or SIGTERM cancels it, which leaves everything in order, and raises `Interrupted`.

    A second signal does not wait for that.
    """
    received: list[signal.Signals] = []

    async def watched() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def stop(which: signal.Signals) -> None:
            received.append(which)
            if len(received) > 1:
                os._exit(Interrupted.exit_code)
            task.cancel()

        for which in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):  # Windows: there KeyboardInterrupt does it
                loop.add_signal_handler(which, stop, which)
        return await work

    try:
        return asyncio.run(watched())
    except (asyncio.CancelledError, KeyboardInterrupt):
        name = received[0].name if received else "SIGINT"
        raise Interrupted(f"stopped by {name}; the blobs that were finished stay at the registry") from None
