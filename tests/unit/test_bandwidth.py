"""Bytes keep to a rate, whoever sends them."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_push.protocol.bandwidth import Bandwidth
from tests.faults.clock import run


@given(st.lists(st.integers(1, 2_000_000), min_size=1, max_size=200), st.integers(10_000, 10**9))
def test_many_pieces_take_the_time_of_the_rate(pieces: list[int], rate: int) -> None:
    bandwidth, now = Bandwidth(rate), 50.0
    for piece in pieces:
        now += bandwidth.turn(piece, now)
    assert now - 50.0 == pytest.approx(sum(pieces[:-1]) / rate), "the last one goes when its turn comes"


def test_bodies_that_begin_together_wait_for_their_turns() -> None:
    bandwidth = Bandwidth(1_000_000)
    assert [bandwidth.turn(65_536, 7.0) for _ in range(3)] == pytest.approx([0.0, 0.065536, 0.131072])


def test_a_late_timer_is_made_up_for() -> None:
    bandwidth, now = Bandwidth(1_000_000), 0.0
    for _ in range(1000):
        now += bandwidth.turn(50_000, now) + 0.004  # asyncio's timers come a little late
    assert now == pytest.approx(50.0, rel=0.01)


def test_a_pause_is_no_credit() -> None:
    bandwidth = Bandwidth(1_000_000)
    bandwidth.turn(100_000, 0.0)
    assert bandwidth.turn(1_000_000, 3600.0) == 0.0
    assert bandwidth.turn(1, 3600.0) == pytest.approx(0.8)


def test_those_who_share_it_are_together_within_five_percent() -> None:
    async def main() -> float:
        bandwidth, loop = Bandwidth(2_000_000), asyncio.get_running_loop()

        async def sends(count: int) -> None:
            for _ in range(count):
                await asyncio.sleep(bandwidth.turn(bandwidth.slice, loop.time()))

        began = loop.time()
        await asyncio.gather(*(sends(50) for _ in range(8)))
        return 400 * bandwidth.slice / (loop.time() - began)

    assert run(main()) == pytest.approx(2_000_000, rel=0.05)
