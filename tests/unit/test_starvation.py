"""Servers with one worker for each connection, as gunicorn's with two workers, and Pulp's: nothing waits for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from registry_push.content.hashing import Hasher
from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import write_sample_store
from registry_push.http.starvation import PATIENCE, Starvation, Waiting
from registry_push.registry.client import Client
from registry_push.registry.repository import Repository
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.faults.clock import run
from tests.support.hosts import repository_at
from tests.support.scripted import NOWHERE, Says, Scripted, opened

PULL = ("repository:a/b:pull",)
# Seconds, of a clock that jumps. Connections are kept for 45 s, answers awaited for 60.
SOON = 10 * PATIENCE


@asynccontextmanager
async def _workers(port: int, count: int) -> AsyncIterator[str]:
    """A relay to `port` that serves `count` connections at once, each until it ends; the others wait."""
    workers, tasks = asyncio.Semaphore(count), set[asyncio.Task[None]]()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        writer.transport.abort()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            async with workers:
                inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(pipe(reader, inner_writer), pipe(inner_reader, writer))
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            tasks.discard(task)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("count", [1, 2])
def test_connections_that_rest_are_closed_if_a_request_waits(count: int) -> None:
    async def main() -> None:
        async with (
            Scripted(otherwise=Says(200)) as server,
            _workers(server.port, count) as host,
            opened(f"http://{host}") as client,
        ):
            began = asyncio.get_running_loop().time()
            await client.transport.open_connections(client.url("/v2/"), 3)
            asked = [client.request("GET", client.url("/v2/x"), PULL) for _ in range(6)]
            assert {response.status for response in await asyncio.gather(*asked)} == {200}
            assert asyncio.get_running_loop().time() - began < SOON

    run(main())


@pytest.mark.parametrize("count", [1, 2])
def test_a_push_to_a_server_with_few_workers_waits_for_none_of_its_own_connections(tmp_path: Path, count: int) -> None:
    async def main() -> None:
        write_sample_store(tmp_path / "models", weights=9_000_000)
        async with (
            EmbeddedRegistry(tmp_path / "registry") as registry,
            _workers(int(registry.host.rpartition(":")[2]), count) as host,
        ):
            began = asyncio.get_running_loop().time()
            told = Settings(home=tmp_path, models=tmp_path / "models", jobs=4, retries=0)
            report = await push(["me/tiny"], to=f"{host}/x/", settings=told)
            assert report.error is None
            assert asyncio.get_running_loop().time() - began < SOON

    run(main())


def test_a_connection_that_is_being_opened_is_used_before_another_is() -> None:
    async def main() -> None:
        async with Scripted(otherwise=Says(200)) as server, opened(server.origin) as client:
            url = client.url("/v2/x")
            opening = asyncio.create_task(client.transport.open_connections(url, 3))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.gather(*[client.transport.send("GET", url, {}) for _ in range(3)])
            await opening
            assert server.connections == 3

    run(main())


# ── opened ahead ──────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def _repository(server: Scripted) -> AsyncIterator[tuple[Client, Repository]]:
    settings, hasher = Settings(home=NOWHERE, retries=0), Hasher()
    async with opened(server.origin) as client:
        yield client, repository_at(client, "a/b", settings, hasher)
    hasher.close()


async def test_none_is_opened_ahead_before_the_first_answer() -> None:
    async with Scripted() as server, _repository(server) as (client, repository):
        answers = asyncio.Event()
        server.on("HEAD", "/v2/a/b/manifests/x", Says(404, after=answers))
        asking = asyncio.create_task(repository.digest_of("x"))
        opening = asyncio.create_task(client.warm(3))
        while not server.seen:
            await asyncio.sleep(0)
        assert server.connections == 1
        answers.set()
        await asyncio.gather(asking, opening)
        await client.warm(3)  # once is enough
        await repository.digest_of("x")
        assert server.connections == 4


@pytest.mark.parametrize(
    "answer",
    [
        Says(404, (("Connection", "close"),)),
        Says(404, (("Connection", "Close, TE"),)),
        Says(raw=b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    ],
)
async def test_none_is_opened_ahead_if_the_answer_ends_its_connection(answer: Says) -> None:
    async with Scripted() as server, _repository(server) as (client, repository):
        server.on("HEAD", "/v2/a/b/manifests/x", answer)
        await repository.digest_of("x")
        await client.warm(3)
        assert server.connections == 1


# ── who waits ─────────────────────────────────────────────────────────────────────────────────────


class Host:
    """`resting` connections; those who wait at it."""

    def __init__(self, resting: int) -> None:
        self.resting = resting
        self.starvation = Starvation(self._free)

    def _free(self, _: Hashable) -> int:
        freed, self.resting = self.resting, 0
        return freed

    async def waits(self, seconds: float) -> Waiting:
        waiting = self.starvation.wait("host")
        await asyncio.sleep(seconds)
        return waiting


def test_who_is_answered_in_time_costs_no_connection() -> None:
    async def main() -> None:
        host = Host(2)
        (await host.waits(PATIENCE / 2)).end()
        await asyncio.sleep(PATIENCE * 2)
        assert host.resting == 2 and not host.starvation.claims("host")

    run(main())


def test_who_waits_long_has_those_that_rest_closed_or_the_next_one() -> None:
    async def main() -> None:
        host = Host(2)
        await host.waits(PATIENCE * 2)
        assert host.resting == 0 and not host.starvation.claims("host"), "there were some"
        await host.waits(PATIENCE * 2)
        assert not host.starvation.claims("elsewhere")
        assert host.starvation.claims("host") and not host.starvation.claims("host"), "one is enough"

    run(main())


def test_who_waits_no_more_claims_none() -> None:
    async def main() -> None:
        host = Host(0)
        (await host.waits(PATIENCE * 2)).end()
        assert not host.starvation.claims("host")

    run(main())
