"""The limit that an embedded registry can have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import pytest
from msgspec.structs import replace

from registry_push.embedded import EmbeddedRegistry, Options, RateLimit

from ..support.registries import EmbeddedFactory

MANIFEST, TAGS, BLOB = "/v2/a/b/manifests/latest", "/v2/a/b/tags/list", f"/v2/a/b/blobs/sha256:{'0' * 64}"


@dataclass
class Asked:
    """A registry, its clock, and requests to it."""

    registry: EmbeddedRegistry
    session: aiohttp.ClientSession
    now: list[float]

    async def ask(self, path: str = MANIFEST, method: str = "GET") -> aiohttp.ClientResponse:
        async with self.session.request(method, self.registry.origin + path) as response:
            return response


Start = Callable[..., Awaitable[Asked]]


@pytest.fixture
async def start(embedded_with: EmbeddedFactory) -> AsyncIterator[Start]:
    async with aiohttp.ClientSession() as session:

        async def make(limit: RateLimit) -> Asked:
            now = [1000.0]
            told = replace(limit, clock=lambda: now[0])
            return Asked(await embedded_with(Options(rate_limit=told)), session, now)

        yield make


async def test_more_reads_than_it_allows_are_turned_away_until_the_window_is_over(start: Start) -> None:
    asked = await start(RateLimit(2, 60))
    assert [(await asked.ask()).status for _ in range(3)] == [404, 404, 429]
    asked.now[0] += 18.5
    assert (await asked.ask()).headers["Retry-After"] == "42"
    asked.now[0] += 41.5
    assert (await asked.ask()).status == 404
    assert [(window.began, window.taken, window.refused) for window in asked.registry.limit_windows] == [
        (1000.0, 2, [1000.0, 1018.5]),
        (1060.0, 1, []),
    ]


async def test_what_does_not_count_is_answered_in_any_case(start: Start) -> None:
    asked = await start(RateLimit(0))
    others = [(MANIFEST, "HEAD"), (TAGS, "GET"), (BLOB, "GET"), ("/v2/", "GET")]
    assert [(await asked.ask(path, method)).status for path, method in others] == [404, 404, 404, 200]
    assert not asked.registry.limit_windows


async def test_heads_and_lists_count_if_told_to(start: Start) -> None:
    asked = await start(RateLimit(0, heads=True, lists=True))
    assert [(await asked.ask(path, "HEAD")).status for path in (MANIFEST, TAGS, BLOB)] == [429, 429, 404]


async def test_it_need_not_say_how_long_to_wait(start: Start) -> None:
    asked = await start(RateLimit(0, retry_after=False))
    assert "Retry-After" not in (await asked.ask()).headers


async def test_it_says_what_is_left_if_told_to(start: Start) -> None:
    asked = await start(RateLimit(2, 60, headers=True, reset=True))
    assert (await asked.ask(method="HEAD")).headers["RateLimit-Remaining"] == "2;w=60"
    answers = [await asked.ask() for _ in range(3)]
    assert [each.headers["RateLimit-Remaining"] for each in answers] == ["1;w=60", "0;w=60", "0;w=60"]
    assert answers[0].headers["RateLimit-Limit"] == "2;w=60"
    asked.now[0] += 59
    assert (await asked.ask(method="HEAD")).headers["RateLimit-Reset"] == "1"
    asked.now[0] += 1
    assert (await asked.ask(method="HEAD")).headers["RateLimit-Remaining"] == "2;w=60"
    assert "RateLimit-Remaining" not in (await asked.ask(TAGS)).headers
