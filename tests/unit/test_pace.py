"""Chunks that follow the line, bodies that starve, and what a cut shows of a registry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_push.protocol.cut_behaviour import CutBehaviour, after_cut
from registry_push.protocol.throughput import CHUNK_SECONDS, StallDetector, Throughput
from registry_push.protocol.upload.chunks import FIRST_CHUNK, SLOWEST_CHUNK, ChunkPlan, MiB

MB = 10**6


def pace_of(rate: float, round_trip: float = 0.001) -> Throughput:
    pace = Throughput()
    pace.asked(round_trip)
    pace.took(int(rate), 1.0 + round_trip)
    return pace


def test_nothing_is_known_before_the_first_body() -> None:
    pace = Throughput()
    pace.asked(0.05)
    pace.took(MiB // 2, 0.0001)  # less than the buffers on the way swallow
    assert pace.chunk(FIRST_CHUNK) is None


def test_a_chunk_takes_a_few_seconds_of_the_line() -> None:
    assert pace_of(10 * MB).chunk(1000 * MB) == 10 * MB * CHUNK_SECONDS


def test_the_round_trip_of_the_answer_is_none_of_the_lines_speed() -> None:
    pace = Throughput()
    pace.asked(0.1)
    pace.took(10 * MB, 0.6)
    assert pace.rate == pytest.approx(20 * MB)
    pace = Throughput()
    pace.asked(3.0)  # longer than the body: a registry that thinks, or a line that has become quicker
    pace.took(10 * MB, 1.0)
    assert pace.rate == 20 * MB


def test_round_trips_cost_at_most_two_percent() -> None:
    pace = pace_of(100 * MB, round_trip=0.2)
    chunk = pace.chunk(1000 * MB)
    assert chunk is not None and 0.2 / (chunk / (100 * MB)) == pytest.approx(0.02)


@pytest.mark.parametrize(("waits", "near"), [((), False), ((0.05,), False), ((0.05, 0.002), True)])
def test_who_has_answered_at_once_is_near(waits: tuple[float, ...], near: bool) -> None:
    pace = Throughput()
    for seconds in waits:
        pace.asked(seconds)
    assert pace.is_near is near


def test_the_shortest_round_trip_counts() -> None:
    pace = pace_of(10 * MB, round_trip=0.02)
    pace.asked(3.0)  # a registry that thinks
    assert pace.chunk(1000 * MB) == 10 * MB * CHUNK_SECONDS


def test_a_fast_line_makes_chunks_grow_by_steps_up_to_a_gigabyte() -> None:
    pace, sizes, last = pace_of(2000 * MB), [], FIRST_CHUNK
    for _ in range(5):
        last = pace.chunk(last) or 0
        sizes.append(last // MiB)
    assert sizes == [512, 1024, 1024, 1024, 1024]


def test_cuts_make_chunks_shorter_and_chunks_that_get_through_longer_again() -> None:
    pace = pace_of(10 * MB)
    for _ in range(2):
        pace.broke()
    assert pace.chunk(1000 * MB) == 10 * MB
    for _ in range(10):
        pace.broke()
    assert pace.chunk(1000 * MB) == 2.5 * MB
    for _ in range(20):
        pace.took(10 * MB, 1.0 + 0.001)
    assert pace.chunk(1000 * MB) == 10 * MB * CHUNK_SECONDS


@given(st.integers(0, 10**12), st.one_of(st.none(), st.integers(SLOWEST_CHUNK, 10**9)))
def test_a_paced_plan_keeps_to_round_sizes_and_to_the_hosts_limit(chunk: int, limit: int | None) -> None:
    plan = ChunkPlan.for_blob(10**12, limit=limit).paced(chunk)
    unit = MiB if chunk >= MiB else SLOWEST_CHUNK
    assert plan.chunk == limit or (plan.chunk % unit == 0 and plan.chunk >= SLOWEST_CHUNK)
    assert limit is None or plan.chunk <= limit


def test_the_users_wish_and_r2s_equal_parts_do_not_follow_the_line() -> None:
    assert ChunkPlan.for_blob(10**12, chunk=5 * MiB).paced(100 * MiB).chunk == 5 * MiB
    assert ChunkPlan.for_blob(10**11).bounded(5 * MiB, 100 * MiB).paced(50 * MiB).chunk == FIRST_CHUNK


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def starves(usual: Throughput, rates: list[float]) -> bool:
    """Whether a body is given up that moves at each of `rates` for ten seconds, watched by the minute."""
    clock, sent = Clock(), 0
    watch = StallDetector(usual, window=60.0, clock=clock)
    for rate in rates:
        for _ in range(10):
            clock.now += 1.0
            sent += int(rate)
            if watch.moved(sent):
                return True
    return False


def test_a_body_far_under_the_usual_rate_for_a_minute_starves() -> None:
    assert starves(pace_of(10 * MB), [0.4 * MB] * 7)
    assert not starves(pace_of(10 * MB), [0.6 * MB] * 30)


def test_a_pause_is_no_starving() -> None:
    assert not starves(pace_of(10 * MB), [10 * MB, 10 * MB, 0, 0, 0, 10 * MB] * 3)


def test_what_another_run_saw_of_the_line_condemns_no_body() -> None:
    assert not starves(Throughput(1000 * MB), [0.01 * MB] * 30)


def test_after_one_was_given_up_the_line_is_measured_anew() -> None:
    pace = pace_of(10 * MB)
    pace.starved()
    assert not starves(pace, [0.01 * MB] * 30)


@pytest.mark.parametrize(
    ("sent", "offset", "kept"),
    [
        (50 * MiB, 130 * MiB, CutBehaviour.EVERYTHING),
        (50 * MiB, 100 * MiB, CutBehaviour.ACKNOWLEDGED),
        (5 * MiB, 100 * MiB, None),  # it may all have been in buffers on the way
        (50 * MiB, 150 * MiB, None),  # all of it arrived: only the answer was lost
        (50 * MiB, 0, None),
        (50 * MiB, None, CutBehaviour.NOTHING),
        (0, None, None),  # the line broke before a byte went: the session was gone already
    ],
)
def test_what_a_cut_shows(sent: int, offset: int | None, kept: CutBehaviour | None) -> None:
    assert after_cut(sent, before=100 * MiB, offset=offset) == kept
