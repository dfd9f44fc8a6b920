"""Bars on a terminal. The only module that imports rich, and imported only if bars are shown.

The event loop only takes events, under a lock; a thread draws ten times a second, so that a terminal that is slow or
stopped (Ctrl-S) delays nothing. From the top it shows the model and its target, the whole run, speed and time left, and
the biggest blobs under way. The row of the whole run stays in its place while blobs come and go.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import groupby
from types import TracebackType
from typing import Final, Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ...errors import RegistryPushError
from ...events import (
    Action,
    BlobDone,
    BlobRewound,
    BlobWaiting,
    Event,
    HTTPAnswer,
    HTTPRequest,
    ModelDone,
    ModelFailed,
    Placement,
    Retrying,
    Stopping,
    TagSettled,
    Warned,
)
from . import units, words
from .bar import bar
from .line_writer import LineWriter
from .rates import BlobState, Key, Phase, RunState, seconds_left
from .verb import PUSH, Verb

# Seconds between two drawings.
EVERY: Final = 0.1
# Seconds a blob must have been under way to get a row: thousands of small ones would only flicker.
_SETTLED: Final = 0.3
_ROWS: Final = 6

# Columns: the kind, a space and 12 digits; percent; done/total; speed; time left. Each with the gap before it.
_KIND, _LABEL = 9, 22
_PERCENT, _PART, _SPEED, _LEFT = 6, 14, 11, 17
# Columns of a bar: longer is not more precise; shorter is useless, and the numbers need the space.
_BAR_MAX, _BAR_MIN = 60, 8
# Widths of the terminal from which a row shows its speed, and its time left.
_WITH_SPEED, _WITH_LEFT = 76, 100


class Bars:
    """Shows a run on the terminal of `console`; at the end one line for each model stays.

    That line is the result: it is written to stdout, or above the bars if `out_is_terminal`. `every` is the time
    between two drawings in seconds; None: only `draw` draws.
    """

    def __init__(
        self,
        console: Console,
        stream_out: TextIO,
        *,
        clock: Callable[[], float],
        verbose: bool = False,
        debug: bool = False,
        out_is_terminal: bool = True,
        every: float | None = EVERY,
        verb: Verb = PUSH,
        on_lost: Callable[[OSError], None] | None = None,
    ) -> None:
        self._console, self._out, self._clock = console, stream_out, clock
        self._verbose, self._debug, self._out_is_terminal, self._every = verbose, debug, out_is_terminal, every
        self._verb = verb
        self._outlet = LineWriter(on_lost)
        self._run = RunState()
        self._lock = threading.Lock()
        self._pending: list[Text] = []
        self._has_waited = False
        self._results: list[str] = []
        self._last: list[Text] = []  # the lines below the bars
        self._shown: RegistryPushError | None = None
        self._rows: list[Key] = []
        self._height = 0
        self._live: Live | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        # stderr is redirected, so that a stray warning of Python appears above the bars; stdout may be a pipe.
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=True
        )
        self._outlet.start()
        self._live.start()
        if self._every is not None:
            thread = threading.Thread(target=self._draw_on, name="registry-push bars", daemon=True)
            with suppress(RuntimeError):  # no thread can be started: nothing is drawn, only lasting lines are printed
                thread.start()
                self._thread = thread
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        try:
            if self._thread is not None:
                self._thread.join()
            with suppress(OSError):  # the terminal is gone
                self._print(self._taken())
        finally:
            self._take_down()
        for line in self._results:
            self._outlet.put(self._out, line)
        self._outlet.close()
        with suppress(OSError):
            self._print(self._last)

    def __call__(self, event: Event) -> None:
        with self._lock:
            now = self._clock()
            match event:
                case BlobDone() if self._verbose:
                    state = self._run.active.get((event.repository, event.blob.digest))
                    self._keep(words.blob(event, now - state.started if state else None, self._verb))
                case BlobWaiting() if not self._has_waited:
                    self._has_waited = True
                    self._keep(words.waiting(self._verb))
                case BlobRewound():
                    self._keep(words.rewound(event, self._verb))
                case Retrying():
                    self._keep(words.retrying(event))
                case Warned():
                    self._keep(*words.warning(event))
                case Stopping():
                    self._keep(*words.stopping(event))
                case HTTPRequest() if self._debug:
                    self._keep(*words.request(event))
                case HTTPAnswer() if self._debug:
                    self._keep(*words.answer(event))
                case TagSettled(dry_run=False, action=Action.DELETED | Action.LEFT):
                    self._summarise((words.settled(event),))
                case TagSettled(dry_run=False, action=Action.PRESENT | Action.KEPT | Action.SKIPPED) if self._verbose:
                    self._keep(words.settled(event))
                case ModelDone():
                    self._summarise(words.summary(event, self._run.elapsed(event, now), self._verb))
                case ModelFailed():
                    self._shown = event.error if event.begun else self._shown
                    self._keep(*words.failure(event))
                case _:
                    pass
            self._run.apply(event, now)

    def error(
        self, error: RegistryPushError, lines: Iterable[str] = (), fields: Mapping[str, object] | None = None
    ) -> None:
        """Report the error, unless it was reported with the failed model."""
        self.result(lines)
        if error is self._shown:
            return
        with self._lock:
            before = len(self._pending)
            self._keep(*words.error(error))
            if self._results:
                self._last, self._pending = self._pending[before:], self._pending[:before]
        if self._live is None:
            self._print(self._taken())

    def result(self, lines: Iterable[str] = (), fields: Mapping[str, object] | None = None) -> None:
        """Write `lines` to stdout after the bars are gone. `fields` are for `--json`."""
        if self._live is not None:
            self._results += lines
            return
        for line in lines:
            self._outlet.put(self._out, line)

    def draw(self) -> None:
        """Draw the present state, and above it what has come to stay since the last time."""
        with self._lock:
            lines = self._lines(self._clock())
            pending, self._pending = self._pending, []
        if self._live is not None:
            self._live.update(Group(*lines), refresh=not pending)
        self._print(pending)

    def _take_down(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            with suppress(OSError):
                live.update(Text(""))
                live.stop()

    def _draw_on(self) -> None:
        while not self._stop.wait(self._every):
            try:
                self.draw()
            except OSError:  # the terminal is gone; the push continues
                return

    def _taken(self) -> list[Text]:
        with self._lock:
            pending, self._pending = self._pending, []
        return pending

    def _print(self, lines: list[Text]) -> None:
        # `Text`, so that brackets in a message are no markup. An address is left to the terminal to wrap, so that it
        # can be copied whole.
        for has_address, group in groupby(lines, key=lambda line: line.plain.startswith(("  at ", "> ", "< "))):
            self._console.print(Text("\n").join(group), soft_wrap=has_address)

    def _keep(self, *lines: str) -> None:
        for line in lines:
            text = Text(line)
            text.stylize("yellow", 0, len("warning:") if line.startswith("warning:") else 0)
            text.stylize("bold red", 0, len("error:") if line.startswith("error:") else 0)
            if line.startswith(("  →", "  at", "retrying", "blob ", "> ", "< ")):
                text.stylize("dim")
            self._pending.append(text)

    def _summarise(self, parts: tuple[str, ...]) -> None:
        if not self._out_is_terminal:
            self._outlet.put(self._out, "  ".join(parts))
            return
        text, column = Text(parts[0], style="bold"), len(parts[0])
        for part in parts[1:]:
            fits = column + 2 + len(part) <= self._console.width
            column = column + 2 + len(part) if fits else 2 + len(part)
            text.append("  " if fits else "\n  ").append(part, style="not bold")
        self._pending.append(text)

    # ── the picture ───────────────────────────────────────────────────────────────────────────────

    def _lines(self, now: float) -> list[Text]:
        width, height = self._console.width, self._console.height
        run = self._run
        if not run.has_begun:  # nothing of nothing would be 100 %
            return []
        lines = [self._heading()] if run.running and height >= _ROWS + 4 else []
        if (compared := words.looked_for(run, self._verb)) is not None:
            lines.append(Text(compared))
        else:
            lines += [self._total(now, width), self._status(now, width)]
        shown = self._choose_rows(now, min(_ROWS, height - len(lines) - 1))
        lines += [self._row(run.active[key], now, width) for key in shown]
        # Never lower than before: the screen would jump each time a blob ends.
        self._height = min(max(self._height, len(lines)), max(2, height - 1))
        lines += [Text("") for _ in range(self._height - len(lines))]
        for line in lines:
            line.truncate(width, overflow="ellipsis")
        return lines

    def _choose_rows(self, now: float, room: int) -> list[Key]:
        """Return the biggest blobs under way. A blob with a row keeps it until it ends."""
        active = self._run.active
        waiting = [key for key, state in active.items() if key not in self._rows and now - state.started >= _SETTLED]
        waiting.sort(key=lambda key: active[key].blob.size)
        kept = [key if key in active else waiting.pop() if waiting else None for key in self._rows]
        rows = [key for key in kept if key is not None][: max(0, room)]
        while waiting and len(rows) < room:
            rows.append(waiting.pop())
        self._rows = rows
        return rows

    def _heading(self) -> Text:
        models = [event for event, _ in self._run.running.values()]
        more = f" and {len(models) - 1} more" if len(models) > 1 else ""
        return Text(words.heading(models[0], self._verb) + more, style="bold")

    def _total(self, now: float, width: int) -> Text:
        run = self._run
        label = Text((run.phase or "total").ljust(_LABEL), style="bold")
        instead = Phase.WAITING.value if run.only_waits else None
        return self._columns(label, *run.shown, run.speed(now), run.remaining(now), width, instead=instead)

    def _row(self, state: BlobState, now: float, width: int) -> Text:
        blob, rate, phase = state.blob, state.meter.speed(now), state.phase(now)
        label = Text.assemble(f"{blob.kind[:_KIND]:<{_KIND}} ", (blob.digest.short, "dim"))
        left = seconds_left(blob.size - state.offset, rate)
        instead = None if phase is Phase.MOVING else phase.value
        return self._columns(label, state.offset, blob.size, rate, left, width, instead=instead)

    def _columns(
        self,
        label: Text,
        done: int,
        size: int,
        rate: float | None,
        left: float | None,
        width: int,
        *,
        instead: str | None = None,
    ) -> Text:
        """Return label, bar and numbers; `instead` replaces speed and time, or all numbers if space is narrow."""
        numbers = f"{units.part(done, size):>{_PART}}"
        tail = ""
        if width >= _WITH_SPEED:
            tail = f"{units.speed(rate) if rate is not None else '':>{_SPEED}}"
        if width >= _WITH_LEFT:
            tail += f"{units.remaining(left) + ' left' if left else '':>{_LEFT}}"
        if instead and tail:
            tail = f"  {instead}".ljust(len(tail))
        elif instead:
            numbers = f"{instead:>{_PART}}"
        room = width - _LABEL - _PERCENT - len(numbers) - len(tail) - 1
        if room < _BAR_MIN:
            numbers, room = "", room + len(numbers)
        if room < 0:
            label.truncate(max(0, width - _PERCENT - 1))
        line = label.append(" ")
        if room >= _BAR_MIN:
            line.append_text(bar(done, size, min(room, _BAR_MAX)))
        return line.append(f"{units.percent(done, size):>{_PERCENT - 1}}%{numbers}{tail}")

    def _status(self, now: float, width: int) -> Text:
        run = self._run
        line = Text()
        rate, left = run.speed(now), run.remaining(now)
        facts: list[tuple[str, str]] = []
        if run.waiting:
            facts.append((f"{len(run.waiting):,} {self._verb.moved} by another {self._verb.name}", ""))
        elif not run.active and not run.moved and run.blobs_done < run.blobs:
            facts.append(("checking what is already there", ""))
        if rate is not None and width < _WITH_SPEED:
            facts.append((units.speed(rate), "bold"))
        if left and width < _WITH_LEFT:
            facts.append((f"{units.remaining(left)} left", "bold"))
        facts.append((f"{run.blobs_done:,}/{run.blobs:,} blobs", ""))
        facts += [
            (f"{run.counts[placement]:,} {self._verb.placed[placement]}", "")
            for placement in Placement
            if placement is not Placement.UPLOADED and run.counts[placement] and not run.phase
        ]
        if run.models > 1:
            facts.append((f"{run.models_done + run.models_failed:,}/{run.models:,} {self._verb.unit}s", ""))
        if run.models_failed:
            facts.append((f"{run.models_failed} {self._verb.failed}", "red"))
        facts.append((f"{units.elapsed(run.run_elapsed(now))} elapsed", ""))
        for text, style in facts:
            line.append(" · " if line else "", style="dim").append(text, style=style)
        return line
