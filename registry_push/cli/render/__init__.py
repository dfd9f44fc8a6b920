"""The renderers of a run: bars, plain lines, JSON lines, or warnings only.

    kind = choose(sys.stderr, environ=os.environ, json=…, quiet=…, no_progress=…)
    with renderer(kind, sys.stderr, sys.stdout) as show:
        try:
            outcome = asyncio.run(push(…, sink=show))
            show.result(fields={…})
        except RegistryPushError as error:
            show.error(error)

Progress and messages are written to stderr, results to stdout. `tables` has the views of commands that run nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self, TextIO

from ...errors import RegistryPushError
from ...events import Event
from .jsonl import JSONLines
from .plain import Plain, Quiet
from .verb import COPY, EXPORT, IMPORT, PULL, PUSH, RESUME, SYNC, VERIFY, Verb


class Kind(StrEnum):
    """The kinds of renderers."""

    BARS = "bars"
    PLAIN = "plain"
    QUIET = "quiet"
    JSON = "json"


class Renderer(Protocol):
    """A sink that shows events.

    Calling it never waits and costs microseconds. It is called from one thread. `error` and `result` can be
    called inside the `with` block or after it.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait until all is written, and leave the terminal as it was. Does not report the exception."""
        ...

    def __call__(self, event: Event) -> None: ...

    def error(
        self, error: RegistryPushError, lines: Iterable[str] = (), fields: Mapping[str, object] | None = None
    ) -> None:
        """Report the error and the next step, below `lines` with the result so far.

        With `--json` this is the last line, which has the `fields` of the result too.
        """
        ...

    def result(self, lines: Iterable[str] = (), fields: Mapping[str, object] | None = None) -> None:
        """Report the result: `lines` on stdout for people, or `fields` as the last line with `--json`.

        A run that moves models needs no lines: each model had its own.
        """
        ...


def choose(
    stream_err: TextIO,
    *,
    environ: Mapping[str, str],
    json: bool = False,
    quiet: bool = False,
    no_progress: bool = False,
) -> Kind:
    """Return the renderer for these flags and this stderr.

    `json` wins over `quiet`, and both over the kind of stderr.
    """
    if json:
        return Kind.JSON
    if quiet:
        return Kind.QUIET
    # The same two that rich treats as terminals which can't move the cursor.
    movable = stream_err.isatty() and environ.get("TERM", "").lower() not in ("dumb", "unknown")
    unicode = (stream_err.encoding or "").lower().startswith("utf")
    return Kind.BARS if movable and unicode and not no_progress else Kind.PLAIN


def renderer(
    kind: Kind,
    stream_err: TextIO,
    stream_out: TextIO,
    *,
    clock: Callable[[], float] = time.monotonic,
    verbose: bool = False,
    debug: bool = False,
    dry_run: bool = False,
    progress: bool = True,
    verb: Verb = PUSH,
    on_lost: Callable[[OSError], None] | None = None,
) -> Renderer:
    """Return the renderer of that kind.

    `clock` returns seconds. With `dry_run`, every line of `JSON` says so. `debug` shows requests and answers, if the
    run reports them. `progress=False` leaves progress lines out of `PLAIN`. `verb` is the run's verb in messages. A
    stream that can't be written any more (its reader is gone, its disk is full) is given up silently, and `on_lost` is
    called with the error, once per stream, perhaps from another thread.
    """
    match kind:
        case Kind.BARS:
            from rich.console import Console  # the other renderers don't need it

            from .bars import Bars

            console = Console(file=stream_err, force_terminal=True, highlight=False, markup=False, emoji=False)
            return Bars(
                console,
                stream_out,
                clock=clock,
                verbose=verbose,
                debug=debug,
                out_is_terminal=stream_out.isatty(),
                verb=verb,
                on_lost=on_lost,
            )
        case Kind.PLAIN:
            return Plain(
                stream_err,
                stream_out,
                clock=clock,
                verbose=verbose,
                debug=debug,
                progress=progress,
                verb=verb,
                on_lost=on_lost,
            )
        case Kind.QUIET:
            return Quiet(stream_err, stream_out, on_lost=on_lost)
        case Kind.JSON:
            return JSONLines(stream_err, stream_out, clock=clock, debug=debug, dry_run=dry_run, on_lost=on_lost)


__all__ = [
    "COPY",
    "EXPORT",
    "IMPORT",
    "PULL",
    "PUSH",
    "RESUME",
    "SYNC",
    "VERIFY",
    "Kind",
    "Renderer",
    "Verb",
    "choose",
    "renderer",
]
