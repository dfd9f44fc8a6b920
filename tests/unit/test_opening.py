"""Connections that are opened ahead of those who ask: at a registry that is far, once, and as many as are wanted."""

from __future__ import annotations

import asyncio

import pytest

from registry_push.events import ignore
from registry_push.http.transport import Transport
from registry_push.model import Digest, HTTPOrigin
from registry_push.settings import Settings
from registry_push.transfer.copy import Copier
from tests.faults.clock import run
from tests.support.scripted import Says, Scripted, opened

from .test_copy import BLOBS, CountingTarget, Source, model_of

FAR, NEAR = 0.05, 0.005


class OpeningTarget(CountingTarget):
    """Answers after `seconds`, with `digest`; notes how many connections were to be opened, and how that ended."""

    def __init__(self, seconds: float, digest: Digest | None = None) -> None:
        super().__init__(near=False)
        self._seconds, self._digest = seconds, digest
        self.wanted: list[int] = []
        self.given_up = 0

    async def digest_of(self, tag: str) -> Digest | None:
        await asyncio.sleep(self._seconds)
        return self._digest

    async def open_connections(self, count: int) -> None:
        self.wanted.append(count)
        try:
            await asyncio.sleep(self._seconds)
        except asyncio.CancelledError:
            self.given_up += 1
            raise


def copy(target: OpeningTarget, *, models: int = 1, jobs: int = 8) -> None:
    """Copies the same model so many times, at once."""

    async def copied() -> None:
        copier = Copier(Source(), lambda _: target, lambda _: HTTPOrigin.of("https://r.example"), ignore, jobs)
        report = await copier.copy([model_of(1000)] * models)
        assert report.error is None

    run(copied())


@pytest.mark.parametrize(("jobs", "wanted"), [(8, 7), (1, 0), (2 * BLOBS, BLOBS)])
def test_one_for_each_body_but_the_one_that_is_there(jobs: int, wanted: int) -> None:
    target = OpeningTarget(FAR)
    copy(target, jobs=jobs)
    assert target.wanted == [wanted]


def test_none_at_a_registry_that_answers_at_once() -> None:
    target = OpeningTarget(NEAR)
    copy(target)
    assert target.wanted == []


def test_once_in_a_run() -> None:
    target = OpeningTarget(FAR)
    copy(target, models=3)
    assert target.wanted == [7]


def test_what_is_not_open_yet_is_given_up_when_the_registry_has_answered() -> None:
    target = OpeningTarget(FAR, model_of(1000).manifest.digest)  # there is nothing to do
    copy(target)
    assert (target.wanted, target.given_up) == ([7], 1)


async def test_who_asks_next_finds_them() -> None:
    async with Scripted() as server, opened(server.origin) as client:
        url = client.url("/v2/")
        server.on("GET", "/v2/", Says(200))
        await client.transport.open_connections(url, 5)
        assert server.seen == []
        await asyncio.gather(*[client.transport.send("GET", url, {}) for _ in range(5)])
        assert (server.connections, len(server.seen)) == (5, 5)


async def test_none_where_connections_are_limited() -> None:
    async with Scripted() as server, Transport(Settings(), connections=4) as transport:
        await transport.open_connections(f"{server.origin}/v2/", 4)
        assert server.connections == 0


async def test_what_can_not_be_opened_is_nobodys_error() -> None:
    async with Scripted() as server, opened(server.origin.replace("http:", "https:")) as client:
        await client.transport.open_connections(client.url("/v2/"), 2)  # it speaks no TLS
        await client.transport.open_connections("http://registry.invalid/v2/", 1)
