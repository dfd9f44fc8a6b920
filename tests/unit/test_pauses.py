"""What ends a pause: time, or being told to stop."""

from __future__ import annotations

import asyncio

import pytest

from registry_push.errors import Interrupted, Unavailable
from registry_push.events import Event, Retrying
from registry_push.http.transport import Transport
from registry_push.pauses import Pauses, unless_stopped
from registry_push.settings import Settings
from registry_push.state.locks import Held
from tests.support.scripted import NOWHERE, Says, Scripted


async def for_ever(_: float = 0.0) -> None:
    await asyncio.Event().wait()


async def test_a_pause_ends_by_itself() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    for stop in (None, asyncio.Event()):
        await Pauses(1, 60, sleep=sleep).rest(17.0, stop)
    assert slept == [17.0, 17.0]


@pytest.mark.parametrize("is_early", [True, False])
async def test_being_told_to_stop_ends_a_pause(is_early: bool) -> None:
    stop = asyncio.Event()
    if is_early:
        stop.set()
    resting = asyncio.create_task(Pauses(1, 60, sleep=for_ever).rest(300.0, stop))
    await asyncio.sleep(0)
    stop.set()
    with pytest.raises(Interrupted, match="a pause of 300 s"):
        await resting


async def test_a_pause_that_is_cancelled_leaves_nothing_behind() -> None:
    resting = asyncio.create_task(Pauses(1, 60, sleep=for_ever).rest(300.0, asyncio.Event()))
    await asyncio.sleep(0)
    resting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await resting
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_is_waited_for_may_fail() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await unless_stopped(fail(), asyncio.Event(), "stopped")


async def test_a_retry_after_of_minutes_is_not_waited_for_when_told_to_stop() -> None:
    stop = asyncio.Event()

    def sink(event: Event) -> None:
        if isinstance(event, Retrying):
            stop.set()

    settings = Settings(home=NOWHERE, retries=5)
    async with Scripted() as server, Transport(settings, sink=sink, sleep=for_ever) as transport:
        server.on("GET", "/v2/", Says(429, (("Retry-After", "300"),)))
        with pytest.raises(Interrupted):
            await transport.request("GET", f"{server.origin}/v2/", {}, stop=stop)
        assert len(server.seen) == 1


async def test_waiting_for_another_push_ends_when_told_to_stop() -> None:
    stop = asyncio.Event()
    async with Held(7, None, lambda: None):
        with pytest.raises(Interrupted, match="another push"):
            async with Held(7, None, stop.set, stop):
                raise AssertionError("it is held")
    async with Held(7, None, lambda: None):
        """It is free again."""


async def test_a_pause_that_outlasts_the_time_for_trouble_is_none() -> None:
    settings = Settings(home=NOWHERE, retries=5, retry_for=10)
    async with Scripted() as server, Transport(settings, sleep=for_ever) as transport:
        server.on("GET", "/v2/", Says(429, (("Retry-After", "60"),)))
        with pytest.raises(Unavailable, match="429"):
            await transport.request("GET", f"{server.origin}/v2/", {})
