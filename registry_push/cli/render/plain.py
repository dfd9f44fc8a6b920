"""For logs, pipes and dumb terminals: whole lines without control characters, and not too many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Final, Self, TextIO

from ...errors import RegistryPushError, printable
from ...events import (
    Action,
    BlobDone,
    BlobProgress,
    BlobRewound,
    BlobStarted,
    BlobWaiting,
    Event,
    HTTPAnswer,
    HTTPRequest,
    ManifestPushed,
    ModelDone,
    ModelFailed,
    ModelStarted,
    Retrying,
    RunStarted,
    Stopping,
    TagSettled,
    Warned,
)
from . import units, words
from .line_writer import LineWriter
from .rates import RunState
from .verb import PUSH, Verb

# A progress line comes when at least so many seconds and so many percent have passed since the last: 40 GB at
# 100 MB/s make 40 lines, and however slow the line is, at most 100.
_SECONDS: Final = 10.0
_PERCENT: Final = 1
# Seconds. No upload is silent for longer: CI services stop silent jobs, the strictest after ten minutes (Travis).
_SIGN_OF_LIFE: Final = 300.0


class _Lines:
    """The common part of the renderers that write lines."""

    def __init__(
        self, stream_err: TextIO, stream_out: TextIO, *, on_lost: Callable[[OSError], None] | None = None
    ) -> None:
        self._err, self._out = stream_err, stream_out
        self._outlet = LineWriter(on_lost)
        self._shown: RegistryPushError | None = None

    def __enter__(self) -> Self:
        self._outlet.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._outlet.close()

    def error(
        self, error: RegistryPushError, lines: Iterable[str] = (), fields: Mapping[str, object] | None = None
    ) -> None:
        """Report the error, unless it was reported with the failed model."""
        self.result(lines)
        if error is not self._shown:
            self._say(*words.error(error))

    def result(self, lines: Iterable[str] = (), fields: Mapping[str, object] | None = None) -> None:
        """Write `lines` to stdout. `fields` are for `--json`."""
        for line in lines:
            self._outlet.put(self._out, line)

    def _fail(self, event: ModelFailed) -> None:
        self._shown = event.error if event.begun else self._shown
        self._say(*words.failure(event))

    def _say(self, *lines: str) -> None:
        for line in lines:
            self._outlet.put(self._err, line)


class Quiet(_Lines):
    """Warnings and errors only."""

    def __call__(self, event: Event) -> None:
        match event:
            case Warned():
                self._say(*words.warning(event))
            case Stopping():
                self._say(*words.stopping(event))
            case ModelFailed():
                self._fail(event)
            case _:
                pass


class Plain(_Lines):
    """Writes a line when a model begins, progress lines now and then, and each model's result on stdout.

    `progress=False` (`--no-progress`) leaves out the progress lines, `verbose` adds one for each blob, `debug` those of
    requests and answers.
    """

    def __init__(
        self,
        stream_err: TextIO,
        stream_out: TextIO,
        *,
        clock: Callable[[], float],
        verbose: bool = False,
        debug: bool = False,
        progress: bool = True,
        verb: Verb = PUSH,
        on_lost: Callable[[OSError], None] | None = None,
    ) -> None:
        super().__init__(stream_err, stream_out, on_lost=on_lost)
        self._clock, self._verbose, self._debug, self._progress = clock, verbose, debug, progress
        self._verb = verb
        self._run = RunState()
        self._line_at: float | None = None
        self._line_percent = 0
        self._has_waited = False

    def __call__(self, event: Event) -> None:
        now = self._clock()
        match event:
            case BlobProgress() | BlobStarted():  # the most frequent ones first
                pass
            case BlobDone():
                if self._verbose:
                    state = self._run.active.get((event.repository, event.blob.digest))
                    self._say(words.blob(event, now - state.started if state else None, self._verb))
            case RunStarted() if event.phase:
                self._say(f"{event.phase}: {units.count(event.blobs, 'blob')}, {units.size(event.size)}")
            case ModelStarted() if self._verbose or not self._verb.is_brief:
                self._say(words.start(event, self._verb))
            case BlobWaiting() if not self._has_waited:
                self._has_waited = True
                self._say(words.waiting(self._verb))
            case BlobRewound():
                self._say(words.rewound(event, self._verb))
            case Retrying():
                self._say(words.retrying(event))
            case Warned():
                self._say(*words.warning(event))
            case Stopping():
                self._say(*words.stopping(event))
            case HTTPRequest() if self._debug:
                self._say(*words.request(event))
            case HTTPAnswer() if self._debug:
                self._say(*words.answer(event))
            case ManifestPushed() if not event.dry_run and (self._verbose or not self._verb.is_brief):
                state_of = self._verb.done if event.sent else "there already"
                self._say(printable(f"manifest sha256:{event.digest.short} {state_of}: {event.target}"))
            case TagSettled(dry_run=False, action=Action.DELETED | Action.LEFT):
                self._outlet.put(self._out, words.settled(event))
            case TagSettled(dry_run=False, action=Action.PRESENT | Action.KEPT | Action.SKIPPED) if self._verbose:
                self._say(words.settled(event))
            case ModelDone():
                self._outlet.put(self._out, "  ".join(words.summary(event, self._run.elapsed(event, now), self._verb)))
            case ModelFailed():
                self._now_and_then(now)  # how far it got, before the reason why it got no further
                self._fail(event)
            case _:
                pass
        self._run.apply(event, now)
        self._now_and_then(now)

    def _now_and_then(self, now: float) -> None:
        run = self._run
        if not self._progress or not run.has_begun or (run.models_failed and not run.running):
            return  # after the last error, write nothing that could look like success
        if self._line_at is None:
            self._line_at = now
        silent = now - self._line_at
        if silent < _SECONDS:
            return
        percent = units.percent(*self._run.shown)
        if abs(percent - self._line_percent) >= _PERCENT or silent >= _SIGN_OF_LIFE:
            self._line_at, self._line_percent = now, percent
            self._say(self._progress_line(percent, now))

    def _progress_line(self, percent: int, now: float) -> str:
        run = self._run
        if (compared := words.looked_for(run, self._verb)) is not None:
            return compared
        parts = [f"{percent:3d}%  {units.part(*run.shown)}"]
        if run.only_waits:
            parts.append("waiting")
        if (rate := run.speed(now)) is not None:
            parts.append(units.speed(rate))
        if left := run.remaining(now):
            parts.append(f"{units.remaining(left)} left")
        parts += (f"{run.blobs_done:,}/{run.blobs:,} blobs", f"{units.elapsed(run.run_elapsed(now))} elapsed")
        return "  ".join(parts)
