"""Requests that a registry does not want yet: who waits, for what, and what ends the waiting."""

from __future__ import annotations

import asyncio

import pytest

from registry_push.errors import Interrupted, RateLimited
from registry_push.events import Event, Retrying, Warned, ignore
from registry_push.model import HTTPOrigin
from registry_push.pauses import Pauses
from registry_push.protocol.request_kind import RequestKind
from registry_push.protocol.response import RegistryResponse
from registry_push.registry.client import Client
from registry_push.registry.gate import Gate
from registry_push.registry.rates import Rates
from tests.support.scripted import Clock, Says, Scripted, opened

ORIGIN = HTTPOrigin.of("https://registry.test")
PULL = ("repository:a/b:pull",)
MANIFEST, BLOB = "/v2/a/b/manifests/latest", "/v2/a/b/blobs/sha256:00"
BUSY = Says(429, (("Retry-After", "60"),))


class Night:
    """Pauses that last until `morning` is called."""

    def __init__(self) -> None:
        self.sleeping: list[asyncio.Future[None]] = []

    async def sleep(self, _: float) -> None:
        self.sleeping.append(asyncio.get_running_loop().create_future())
        await self.sleeping[-1]

    def morning(self) -> None:
        for each in self.sleeping:
            if not each.done():
                each.set_result(None)
        self.sleeping.clear()


def gate_of(night: Night, *, stop: asyncio.Event | None = None) -> Gate:
    pauses = Pauses(5, 300.0, sleep=night.sleep)
    return Gate(ORIGIN, RequestKind.MANIFEST, pauses, sink=ignore, stop=stop)


def answer(status: int, retry_after: float | None = None) -> RegistryResponse:
    return RegistryResponse(status, f"{ORIGIN}{MANIFEST}", retry_after=retry_after)


async def settle() -> None:
    """Lets every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def held(gate: Gate, count: int) -> list[asyncio.Task[int]]:
    """Has one request turned away, and returns others that wait."""
    assert gate.leave(await gate.enter(), answer(429, 60.0))
    waiting = [asyncio.create_task(gate.enter()) for _ in range(count)]
    await settle()
    return waiting


async def test_after_a_pause_one_goes_first_and_its_answer_lets_in_the_next_ones() -> None:
    night = Night()
    gate = gate_of(night)
    waiting = await held(gate, 3)
    assert not any(each.done() for each in waiting)
    night.morning()
    await settle()
    (first,) = [each for each in waiting if each.done()]
    gate.leave(first.result(), answer(200))
    await settle()
    assert sum(each.done() for each in waiting) == 2  # the window is one wide


async def test_who_is_cancelled_in_a_pause_or_in_the_queue_holds_up_nobody() -> None:
    night = Night()
    gate = gate_of(night)
    waiting = await held(gate, 5)
    waiting.pop(0).cancel()
    await settle()
    night.morning()
    await settle()
    (first,) = [each for each in waiting if each.done()]
    waiting.remove(first)
    waiting.pop(0).cancel()  # in the queue
    gate.leave(first.result(), None)  # its connection broke
    await settle()
    (second,) = [each for each in waiting if each.done()]
    waiting.remove(second)
    gate.leave(second.result(), answer(200))
    waiting[0].cancel()  # admitted, but not told yet
    await settle()
    assert gate.window.under_way == 0


async def test_the_first_in_the_queue_waits_for_all_when_a_new_pause_begins() -> None:
    night = Night()
    gate = gate_of(night)
    waiting = await held(gate, 3)
    night.morning()
    await settle()
    (first,) = [each for each in waiting if each.done()]
    waiting.remove(first)
    assert gate.leave(first.result(), answer(429, 60.0))  # and it goes away
    await settle()
    night.morning()
    await settle()
    assert sum(each.done() for each in waiting) == 1


async def test_a_stop_ends_the_pause_and_the_queue() -> None:
    night, stop = Night(), asyncio.Event()
    gate = gate_of(night, stop=stop)
    waiting = await held(gate, 3)
    night.morning()
    await settle()
    waiting += [asyncio.create_task(gate.enter())]
    await settle()
    stop.set()
    gate.stop()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(isinstance(end, Interrupted) for end in ends) == 3


async def test_a_login_that_is_asked_for_shows_nothing_about_the_limit() -> None:
    night = Night()
    gate = gate_of(night)
    waiting = await held(gate, 2)
    night.morning()
    await settle()
    (first,) = [each for each in waiting if each.done()]
    gate.leave(first.result(), answer(401))
    await settle()
    assert gate.window.under_way == 1  # still one at a time


async def test_refusals_of_a_blob_cost_its_reader_no_tries() -> None:
    clock, events = Clock(), list[Event]()
    async with Scripted() as server, opened(server.origin, retries=1, clock=clock, sink=events.append) as client:
        server.on("GET", BLOB, BUSY, BUSY, BUSY, Says(200, body=b"content"))
        async with client.stream(client.url(BLOB), PULL, {}) as (response, pieces):
            assert response.status == 200
            assert b"".join([piece async for piece in pieces]) == b"content"
        assert len(server.seen) == 4
        told = [event.what for event in events if isinstance(event, Retrying)]
        assert told == [f"reading blobs at {client.origin.netloc}"] * 3
    assert all(60 <= seconds < 92 for seconds in clock.slept)


async def test_a_registry_that_refuses_for_too_long_is_given_up() -> None:
    async with Scripted() as server, opened(server.origin, retries=5, retry_for=150) as client:
        server.on("GET", MANIFEST, BUSY)
        with pytest.raises(RateLimited, match="HTTP 429") as caught:
            await client.request("GET", client.url(MANIFEST), PULL)
        assert len(server.seen) == 3
        assert caught.value.exit_code == 6
        server.on("GET", BLOB, BUSY)
        with pytest.raises(RateLimited):
            async with client.stream(client.url(BLOB), PULL, {}):
                raise AssertionError("it is refused")


async def test_trouble_of_one_manifest_is_no_limit_for_all() -> None:
    clock = Clock()
    async with Scripted() as server, opened(server.origin, retries=2, clock=clock) as client:
        server.on("GET", MANIFEST, Says(200))
        await client.request("GET", client.url(MANIFEST), PULL)
        server.on("GET", MANIFEST, Says(503), Says(503), Says(200))
        assert (await client.request("GET", client.url(MANIFEST), PULL)).status == 200
        assert not [seconds for seconds in clock.slept if seconds > 5]
        assert client.rates._gate(RequestKind.MANIFEST).window.held_until is None  # type: ignore[union-attr]


def left(count: int, *more: tuple[str, str]) -> Says:
    """A manifest's answer that says how many more may be read."""
    return Says(200, (("ratelimit-remaining", f"{count};w=21600"), *more))


async def limited(client: Client, events: list[Event], least: int = 10) -> None:
    """Has the client leave `least` reads unused."""
    client.rates = Rates(client.origin, client.transport, sink=events.append, ratelimit_min=least)


async def test_reading_goes_on_when_a_head_says_that_more_is_allowed() -> None:
    clock, events = Clock(), list[Event]()
    async with Scripted() as server, opened(server.origin, retries=5, clock=clock) as client:
        await limited(client, events)
        server.on("GET", MANIFEST, left(11), left(10), left(99))
        server.on("HEAD", MANIFEST, left(10), left(10), left(100))
        for _ in range(3):
            await client.request("GET", client.url(MANIFEST), PULL)
        assert [seen.method for seen in server.seen] == ["GET", "GET", "HEAD", "HEAD", "HEAD", "GET"]
        assert clock.slept == [15, 30, 60]
    (told,) = events
    assert isinstance(told, Warned)
    assert told.message.endswith("as soon as it allows more, at 04:13 UTC on 15 November at the latest")


async def test_the_window_of_the_registry_is_the_longest_wait() -> None:
    clock = Clock()
    async with Scripted() as server, opened(server.origin, retries=5, clock=clock) as client:
        await limited(client, [])
        server.on("GET", MANIFEST, left(5))
        server.on("HEAD", MANIFEST, left(5))
        began = clock.time
        for _ in range(2):
            await client.request("GET", client.url(MANIFEST), PULL)
        assert clock.time - began == 21600
        assert max(clock.slept) == 300


async def test_a_registry_that_says_when_its_window_is_over_is_not_asked() -> None:
    clock, events = Clock(), list[Event]()
    async with Scripted() as server, opened(server.origin, retries=5, clock=clock) as client:
        await limited(client, events)
        server.on("GET", MANIFEST, left(5, ("RateLimit-Reset", "1234")))
        for _ in range(2):
            await client.request("GET", client.url(MANIFEST), PULL)
        assert [seen.method for seen in server.seen] == ["GET", "GET"]
        assert clock.slept == [1234]
    (told,) = events
    assert isinstance(told, Warned)
    assert told.message.endswith("reading goes on at 22:33 UTC on 14 November")


async def test_a_token_that_has_run_out_meanwhile_is_renewed_and_the_user_is_told_once() -> None:
    clock, events = Clock(), list[Event]()
    async with Scripted() as server, opened(server.origin, retries=5, clock=clock) as client:
        await limited(client, events)
        expired = Says(401, (("WWW-Authenticate", 'Basic realm="x"'),))
        server.on("GET", MANIFEST, left(5), expired, left(99))
        server.on("HEAD", MANIFEST, expired, left(100))
        await client.rates.request("GET", client.url(MANIFEST), {})
        assert (await client.rates.request("GET", client.url(MANIFEST), {})).status == 401  # for a new login
        assert (await client.rates.request("GET", client.url(MANIFEST), {})).status == 200
        assert [seen.method for seen in server.seen] == ["GET", "HEAD", "GET", "HEAD", "GET"]
    assert len(events) == 1


async def test_without_a_number_to_leave_nothing_is_left() -> None:
    async with Scripted() as server, opened(server.origin, retries=5) as client:
        server.on("GET", MANIFEST, left(0))
        for _ in range(2):
            await client.request("GET", client.url(MANIFEST), PULL)
        assert len(server.seen) == 2
