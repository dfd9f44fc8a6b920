"""The plain lines, the JSON lines, which of them is chosen, and the tables."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from typing import Any
from unittest.mock import ANY

import pytest

from registry_push.cli.render import COPY, PULL, PUSH, Kind, Renderer, Verb, choose, renderer, tables, words
from registry_push.cli.render.line_writer import BACKLOG
from registry_push.errors import Denied
from registry_push.events import (
    BlobDone,
    BlobProgress,
    BlobRewound,
    BlobStarted,
    BlobWaiting,
    HTTPAnswer,
    ModelDone,
    ModelFailed,
    ModelStarted,
    Placement,
    Retrying,
    RunStarted,
    Warned,
)
from tests.support.pushes import GB, MANIFEST, REPO, TARGET, Clock, begin, blob, finish, move

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


@pytest.mark.attack("S15")
@pytest.mark.parametrize("sent", [0, GB // 2, GB])
def test_no_line_says_that_all_of_it_is_there_when_it_failed(sent: int) -> None:
    sink, clock, err, _ = shown(Kind.PLAIN)
    big = blob("big", GB)
    with sink:
        sink(Warned("first"))
        clock.now += 400
        sink(Warned("long before it is known what there is to do"))
        begin(sink, big)
        sink(BlobStarted(REPO, big, 0))
        clock.now += 20
        sink(BlobProgress(REPO, big.digest, sent, big.size))
        if sent == GB:
            sink(BlobDone(REPO, big, Placement.UPLOADED, GB))
        clock.now += 400
        sink(ModelFailed("me/big:latest", TARGET, Denied("no")))
        clock.now += 400
        sink(Warned("after it"))
    assert "%" in err.getvalue() and "100%" not in err.getvalue()


@pytest.mark.parametrize("before", [0, 1], ids=["alone", "after one that went well"])
def test_no_stray_summary_follows_an_error(before: int) -> None:
    sink, clock, err, _ = shown(Kind.PLAIN)
    small = blob("small", 148)
    with sink:
        for _ in range(before):  # as `resume` has several runs
            begin(sink, small)
            finish(sink, small.size)
        begin(sink, small)
        sink(BlobStarted(REPO, small, 0))
        clock.now += 400
        sink(BlobDone(REPO, small, Placement.UPLOADED, 148))
        clock.now += 400
        failure = Denied("no")
        sink(ModelFailed("me/big:latest", TARGET, failure))
        clock.now += 400
        sink(HTTPAnswer(1, 403, {}, None, 1.0))
        sink.error(failure)
    last = err.getvalue().splitlines()
    assert last[-2:] == words.error(failure, model="me/big:latest")


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
    assert lines[-1] == {"event": "result", "time": ANY, "digest": str(MANIFEST), "elapsed": 1.547}
    assert err.getvalue() == ""


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


def test_waiting_for_another_push_is_one_line_and_none_when_quiet() -> None:
    for kind, lines in ((Kind.PLAIN, 1), (Kind.QUIET, 0)):
        sink, clock, err, _ = shown(kind)
        with sink:
            begin(sink, blob("big", GB), blob("other", 5))
            for name in ("big", "other"):
                sink(BlobWaiting(REPO, blob(name, GB)))
            clock.now += 3600
            sink(BlobWaiting(REPO, blob("third", 5)))
        said = err.getvalue().splitlines()
        assert len([line for line in said if line.startswith("waiting for another push")]) == lines
        assert not any("left" in line for line in said)
        assert any("  waiting" in line for line in said) is bool(lines)


@pytest.mark.parametrize(
    ("verb", "lines"),
    [
        (PUSH, ["pushing me/big", "another push, which is sending", "500 B are sent again", "pushed:", "1 uploaded"]),
        (PULL, ["pulling me/big", "another pull, which is fetching", "500 B are fetched again", "pulled:", "1 pulled"]),
        (COPY, ["copying me/big", "another copy, which is copying", "500 B are copied again", "copied:", "1 copied"]),
    ],
    ids=["push", "pull", "copy"],
)
def test_each_command_has_its_own_verb(verb: Verb, lines: list[str]) -> None:
    sink, _, err, out = shown(Kind.PLAIN, verb=verb)
    one = blob("one", 1000)
    with sink:
        begin(sink, one)
        sink(BlobWaiting(REPO, one))
        sink(BlobStarted(REPO, one, 1000))
        sink(BlobRewound(REPO, one.digest, 500, 1000, "the line broke", 500))
        finish(sink, 500)
    said = err.getvalue() + out.getvalue()
    assert [line for line in lines if line not in said] == []
    for other in {PUSH, PULL, COPY} - {verb}:
        assert other.doing not in said and other.done not in said


@pytest.mark.parametrize(("verb", "said"), [(PUSH, "send"), (PULL, "fetch"), (COPY, "copy")])
def test_a_dry_run_says_what_would_be_done(verb: Verb, said: str) -> None:
    sink, _, _, out = shown(Kind.PLAIN, verb=verb)
    with sink:
        sink(RunStarted(1, 1, GB, dry_run=True))
        sink(ModelStarted("me/big:latest", TARGET, 1, GB, dry_run=True))
        sink(ModelDone("me/big:latest", TARGET, MANIFEST, 1, 0, 0, GB, dry_run=True))
    assert f"would {said} at most 1 blob" in out.getvalue()
    assert verb.done not in out.getvalue()
