"""One registry that hangs, and one client that asks much, keep nobody else waiting."""

from __future__ import annotations

import asyncio
import functools
import json
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import ParamSpec

import aiohttp
import pytest

from registry_push.daemon.application import Patience
from registry_push.daemon.bounds import Bounds
from registry_push.embedded import EmbeddedRegistry
from tests.support.service import Running, Served, over, running, sample

pytestmark = pytest.mark.attack("S11")

Connect = Callable[[bytes], Awaitable[asyncio.StreamReader]]
P = ParamSpec("P")


def ends(test: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """Has `test` fail after a minute: what starves waits for ever."""

    @functools.wraps(test)
    async def bounded(*arguments: P.args, **named: P.kwargs) -> None:
        async with asyncio.timeout(60):
            await test(*arguments, **named)

    return bounded


NARROW = Bounds(connections=4, per_registry=2, pushes=10, pushes_per_registry=5, clients=14)


class Hanging:
    """A registry that accepts connections, and never answers. `came` is set when `wanted` have come."""

    def __init__(self, wanted: int = 1) -> None:
        self.came = asyncio.Event()
        self._left = wanted
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Hanging:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self._left -= 1
        if self._left == 0:
            self.came.set()
        with suppress(OSError):
            while await reader.read(4096):
                pass

    @property
    def host(self) -> str:
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def pushing(service: Served, models: list[str]) -> AsyncIterator[list[asyncio.Task[object]]]:
    """Clients that push these and wait, until the end of this."""
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(service.push(model, stream=False)) for model in models]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def under_way(service: Served, pushes: int) -> None:
    """Returns when so many pushes are under way."""
    while f"registry_push_pushes_under_way {float(pushes)}" not in service.hub.metrics.text().decode():
        await asyncio.sleep(0)


async def waiting_clients(service: Served, clients: int) -> None:
    """Returns when so many clients wait."""
    while not any(f"clients {float(clients)}" in line for line in service.hub.metrics.text().decode().splitlines()):
        await asyncio.sleep(0)


@ends
async def test_a_registry_that_hangs_delays_no_push_to_another(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    well = sample(tmp_path, embedded.host)
    async with Hanging(wanted=NARROW.per_registry) as hanging:
        models = [sample(tmp_path, hanging.host, name=f"me/m{number}") for number in range(5)]
        async with over(tmp_path, bounds=NARROW) as service, pushing(service, models) as waiting:
            await hanging.came.wait()
            await under_way(service, len(models))
            assert await service.push(well, stream=False) == (200, [{"status": "success"}])
            assert not any(task.done() for task in waiting)


@ends
async def test_pushes_beyond_the_bounds_are_503_at_once_and_joined_ones_are_not(
    embedded: EmbeddedRegistry, tmp_path: Path
) -> None:
    well = sample(tmp_path, embedded.host)
    async with Hanging() as one, Hanging() as other:
        models = [sample(tmp_path, one.host, name=f"me/m{number}") for number in range(6)]
        others = [sample(tmp_path, other.host, name=f"me/m{number}") for number in range(4)]
        async with over(tmp_path, bounds=NARROW) as service, pushing(service, models[:5]) as waiting:
            await under_way(service, 5)
            url, body = f"{service.url}/api/push", {"model": models[5]}
            for stream in (True, False):
                async with service.session.post(url, json={**body, "stream": stream}) as answer:
                    assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
                    error = (await answer.json())["error"]
                    assert one.host in error and "5 pushes" in error and "--" not in error
            async with service.session.post(url, json={"model": models[0]}) as joined:
                assert joined.status == 200, "who waits for one that is under way takes no place"
            assert await service.push(well, stream=False) == (200, [{"status": "success"}])
            async with pushing(service, others[:3]):
                await under_way(service, 8)
                status, (answer_,) = await service.push(others[3], stream=False)
                assert status == 503 and "3 pushes" in answer_["error"], "there are two for all others"
                assert (await service.push(well, stream=False))[0] == 200
            assert not any(task.done() for task in waiting)


@ends
async def test_places_are_free_again_when_clients_have_left(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    well = sample(tmp_path, embedded.host)
    async with Hanging() as hanging:
        models = [sample(tmp_path, hanging.host, name=f"me/m{number}") for number in range(9)]
        bounds = Bounds(connections=4, per_registry=2, pushes=16, pushes_per_registry=8)
        async with over(tmp_path, bounds=bounds) as service:
            async with pushing(service, models[:8]):
                await under_way(service, 8)
                assert (await service.push(models[8]))[0] == 503
            await under_way(service, 0)
            async with pushing(service, models[8:]):
                await under_way(service, 1)
            assert (await service.push(well))[0] == 200


@ends
async def test_registries_that_hang_leave_room_for_another(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    """As many of each as may be, one registry after the other: 24, 12, 6 … of 48."""
    well = sample(tmp_path, embedded.host)
    bounds, under = Bounds(pushes=48, pushes_per_registry=48, clients=2000), 0
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(over(tmp_path, bounds=bounds))
        for expected in (24, 12, 6, 3, 2):
            hanging = await stack.enter_async_context(Hanging())
            models = [
                sample(tmp_path, hanging.host, name=f"me/m{number}", weights=100) for number in range(expected + 1)
            ]
            for model in models[:expected]:
                await stack.enter_async_context(pushing(service, [model]))
                under += 1
                await under_way(service, under)
            status, (answer,) = await service.push(models[-1], stream=False)
            assert status == 503 and f"{expected} pushes to {hanging.host}" in answer["error"]
        assert await service.push(well, stream=False) == (200, [{"status": "success"}])


@ends
async def test_clients_of_one_push_leave_room_for_others(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    well = sample(tmp_path, embedded.host)
    async with Hanging() as hanging:
        same, *others = [sample(tmp_path, hanging.host, name=f"me/m{number}", weights=100) for number in range(5)]
        bounds = Bounds(connections=4, clients=16, clients_per_push=4)
        async with over(tmp_path, bounds=bounds) as service, pushing(service, [same] * 4):
            await waiting_clients(service, 4)
            async with service.session.post(f"{service.url}/api/push", json={"model": same}) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
                assert "4 clients wait for this push" in (await answer.json())["error"]
            async with pushing(service, [others[0]] * 4):
                await waiting_clients(service, 8)
                status, (told,) = await service.push(others[1], stream=False)
                assert status == 503 and f"8 clients wait for pushes to {hanging.host}" in told["error"]
                assert await service.push(well, stream=False) == (200, [{"status": "success"}])
                assert await health(service) == 200


# ── clients ───────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def connected(service: Served) -> AsyncIterator[Connect]:
    """Opens connections by hand, and closes them at the end of this."""
    writers = []

    async def connect(sent: bytes) -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writers.append(writer)
        writer.write(sent)
        return reader

    try:
        yield connect
    finally:
        for writer in writers:
            writer.close()


async def health(service: Served) -> int:
    headers = {"Connection": "close"}
    async with aiohttp.ClientSession() as session, session.get(f"{service.url}/healthz", headers=headers) as answer:
        return answer.status


@pytest.mark.parametrize("sent", [b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"])
@ends
async def test_idle_clients_make_room_the_oldest_first(tmp_path: Path, sent: bytes) -> None:
    """Those that never send a request, and those that keep their connection after one."""
    bounds, patience = Bounds(connections=4, clients=3), Patience(idle=3600)
    async with over(tmp_path, bounds=bounds, patience=patience) as service, connected(service) as connect:
        readers = []
        for _ in range(6):
            readers.append(await connect(sent))
            if sent.endswith(b"\r\n\r\n"):
                await readers[-1].readuntil(b"ok")
            assert await health(service) == 200
        for reader in readers[:3]:
            await reader.read()  # ends, where a connection that is kept would not
        assert not readers[-1].at_eof()


@ends
async def test_where_all_work_who_comes_is_503_with_retry_after(tmp_path: Path) -> None:
    async with Hanging() as one, Hanging() as two, Hanging() as three:
        models = [sample(tmp_path, hanging.host, name="me/m") for hanging in (one, two, three)]
        bounds = Bounds(connections=4, clients=3)
        async with over(tmp_path, bounds=bounds) as service, connected(service) as connect:
            async with pushing(service, models):
                await waiting_clients(service, 3)
                reader = await connect(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 10\r\n" in head
                assert list(json.loads(body)) == ["error"]
            await under_way(service, 0)
            assert await health(service) == 200


# ── out of files ──────────────────────────────────────────────────────────────────────────────────


async def said(service: Running, words: str) -> None:
    while not any(words in line for line in service.log):
        await asyncio.sleep(0.01)


@ends
async def test_out_of_files_is_one_line_in_the_log_and_passes(tmp_path: Path) -> None:
    async with running(home=tmp_path) as service:
        pid = service.process.pid
        few = len(list(Path(f"/proc/{pid}/fd").iterdir())) + 3
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        clients = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(20)]
        await said(service, "no client can be let in")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        async with aiohttp.ClientSession() as session, session.get(f"{service.url}/") as answer:
            assert answer.status == 200
        for _, writer in clients:
            writer.close()
    assert sum("let in" in line for line in service.log) == 1 and len(service.log) < 6, service.log
