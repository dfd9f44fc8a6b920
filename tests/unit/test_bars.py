"""The bars on terminals of several sizes."""

from __future__ import annotations

import pytest

from registry_push.cli.render import PULL, words
from registry_push.cli.render.bars import Bars
from registry_push.errors import ConnectionLost, Denied
from registry_push.events import (
    BlobDone,
    BlobProgress,
    BlobRewound,
    BlobStarted,
    BlobWaiting,
    HTTPAnswer,
    HTTPRequest,
    ModelFailed,
    Placement,
    Retrying,
    Stopping,
    Warned,
)
from tests.support.pushes import GB, MANIFEST, REPO, TARGET, Screen, begin, blob, finish, move


def test_who_waits_for_another_push_shows_no_speed_and_no_time_left_and_says_so_once() -> None:
    screen, first, second = Screen(120, 24), blob("first", 40 * GB), blob("second", GB)
    with screen.bars as sink:
        begin(sink, first, second)
        sink(BlobStarted(REPO, second, 0))
        move(sink, screen.clock, second, 0, GB, rate=100e6, step=10**7)
        sink(BlobDone(REPO, second, Placement.UPLOADED, GB))
        sink(BlobWaiting(REPO, first))
        sink(BlobWaiting(REPO, blob("third", 5)))
        screen.clock.now += 60
        screen.bars.draw()
        text = screen.written()
        assert text.count("waiting for another push") == 1
        lines = screen.frame()
        total = next(line for line in lines if line.startswith("total"))
        assert "waiting" in total and "/s" not in total and "left" not in total
        assert any(line.startswith("2 sent by another push · 1/2 blobs") for line in lines)
        sink(BlobStarted(REPO, first, 0))
        assert not any(line.startswith("total") and "waiting" in line for line in screen.frame())


def test_who_waits_for_another_pull_is_told_so() -> None:
    screen, first = Screen(120, 24, verb=PULL), blob("first", 40 * GB)
    with screen.bars as sink:
        begin(sink, first)
        sink(BlobWaiting(REPO, first))
        screen.bars.draw()
        assert "waiting for another pull, which is fetching" in screen.written()
        assert any(line.startswith("1 fetched by another pull") for line in screen.frame())
        finish(sink, first.size)
        screen.bars.draw()
        assert "1 pulled" in screen.written()


def test_a_stop_says_what_is_waited_for_and_what_it_costs_not_to() -> None:
    assert words.stopping(Stopping(14_300_000, 140.0, 2_100_000, loses_uploads=False)) == [
        "stopping: 14.3 MB under way are left, about 2 min 20 s",
        "  → press Ctrl-C again to stop now, which costs 2.10 MB",
    ]
    assert words.stopping(Stopping(5, None, 2_100_000, loses_uploads=False, may_lose_uploads=True))[1] == (
        "  → press Ctrl-C again to stop now, which costs 2.10 MB, or all of these blobs: "
        "some registries forget an upload that is cut"
    )
    assert words.stopping(Stopping(5, None, 2_100_000, loses_uploads=True)) == [
        "stopping: 5 B under way are left",
        "  → press Ctrl-C again to stop now, which costs 2.10 MB: this registry forgets an upload that is cut",
    ]


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


def test_what_is_asked_and_answered_is_shown_with_debug_only() -> None:
    for debug in (False, True):
        screen = Screen(80, 24, debug=debug)
        with screen.bars as sink:
            sink(HTTPRequest(1, "PUT", "http://localhost:5000/" + "x" * 80, {"Authorization": "Basic …"}, 4))
            sink(HTTPAnswer(1, 403, {}, "no", 0.25))
        shown = screen.written()
        assert ("> 1 PUT http://localhost:5000/" + "x" * 80 in shown) == debug, "an address is left whole"
        assert ("< 1 403 in 0.250 s" in shown) == debug


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
            "1 min 30 s left · 1/2 blobs · 1 there already · 11 s elapsed",
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
        assert screen.frame()[2].startswith("checking what is already there")
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
        sink(BlobRewound(REPO, MANIFEST, 1_200_000_000, GB, "gone", 1))
        sink(BlobDone(REPO, blob("a", 12), Placement.MOUNTED, 0))
        sink(ModelFailed("me/big:latest", TARGET, error))
        lines = screen.frame()
        screen.bars.error(error)
        screen.bars.error(ConnectionLost("broke"))
    assert lines[:8] == [
        "warning: quota [bold]91 %",
        "  → tidy up",
        "retrying PATCH in 2.1 s: connection reset",
        f"blob {MANIFEST.short}: 1 B are sent again, from 1.20 GB on: gone",
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


@pytest.mark.attack("S15")
@pytest.mark.parametrize("sent", [0, 1, GB // 2, GB])
@pytest.mark.parametrize("models", [1, 2])
def test_what_failed_is_never_all_of_it(sent: int, models: int) -> None:
    screen = Screen(120, 24)
    big, there = blob("big", GB), blob("there", 1)
    with screen.bars as sink:
        assert "100%" not in "".join(screen.frame()), "nothing is known yet"
        begin(sink, big, there, models=models)
        sink(BlobDone(REPO, there, Placement.PRESENT, 0))
        sink(BlobStarted(REPO, big, 0))
        sink(BlobProgress(REPO, big.digest, sent, big.size))
        if sent == GB:  # all blobs are there, and the manifest is refused
            sink(BlobDone(REPO, big, Placement.UPLOADED, big.size))
            assert "100%" not in "".join(screen.frame())
        sink(ModelFailed("me/big:latest", TARGET, Denied("no")))
        screen.frame()  # what is to stay goes first
        frame = "".join(screen.frame())
        total = frame[frame.index("total") :]
    assert "%" in total and "100%" not in total
    assert "1 failed" in total or models == 1


@pytest.mark.attack("S15")
def test_what_is_done_is_all_of_it() -> None:
    screen = Screen(120, 24)
    big = blob("big", GB)
    with screen.bars as sink:
        begin(sink, big)
        sink(BlobDone(REPO, big, Placement.UPLOADED, big.size))
        finish(sink, big.size)
        screen.frame()
        assert "100%" in "".join(screen.frame())


def test_an_error_stands_below_the_results_and_they_below_what_was_said_before() -> None:
    screen = Screen(100, 24)
    screen.out = screen.file  # as on a terminal, which has both
    screen.bars = Bars(screen.console, screen.file, clock=screen.clock, every=None)
    with screen.bars as sink:
        sink(Warned("first"))
        screen.bars.error(Denied("last", hint="next"), ["the result"])
    said = [line for line in screen.written().split("\n") if line.strip()]
    assert said == ["warning: first", "the result", "error: last", "  → next"]
