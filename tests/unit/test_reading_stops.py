"""A stop ends a wait for content that does not come, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from registry_push.errors import Interrupted
from registry_push.registry.questions import Questions
from tests.faults.clock import run


async def waited(questions: Questions, seconds: float) -> None:
    with questions.reading():
        await asyncio.sleep(seconds)


def test_what_does_not_come_is_waited_for_a_moment_only() -> None:
    async def work() -> float:
        questions, loop = Questions(), asyncio.get_running_loop()
        reading = asyncio.create_task(waited(questions, 60.0))
        await asyncio.sleep(10.0)
        questions.stop()
        began = loop.time()
        with pytest.raises(Interrupted):
            await reading
        with pytest.raises(Interrupted):  # one that begins after the stop
            await waited(questions, 60.0)
        return loop.time() - began

    assert run(work()) < 5.0


def test_what_comes_is_taken() -> None:
    async def work() -> None:
        questions = Questions()
        reading = asyncio.create_task(waited(questions, 10.0))
        await asyncio.sleep(9.5)
        questions.stop()
        await reading
        await waited(questions, 0.5)
        task = asyncio.current_task()
        assert task is not None and not task.cancelling()
        await asyncio.sleep(10.0)  # no timer is left

    run(work())


def test_a_cancellation_is_no_stop() -> None:
    async def work() -> None:
        questions = Questions()
        reading = asyncio.create_task(waited(questions, 60.0))
        await asyncio.sleep(1.0)
        questions.stop()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    run(work())
