"""Runs a command's work: with its renderer, its signals and its exit code."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TextIO

import click
from msgspec import Struct

from ..errors import Interrupted, RegistryPushError
from ..events import Event, ModelFailed
from ..interrupts import raise_on_interrupt
from ..options.flags import homeless_warning
from ..options.option import located
from .render import PUSH, Renderer, Verb, choose, renderer
from .render.line_writer import silence
from .seeing_the_doctor import with_doctor
from .signals import until_signalled

# As a shell reports a program killed by SIGPIPE: the output did not reach its reader.
BROKEN_PIPE: Final = 141
# The next step if nothing was noted, and if the command transfers nothing.
_RESUME_BY_AGAIN: Final = "to resume, run the same command again"
_AGAIN: Final = "run the same command again"


class Outcome(Struct, frozen=True):
    """The result of a command: lines for people, fields for programs, and an error, if a part of it failed.

    With an error, lines and fields are the part that succeeded. `raw` is printed byte for byte; `code` is the exit code
    without an error.
    """

    lines: Iterable[str] = ()
    fields: Mapping[str, object] | None = None
    error: RegistryPushError | None = None
    raw: bytes = b""
    code: int = 0


Work = Callable[[Renderer, asyncio.Event], Coroutine[Any, Any, Outcome]]


def run(
    flags: Mapping[str, Any], work: Work, *, verb: Verb = PUSH, finishes: bool = False, resumes: bool = True
) -> None:
    """Run `work`, called `verb` in messages, with the renderer that `flags` ask for, and exit with its code.

    A signal cancels it; where it `finishes`, the first one only sets the event that it was given, and it ends at the
    next good place by itself. `resumes`: running the same command again continues it.
    """
    # Closed by the shell (`>&-`), they are None.
    out, err = sys.stdout or _nowhere(), sys.stderr or _nowhere()
    kind = choose(
        err,
        environ=os.environ,
        json=flags.get("as_json", False),
        quiet=flags.get("quiet", False),
        no_progress=flags.get("no_progress", False),
    )
    lost: list[OSError] = []
    shown: Renderer = _Locating(
        renderer(
            kind,
            err,
            out,
            verbose=flags.get("verbose", False) or flags.get("debug", False),
            debug=flags.get("debug", False),
            dry_run=flags.get("dry_run", False),
            progress=not flags.get("no_progress", False),
            verb=verb,
            on_lost=lost.append,
        ),
        again=_again(flags) if finishes and resumes else _AGAIN,
    )
    log_lost: list[OSError] = []
    if (log_file := flags.get("log_file")) is not None:
        from .log_file import Logged

        shown = Logged(shown, log_file, ["registry-push", *sys.argv[1:]], verb=verb, on_lost=log_lost.append)
    raise_on_interrupt()  # from here on, the terminal has to be restored at the end
    with shown as show:
        if warning := homeless_warning(flags):
            show(warning)
        try:
            outcome = until_signalled(work, show, verb, finishes=finishes)
        except RegistryPushError as error:
            show.error(error)
            code = error.exit_code
        else:
            if outcome.error is None:
                show.result(outcome.lines, outcome.fields)
            else:
                show.error(outcome.error, outcome.lines, outcome.fields)
            code = outcome.error.exit_code if outcome.error else outcome.code
            if outcome.raw:
                _print_raw(outcome.raw, out, on_lost=lost.append)
    if log_lost:
        click.echo(f"warning: the log file {log_file} is not complete: {log_lost[0].strerror}", file=err)
    lost_code = not_printed(lost[0]) if lost else 0
    raise click.exceptions.Exit(code or lost_code)


def not_printed(error: OSError) -> int:
    """Report that stdout or stderr could not be written, which nothing is written to any more; return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            silence(stream)
    if not isinstance(error, BrokenPipeError):  # a reader that left knows why
        with suppress(OSError):  # the same disk, perhaps
            click.echo(f"error: what was to be printed could not be written: {error.strerror}", err=True)
    return BROKEN_PIPE


class _Locating:
    """A renderer that adds to an error about a value where the value was set.

    `again` replaces the next step of an interruption; None: what was interrupted is noted, and can be resumed.
    """

    def __init__(self, shown: Renderer, *, again: str | None) -> None:
        self._shown = shown
        self._again = again

    def __enter__(self) -> Self:
        self._shown.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._shown.__exit__(kind, error, traceback)

    def __call__(self, event: Event) -> None:
        if isinstance(event, ModelFailed):
            self._located(event.error)
        self._shown(event)

    def error(
        self, error: RegistryPushError, lines: Iterable[str] = (), fields: Mapping[str, object] | None = None
    ) -> None:
        self._shown.error(self._located(error), lines, fields)

    def result(self, lines: Iterable[str] = (), fields: Mapping[str, object] | None = None) -> None:
        self._shown.result(lines, fields)

    def _located(self, error: RegistryPushError) -> RegistryPushError:
        if isinstance(error, Interrupted) and self._again is not None and error.next_step == Interrupted.default_hint:
            error.hint = self._again
        return located(with_doctor(error))


def _again(flags: Mapping[str, Any]) -> str | None:
    """Return the next step for a transfer that was interrupted; None if it can be resumed."""
    return _RESUME_BY_AGAIN if flags.get("no_resume", True) or flags.get("dry_run", False) else None


def _print_raw(raw: bytes, out: TextIO, *, on_lost: Callable[[OSError], None]) -> None:
    """Write `raw` to `out`; if that fails, give the stream up and report the error."""
    try:
        out.buffer.write(raw)
        out.buffer.flush()
    except OSError as error:
        silence(out)
        on_lost(error)


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")
