"""Slots: shared fairly, none lost."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack

import pytest

from registry_push.registry.limits import Limits, RunSlots, Slots

LARGE = 1 << 40


class Body:
    """A body that holds its slot until it is told to end."""

    def __init__(self, limits: Limits, size: int = LARGE) -> None:
        self._limits, self._size = limits, size
        self.moves = False
        self._end = asyncio.Event()
        self.task = asyncio.create_task(self._move())

    async def _move(self) -> None:
        async with self._limits.body(self._size):
            self.moves = True
            await self._end.wait()
            self.moves = False

    async def end(self) -> None:
        self._end.set()
        await self.task


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def sending(run: RunSlots, origin: str = "https://registry") -> Limits:
    """The slots of a run that has begun to upload to `origin`."""
    limits = run.at(origin)
    limits.counts = True
    return limits


async def moving(bodies: list[Body]) -> int:
    await settled()
    return sum(body.moves for body in bodies)


async def end_all(bodies: list[Body]) -> None:
    for body in bodies:
        await body.end()


async def test_who_has_a_slot_is_under_way() -> None:
    limits = Limits(3)
    bodies = [Body(limits) for _ in range(5)] + [Body(limits, 1)]
    assert await moving(bodies) == limits.under_way == 4
    await end_all(bodies)
    assert limits.under_way == 0


async def test_one_run_has_all_slots_and_small_bodies_their_own() -> None:
    with Slots(4).run() as run:
        limits = sending(run)
        large = [Body(limits) for _ in range(6)]
        small = [Body(limits, 10) for _ in range(6)]
        assert (await moving(large), await moving(small)) == (4, 4)
        await large[0].end()
        assert await moving(large) == 4
        await end_all(large + small)


async def test_a_run_that_comes_later_begins_at_once_and_shares() -> None:
    slots = Slots(4)
    with slots.run() as run, ExitStack() as later:
        first = sending(run)
        old = [Body(first) for _ in range(8)]
        assert await moving(old) == 4
        new = [Body(sending(later.enter_context(slots.run()))) for _ in range(1)]
        assert await moving(new) == 1, "who sends for hours does not hold up the next"
        for body in old[:3]:
            await body.end()
        assert await moving(old) == 2, "and gets half when two share"
        await end_all(new)
        later.close()
        assert await moving(old) == 4, "when the other has gone, all are its own again"
        await end_all(old)


async def test_a_hundred_runs_have_one_each() -> None:
    slots = Slots(8)
    with ExitStack() as runs:
        bodies = [
            Body(limits) for limits in [sending(runs.enter_context(slots.run())) for _ in range(100)] for _ in range(3)
        ]
        assert await moving(bodies) == 100
        await end_all(bodies)


@pytest.mark.parametrize("let_in_first", [False, True])
async def test_a_waiter_that_is_cancelled_loses_no_slot(let_in_first: bool) -> None:
    with Slots(1).run() as run:
        limits = sending(run)
        holder, waiter, next_one = Body(limits), Body(limits), Body(limits)
        await settled()
        if let_in_first:
            holder._end.set()
            while not holder.task.done():
                await asyncio.sleep(0)
        waiter.task.cancel()
        await settled()
        if not let_in_first:
            await holder.end()
        assert await moving([next_one]) == 1
        await next_one.end()
        async with AsyncExitStack() as stack:  # and the only slot is free again
            await stack.enter_async_context(limits.body(LARGE))


@pytest.mark.attack("S11")
async def test_runs_that_a_registry_keeps_waiting_take_no_part() -> None:
    """Fifty pushes to a registry that hangs before their first upload leave the slots to others."""
    slots = Slots(4)
    with ExitStack() as hung:
        waiting = [hung.enter_context(slots.run()).at("https://hung") for _ in range(50)]
        with slots.run() as run:
            limits = sending(run)
            bodies = [Body(limits) for _ in range(6)]
            assert await moving(bodies) == 4
            waiting[0].counts = True
            for body in bodies[:3]:
                await body.end()
            assert await moving(bodies) == 2, "half of them when another sends too"
            await end_all(bodies)


async def test_a_registry_that_turns_bodies_away_slows_no_other() -> None:
    with Slots(8).run() as run:
        busy, well = sending(run, "https://busy"), sending(run, "https://well")
        for _ in range(4):
            busy.answered(well=False)
        bodies = [[Body(limits) for _ in range(8)] for limits in (busy, well)]
        assert (await moving(bodies[0]) < 8, await moving(bodies[1])) == (True, 8)
        await end_all(bodies[0] + bodies[1])
