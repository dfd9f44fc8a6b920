"""What people see: the rates behind it, and the four faces. The clock is a number that tests move."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from registry_push.cli.render import Kind, Renderer, choose, renderer, tables, units
from registry_push.cli.render.bars import Bars
from registry_push.cli.render.outlet import BACKLOG
from registry_push.cli.render.rates import RunState
from registry_push.errors import ConnectionLost, Denied
from registry_push.events import (
    BlobDone,
    BlobProgress,
    BlobRewound,
    BlobStarted,
    ManifestPushed,
    ModelDone,
    ModelFailed,
    ModelStarted,
    Placement,
    Retrying,
    RunStarted,
    Sink,
    Warned,
)
from registry_push.model import Descriptor, Digest, Reference

GB = 10**9
REPO = "me/big"
TARGET = Reference.parse("localhost:5000/me/big:latest")
MANIFEST = Digest.of(b"manifest")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def blob(name: object, size: int, kind: str = "model") -> Descriptor:
    return Descriptor(f"application/vnd.ollama.image.{kind}", Digest.of(str(name).encode()), size)


def begin(sink: Sink, *blobs: Descriptor, models: int = 1) -> None:
    size = sum(each.size for each in blobs)
    sink(RunStarted(models, len(blobs), size))
    sink(ModelStarted("me/big:latest", TARGET, len(blobs), size))


def move(sink: Sink, clock: Clock, what: Descriptor, begin: int, end: int, *, rate: float, step: int) -> None:
    for offset in range(begin + step, end + 1, step):
        clock.now += step / rate
        sink(BlobProgress(REPO, what.digest, offset, what.size))


def finish(sink: Sink, sent: int, *, uploaded: int = 1, present: int = 0) -> None:
    sink(ManifestPushed(TARGET, MANIFEST, True))
    sink(ModelDone("me/big:latest", TARGET, MANIFEST, uploaded, 0, present, sent))


class Screen:
    """Bars on a console of a given size; `frame` is what one drawing shows."""

    def __init__(self, width: int, height: int, **options: Any) -> None:
        self.clock, self.file, self.out = Clock(), io.StringIO(), io.StringIO()
        console = Console(file=self.file, force_terminal=True, width=width, height=height, highlight=False, _environ={})
        self.bars = Bars(console, self.out, clock=self.clock, every=None, **options)

    def written(self) -> str:
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.file.getvalue()).replace("\r", "")
        self.file.seek(0)
        self.file.truncate()
        return text

    def frame(self) -> list[str]:
        self.written()
        self.bars.draw()
        return self.written().split("\n")


# ── units ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("call", "shown"),
    [
        (units.size(999), "999 B"),
        (units.size(1000), "1.00 kB"),
        (units.size(1_930_000_000), "1.93 GB"),
        (units.size(999_600), "1.00 MB"),
        (units.size(9_996_000), "10.0 MB"),
        (units.size(2**63 - 1), "9.22 EB"),
        (units.size(10**22), "10000 EB"),
        (units.speed(156e6), "156 MB/s"),
        (units.part(39_999_999_999, 40 * GB), "39.9/40.0 GB"),
        (units.part(0, 0), "0/0 B"),
        (units.percent(39_999_999_999, 40 * GB), 99),
        (units.percent(0, 0), 100),
        (units.duration(12.44), "12.4 s"),
        (units.duration(59.96), "1 min 00 s"),
        (units.duration(185), "3 min 05 s"),
        (units.duration(7440), "2 h 04 min"),
        (units.duration(3 * 86400), "3 days"),
        (units.duration(-1), "0.0 s"),
        (units.remaining(0.2), "1 s"),
        (units.remaining(181), "3 min 05 s"),
        (units.remaining(1381), "24 min"),
        (units.remaining(3541), "1 h 00 min"),
        (units.ago(-5), "just now"),
        (units.ago(60), "1 minute ago"),
        (units.ago(3 * 86400 + 5), "3 days ago"),
        (units.ago(800 * 86400), "2 years ago"),
        (units.count(2000, "blob"), "2,000 blobs"),
    ],
)
def test_numbers_as_people_read_them(call: object, shown: object) -> None:
    assert call == shown


# ── rates ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def run() -> Iterator[tuple[RunState, Sink, Clock]]:
    state, clock = RunState(), Clock()
    yield state, lambda event: state.apply(event, clock()), clock


Run = tuple[RunState, Sink, Clock]


def test_a_steady_line_gives_its_speed_and_the_time_left(run: Run) -> None:
    state, sink, clock = run
    big = blob("big", 40 * GB)
    begin(sink, big)
    sink(BlobStarted(REPO, big, 0))
    assert state.speed(clock.now) is None and state.remaining(clock.now) is None
    move(sink, clock, big, 0, 10 * GB, rate=100e6, step=10**6)
    assert state.speed(clock.now) == pytest.approx(100e6, rel=0.02)
    assert state.remaining(clock.now) == pytest.approx(300, rel=0.02)
    clock.now += 20
    assert state.speed(clock.now) == 0 and state.remaining(clock.now) is None


@pytest.mark.parametrize("told", [0, 30 * GB], ids=["offset found out later", "offset told at the start"])
def test_what_an_earlier_run_sent_is_progress_but_no_speed(run: Run, told: int) -> None:
    state, sink, clock = run
    big = blob("big", 40 * GB)
    begin(sink, big)
    sink(BlobStarted(REPO, big, told))
    clock.now += 25  # the prefix is hashed again
    sink(BlobProgress(REPO, big.digest, 30 * GB, big.size))
    assert (state.done, state.moved) == (30 * GB, 0)
    move(sink, clock, big, 30 * GB, 32 * GB, rate=100e6, step=10**6)
    assert state.speed(clock.now) == pytest.approx(100e6, rel=0.02)
    assert state.remaining(clock.now) == pytest.approx(80, rel=0.02)


def test_bytes_sent_again_count_for_the_speed_and_not_for_the_progress(run: Run) -> None:
    state, sink, clock = run
    big = blob("big", 4 * GB)
    begin(sink, big)
    sink(BlobStarted(REPO, big, 0))
    sink(BlobProgress(REPO, big.digest, 0, big.size))
    move(sink, clock, big, 0, 2 * GB, rate=100e6, step=10**7)
    sink(BlobRewound(REPO, big.digest, GB, big.size, "session lost"))
    assert state.done == GB
    move(sink, clock, big, GB, 4 * GB, rate=100e6, step=10**7)
    assert state.done == 4 * GB and state.moved == 5 * GB
    assert state.speed(clock.now) == pytest.approx(100e6, rel=0.02)
    sink(BlobDone(REPO, big, Placement.UPLOADED, 5 * GB))
    assert (state.done, state.moved, state.blobs_done) == (4 * GB, 5 * GB, 1)


def test_two_thousand_blobs_with_one_progress_each_have_the_right_speed(run: Run) -> None:
    state, sink, clock = run
    tensors = [blob(n, 10**6, "tensor") for n in range(2000)]
    begin(sink, *tensors)
    for tensor in tensors:
        sink(BlobStarted(REPO, tensor, 0))
        clock.now += 0.01
        sink(BlobProgress(REPO, tensor.digest, tensor.size, tensor.size))
        sink(BlobDone(REPO, tensor, Placement.UPLOADED, tensor.size))
    assert state.speed(clock.now) == pytest.approx(100e6, rel=0.02)
    assert (state.done, state.moved, state.blobs_done) == (2 * GB, 2 * GB, 2000)


def test_a_blob_the_registry_lost_and_one_told_twice_are_counted_once(run: Run) -> None:
    state, sink, _ = run
    small = blob("small", 10)
    begin(sink, small)
    sink(BlobDone(REPO, small, Placement.PRESENT, 0))
    sink(BlobDone(REPO, small, Placement.PRESENT, 0))
    assert (state.done, state.counts[Placement.PRESENT]) == (10, 1)
    sink(BlobStarted(REPO, small, 0))
    assert (state.done, state.blobs_done, state.counts[Placement.PRESENT]) == (0, 0, 0)


def test_a_failed_model_is_no_longer_waited_for(run: Run) -> None:
    state, sink, clock = run
    big, other = blob("big", 40 * GB), blob("other", GB)
    sink(RunStarted(2, 2, 41 * GB))
    sink(ModelStarted("big", TARGET, 1, 40 * GB))
    sink(BlobStarted(REPO, big, 0))
    move(sink, clock, big, 0, GB, rate=100e6, step=10**7)
    sink(ModelFailed("big", TARGET, Denied("no")))
    assert (state.done, state.size, state.active) == (0, GB, {})
    sink(BlobDone("me/other", other, Placement.PRESENT, 0))
    assert state.done == state.size == GB


# ── bars ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("width", "height"), [(140, 40), (80, 24), (60, 15), (40, 6), (20, 3)])
def test_every_line_fits_the_terminal(width: int, height: int) -> None:
    screen = Screen(width, height)
    blobs = [blob(n, 40 * GB // (n + 1), "projector") for n in range(12)]
    with screen.bars as sink:
        begin(sink, *blobs)
        for each in blobs:
            sink(BlobStarted(REPO, each, 0))
        for each in blobs:
            move(sink, screen.clock, each, 0, GB, rate=1e9, step=10**8)
        lines = screen.frame()
    assert max(map(len, lines)) <= width
    assert len(lines) == min(9, height - 1)
    total = next(line for line in lines if line.startswith("total"))
    assert "%" in total and ("GB" in total) is (width >= 60)
    assert any("left" in line for line in lines) is (width >= 40)


def test_a_resumed_push_shows_at_once_what_moves_how_fast_and_how_long() -> None:
    screen, big = Screen(80, 24), blob("big", 40 * GB)
    with screen.bars as sink:
        begin(sink, big, blob("there", 12, "params"))
        sink(BlobDone(REPO, blob("there", 12, "params"), Placement.PRESENT, 0))
        sink(BlobStarted(REPO, big, 30 * GB))
        screen.clock.now += 1
        assert "preparing" in screen.frame()[3]
        sink(BlobProgress(REPO, big.digest, 30 * GB, big.size))
        move(sink, screen.clock, big, 30 * GB, 31 * GB, rate=100e6, step=10**7)
        assert screen.frame() == [
            "me/big:latest → localhost:5000/me/big:latest",
            "total                  ━━━━━━━━━━━━━━━━━━━━──────   77%  31.0/40.0 GB   101 MB/s",
            "1 min 30 s left · 1/2 blobs · 1 there already",
            f"model     {big.digest.short} ━━━━━━━━━━━━━━━━━━━━──────   77%  31.0/40.0 GB   101 MB/s",
        ]
        screen.clock.now += 6
        assert "waiting" in screen.frame()[3]
        sink(BlobProgress(REPO, big.digest, big.size, big.size))
        assert "confirming" in screen.frame()[3]


def test_small_blobs_get_no_row_and_the_screen_never_gets_lower() -> None:
    screen = Screen(80, 24)
    with screen.bars as sink:
        tensors = [blob(n, 10**6 + n, "tensor") for n in range(20)]
        begin(sink, *tensors)
        assert screen.frame()[2].startswith("looking what is there already")
        for tensor in tensors:
            sink(BlobStarted(REPO, tensor, 0))
        screen.clock.now += 0.2
        assert len(screen.frame()) == 3
        screen.clock.now += 0.2
        rows = screen.frame()[3:]
        assert [row[10:22] for row in rows] == [tensor.digest.short for tensor in tensors[:-7:-1]]
        sink(BlobDone(REPO, tensors[-2], Placement.UPLOADED, 10**6))
        after = screen.frame()[3:]
        assert after[0] == rows[0] and after[2:] == rows[2:] and tensors[13].digest.short in after[1]
        for tensor in tensors:
            sink(BlobDone(REPO, tensor, Placement.UPLOADED, 10**6))
        assert screen.frame()[3:] == [""] * 6


def test_what_must_stay_stays_above_the_bars_and_is_no_markup() -> None:
    screen = Screen(60, 24, verbose=True)
    error = Denied("[bold]no[/bold] for\x1b[31m you", hint="ask [red]her", url="https://h/v2/?secret=1")
    with screen.bars as sink:
        begin(sink, blob("a", 12))
        sink(Warned("quota [bold]91 %", "tidy up"))
        sink(Retrying("PATCH", "connection reset", 2.14))
        sink(BlobRewound(REPO, MANIFEST, 1_200_000_000, GB, "gone"))
        sink(BlobDone(REPO, blob("a", 12), Placement.MOUNTED, 0))
        sink(ModelFailed("me/big:latest", TARGET, error))
        lines = screen.frame()
        screen.bars.error(error)
        screen.bars.error(ConnectionLost("broke"))
    assert lines[:8] == [
        "warning: quota [bold]91 %",
        "  → tidy up",
        "retrying PATCH in 2.1 s: connection reset",
        f"blob {MANIFEST.short}: sent again from 1.20 GB on: gone",
        f"model {blob('a', 12).digest.short}  12 B  mounted",
        "error: me/big:latest: [bold]no[/bold] for\\x1b[31m you",
        "  → ask [red]her",
        "  at https://h/v2/?…",
    ]
    left = screen.written()
    assert "error: broke" in left and "[bold]no" not in left


@pytest.mark.parametrize("out_is_terminal", [True, False])
def test_the_summary_is_the_result(out_is_terminal: bool) -> None:
    screen = Screen(60, 24, out_is_terminal=out_is_terminal)
    with screen.bars as sink:
        begin(sink, blob("a", 12))
        screen.clock.now += 12.4
        finish(sink, 1_930_000_000, uploaded=4, present=2)
        screen.bars.result(["more"])
    names, identity = "me/big:latest → localhost:5000/me/big:latest", f"sha256:{MANIFEST.short}"
    numbers = "4 uploaded, 2 there already, 1.93 GB in 12.4 s (156 MB/s)"
    if out_is_terminal:  # 60 columns: a line each
        assert f"{names}\n  {identity}\n  {numbers}\n" in screen.written()
        assert screen.out.getvalue() == "more\n"
    else:
        assert identity not in screen.written()
        assert screen.out.getvalue() == f"{names}  {identity}  {numbers}\nmore\n"


# ── lines ─────────────────────────────────────────────────────────────────────────────────────────


def shown(kind: Kind, **options: Any) -> tuple[Renderer, Clock, io.StringIO, io.StringIO]:
    clock, err, out = Clock(), io.StringIO(), io.StringIO()
    return renderer(kind, err, out, clock=clock, **options), clock, err, out


@pytest.mark.parametrize(("rate", "lines"), [(100e6, 41), (10e6, 102), (1e6, 202), (1e9, 5)])
def test_a_log_of_40_gb_is_neither_silent_nor_long(rate: float, lines: int) -> None:
    sink, clock, err, out = shown(Kind.PLAIN)
    big = blob("big", 40 * GB)
    with sink:
        begin(sink, big)
        sink(BlobStarted(REPO, big, 0))
        move(sink, clock, big, 0, big.size, rate=rate, step=10**7)
        finish(sink, big.size)
    assert len(err.getvalue().splitlines()) == lines
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", err.getvalue() + out.getvalue())
    assert out.getvalue().count("\n") == 1


def test_a_small_push_is_three_lines_and_verbose_one_more_for_each_blob() -> None:
    for verbose, lines in ((False, 2), (True, 4)):
        sink, clock, err, out = shown(Kind.PLAIN, verbose=verbose)
        small, there = blob("small", 10**7), blob("there", 10, "params")
        with sink:
            begin(sink, small, there)
            sink(BlobDone(REPO, there, Placement.PRESENT, 0))
            sink(BlobStarted(REPO, small, 0))
            move(sink, clock, small, 0, small.size, rate=5e6, step=10**6)
            sink(BlobDone(REPO, small, Placement.UPLOADED, small.size))
            finish(sink, small.size, present=1)
        assert len(err.getvalue().splitlines()) == lines
        assert ("uploaded in 2.0 s" in err.getvalue()) is verbose
        assert out.getvalue().endswith("1 uploaded, 1 there already, 10.0 MB in 2.0 s (5.00 MB/s)\n")


def test_quiet_says_only_what_went_wrong_and_the_failure_once() -> None:
    sink, _, err, out = shown(Kind.QUIET)
    error = Denied("no", hint="ask")
    with sink:
        begin(sink, blob("a", 1))
        sink(Retrying("PATCH", "reset", 1.0))
        sink(Warned("mind"))
        sink(ModelFailed("me/big:latest", TARGET, error))
        finish(sink, 1)
        sink.error(error)
        sink.result(["asked for"])
    assert err.getvalue() == "warning: mind\nerror: me/big:latest: no\n  → ask\n"
    assert out.getvalue() == "asked for\n"


# ── json ──────────────────────────────────────────────────────────────────────────────────────────


def test_json_is_thinned_but_keeps_the_last_progress_of_each_blob() -> None:
    sink, clock, err, out = shown(Kind.JSON)
    big = blob("big", 100)
    with sink:
        sink(BlobStarted(REPO, big, 0))
        move(sink, clock, big, 0, 99, rate=64, step=1)  # 1/64 s apart
        sink(BlobDone(REPO, big, Placement.UPLOADED, 100))
        sink.result(fields={"digest": MANIFEST})
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    progress = [line["offset"] for line in lines if line["event"] == "blob_progress"]
    assert progress == [1, 17, 33, 49, 65, 81, 97, 99]
    assert [line["event"] for line in lines][-2:] == ["blob_done", "result"]
    assert lines[-1] == {"event": "result", "digest": str(MANIFEST)} and err.getvalue() == ""


def test_a_json_error_is_the_last_line() -> None:
    sink, _, err, out = shown(Kind.JSON)
    with sink:
        sink.error(Denied("no\nreally"))
    (line,) = out.getvalue().splitlines()
    last = json.loads(line)
    assert (last["event"], last["code"], last["exit_code"], err.getvalue()) == ("error", "Denied", 4, "")


class Stuck(io.StringIO):
    """A stream whose reader does not read until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = threading.Event()

    def write(self, text: str) -> int:
        self.let.wait()
        return super().write(text)


def test_a_slow_reader_loses_progress_and_nothing_else() -> None:
    clock, out = Clock(), Stuck()
    big = blob("big", 10**6)
    with renderer(Kind.JSON, io.StringIO(), out, clock=clock) as sink:
        sink(BlobStarted(REPO, big, 0))
        move(sink, clock, big, 0, 3 * BACKLOG, rate=1, step=1)
        sink(BlobDone(REPO, big, Placement.UPLOADED, 10**6))
        out.let.set()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert BACKLOG <= len(lines) < BACKLOG + 10
    assert (lines[0]["event"], lines[-2]["offset"], lines[-1]["event"]) == ("blob_started", 3 * BACKLOG, "blob_done")


@pytest.mark.parametrize("kind", [Kind.JSON, Kind.PLAIN])
def test_a_reader_that_left_is_no_traceback(kind: Kind) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    err, lost = io.StringIO(), list[OSError]()
    with os.fdopen(writing, "w") as out, renderer(kind, err, out, on_lost=lost.append) as sink:
        sink.result(["line"])
        sink.result(["line"])
        sink.error(Denied("no", hint="ask"))
    assert [type(error) for error in lost] == [BrokenPipeError]
    assert err.getvalue() == "error: no\n  → ask\n"


# ── the choice, and the tables ────────────────────────────────────────────────────────────────────


class Stream(io.TextIOWrapper):
    def __init__(self, terminal: bool, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize(
    ("terminal", "encoding", "term", "flags", "kind"),
    [
        (True, "utf-8", "xterm", {}, Kind.BARS),
        (True, "utf-8", "dumb", {}, Kind.PLAIN),
        (True, "latin-1", "xterm", {}, Kind.PLAIN),
        (False, "utf-8", "xterm", {}, Kind.PLAIN),
        (True, "utf-8", "xterm", {"no_progress": True}, Kind.PLAIN),
        (True, "utf-8", "xterm", {"quiet": True}, Kind.QUIET),
        (True, "utf-8", "xterm", {"quiet": True, "json": True}, Kind.JSON),
    ],
)
def test_the_face_fits_the_stream(terminal: bool, encoding: str, term: str, flags: dict[str, bool], kind: Kind) -> None:
    assert choose(Stream(terminal, encoding), environ={"TERM": term}, **flags) is kind


def test_signs_that_a_stream_cannot_hold_are_replaced() -> None:
    stream = Stream(False, "ascii")
    with renderer(Kind.PLAIN, stream, io.StringIO()) as sink:
        sink.error(Denied("é", hint="ask"))
    assert stream.buffer.getvalue() == b"error: ?\n  -> ask\n"  # type: ignore[attr-defined]


def test_rich_is_imported_only_for_bars() -> None:
    code = (
        "import sys, io; from registry_push.cli.render import *; from registry_push.cli.render import tables\n"
        "assert not {'rich', 'asyncio', 'aiohttp', 'click'} & sys.modules.keys()\n"
        "with renderer(Kind.BARS, io.StringIO(), io.StringIO()): assert 'rich' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tables() -> None:
    rows = [tables.ModelRow("me/tiny:latest", MANIFEST, 1_930_000_000, 0.0), tables.ModelRow("a:b", MANIFEST, 5)]
    assert tables.list_lines(rows, now=3 * 86400) == [
        "NAME              ID                 SIZE    MODIFIED",
        f"me/tiny:latest    {MANIFEST.short}    1.93 GB    3 days ago",
        f"a:b               {MANIFEST.short}        5 B    -",
    ]
    blobs = [tables.BlobRow(blob(n, 10**6, "tensor"), "missing" if n == 7 else "present") for n in range(2000)]
    view = tables.ModelView("me/big:latest", MANIFEST, "a/b", 2 * GB, blobs)
    assert tables.inspect_lines(view)[3:] == [
        "size    2.00 GB in 2,000 blobs",
        "",
        "KIND      BLOBS       SIZE    STATE",
        "tensor    2,000    2.00 GB    1,999 present, 1 missing",
    ]
    every = tables.inspect_lines(view, verbose=True)
    assert len(every) == 6 + 2000 and every[6 + 7].endswith("missing") and str(blobs[7].blob.digest) in every[6 + 7]
    key = tables.KeyView("/k", "ssh-ed25519 AAAA", "SHA256:x", 0o600)
    assert tables.key_lines(key)[1] == "mode         0600"
