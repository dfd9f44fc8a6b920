"""The numbers that people read, and the rates behind them. The clock is a number that tests move."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from registry_push.cli.render import units
from registry_push.cli.render.rates import RunState
from registry_push.errors import Denied
from registry_push.events import (
    BlobDone,
    BlobProgress,
    BlobRewound,
    BlobStarted,
    ModelFailed,
    ModelStarted,
    Placement,
    RunStarted,
    Sink,
)
from tests.support.pushes import GB, REPO, TARGET, Clock, begin, blob, move

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
    sink(BlobRewound(REPO, big.digest, GB, big.size, "session lost", GB))
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
