"""Connections that are opened ahead of those who ask: at a registry that is far, once, and as many as are wanted."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from registry_push.content.hashing import Hasher
from registry_push.events import ignore
from registry_push.http.transport import Transport
from registry_push.model import Digest, HTTPOrigin
from registry_push.registry.host import Host
from registry_push.registry.repository import Repository
from registry_push.settings import Settings
from registry_push.transfer.copy import Copier
from tests.faults.clock import run
from tests.support.hosts import run_of
from tests.support.scripted import NOWHERE, Says, Scripted, opened

from .test_copy import BLOBS, CountingTarget, Source, model_of

FAR, NEAR = 0.05, 0.005


class PreparedTarget(CountingTarget):
    """Answers after `FAR` seconds, with `digest`; notes how many blobs it was told of, and how that ended."""

    def __init__(self, digest: Digest | None = None) -> None:
        super().__init__()
        self._digest = digest
        self.told: list[int] = []
        self.given_up = 0

    async def digest_of(self, ref: str) -> Digest | None:
        await asyncio.sleep(FAR)
        return self._digest

    def expect_blobs(self, count: int) -> None:
        self.told.append(count)

    async def prepare(self) -> None:
        assert self.told
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            self.given_up += 1
            raise


@pytest.mark.parametrize("digest", [None, model_of(1000).manifest.digest], ids=["absent", "present"])
def test_a_target_gets_ready_until_it_has_answered(digest: Digest | None) -> None:
    target = PreparedTarget(digest)

    async def copied() -> None:
        report = await Copier(lambda _: Source(), lambda _: target, ignore).copy([model_of(1000)])
        assert report.error is None

    run(copied())
    assert (target.told, target.given_up) == ([BLOBS + 1], 1)


class Warmed:
    """A host and its client that note how many connections were to be opened."""

    def __init__(self, jobs: int) -> None:
        self.client, self.jobs = self, jobs
        self.origin = HTTPOrigin.of("https://registry.example")
        self.wanted: list[int] = []

    async def warm(self, connections: int) -> None:
        self.wanted.append(connections)


@pytest.mark.parametrize(
    ("answers_after", "jobs", "blobs", "wanted"),
    [(FAR, 8, 100, [7]), (FAR, 1, 100, [0]), (FAR, 200, 101, [100]), (NEAR, 8, 100, [])],
    ids=["one for each body but the one that is there", "one job", "few blobs", "a registry that answers at once"],
)
def test_connections_for_the_bodies_at_a_far_registry(
    answers_after: float, jobs: int, blobs: int, wanted: list[int]
) -> None:
    warmed = Warmed(jobs)
    repository = Repository(cast(Host, warmed), "me/model", run_of(Settings(home=NOWHERE), Hasher()))

    async def prepared() -> None:
        repository.expect_blobs(blobs)
        preparing = asyncio.create_task(repository.prepare())
        await asyncio.sleep(answers_after)
        preparing.cancel()

    run(prepared())
    assert warmed.wanted == wanted


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
