"""A registry that allows so many reads of manifests a minute: what it turns away waits, once, and nobody else does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import web
from msgspec.structs import replace

from registry_push.embedded import EmbeddedRegistry, LimitWindow, Options, RateLimit
from registry_push.embedded.sample import LAYER_TYPE, Layer, config, write_model
from registry_push.errors import Interrupted, RateLimited, Unavailable
from registry_push.events import Event, Retrying, Warned
from registry_push.model import ModelName, Reference
from registry_push.registry.registries import Registries
from registry_push.registry.repository import Repository
from registry_push.settings import Settings
from registry_push.verbs.push import push

from .clock import run

READS = 450
AT_ONCE = 16
MINUTE = RateLimit(100, 60.0)
# The pauses that fit into a minute without Retry-After: after each one request asks whether the limit has passed.
PROBES = 6

Given = TypeVar("Given")


async def at_once(work: Iterable[Callable[[], Awaitable[Given]]], most: int = AT_ONCE) -> list[Given]:
    """Does all of it, `most` at a time."""
    slots = asyncio.Semaphore(most)

    async def each(one: Callable[[], Awaitable[Given]]) -> Given:
        async with slots:
            return await one()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each(one)) for one in work]
    return [task.result() for task in tasks]


async def filled(folder: Path, limit: RateLimit | None) -> EmbeddedRegistry:
    """A registry with one model."""
    write_model(folder / "models", ModelName.parse("me/tiny"), config(), [])
    async with EmbeddedRegistry(folder / "registry") as registry:
        settings = Settings(models=folder / "models", home=folder)
        report = await push(["me/tiny"], to=f"{registry.host}/", settings=settings)
        assert report.error is None
    return EmbeddedRegistry(folder / "registry", Options(rate_limit=limit))


def repository(registries: Registries, registry: EmbeddedRegistry) -> Repository:
    return registries.repository(Reference.parse(f"{registry.host}/me/tiny:latest"))


def refusals(windows: list[LimitWindow]) -> list[int]:
    return [len(window.refused) for window in windows]


@pytest.mark.parametrize("retry_after", [True, False])
@pytest.mark.parametrize("headers", [True, False])
def test_each_window_has_one_burst_of_refusals_and_other_hosts_go_on(
    tmp_path: Path, retry_after: bool, headers: bool
) -> None:
    events: list[Event] = []

    async def main() -> tuple[list[LimitWindow], float, float]:
        limit = replace(MINUTE, retry_after=retry_after, headers=headers)
        async with (
            await filled(tmp_path / "limited", limit) as limited,
            await filled(tmp_path / "free", None) as free,
            Registries(Settings(home=tmp_path), events.append) as registries,
        ):
            clock = asyncio.get_running_loop().time
            began = clock()

            async def read(registry: EmbeddedRegistry) -> float:
                source = repository(registries, registry)
                await at_once([lambda: source.resolve("latest")] * READS)
                return clock() - began

            slow, quick = await asyncio.gather(read(limited), read(free))
            return limited.limit_windows, slow, quick

    windows, slow, quick = run(main())
    assert sum(window.taken for window in windows) == READS
    assert quick < 30 < 240 <= slow < (330 if retry_after else 450)
    probes = 0 if retry_after else PROBES
    assert all(count <= AT_ONCE + probes for count in refusals(windows)), refusals(windows)
    assert len([event for event in events if isinstance(event, Retrying)]) <= len(windows) * (1 + probes)


def test_an_answered_request_gives_the_others_all_their_time_again(tmp_path: Path) -> None:
    async def main() -> int:
        async with (
            await filled(tmp_path, replace(MINUTE, requests=20)) as limited,
            Registries(Settings(home=tmp_path, retries=1, retry_for=90), lambda _: None) as registries,
        ):
            source = repository(registries, limited)
            return len(await at_once([lambda: source.resolve("latest")] * 200))

    assert run(main()) == 200


@pytest.mark.parametrize("retry_after", [True, False])
@pytest.mark.parametrize("taken", [0, 1])
def test_a_registry_that_takes_nothing_more_is_given_up_in_time(tmp_path: Path, retry_after: bool, taken: int) -> None:
    async def main() -> tuple[list[BaseException | object], float, int]:
        limit = RateLimit(taken, 60.0 if not taken else 3600.0, retry_after=retry_after)
        async with (
            await filled(tmp_path, limit) as limited,
            Registries(Settings(home=tmp_path, retry_for=200), lambda _: None) as registries,
        ):
            source, clock = repository(registries, limited), asyncio.get_running_loop().time
            for _ in range(taken):
                await source.resolve("latest")
            began = clock()
            ends = await asyncio.gather(*[source.resolve("latest") for _ in range(50)], return_exceptions=True)
            return list(ends), clock() - began, sum(refusals(limited.limit_windows))

    ends, seconds, asked = run(main())
    assert {type(end) for end in ends} == {RateLimited}
    assert all(isinstance(end, Unavailable) and end.exit_code == 6 for end in ends)
    assert seconds < 240
    # The burst, if the registry has answered before, and one at a time; the others don't ask when it is over.
    assert asked <= 50 * taken + 20


def test_heads_go_on_while_reads_are_held(tmp_path: Path) -> None:
    async def main() -> float:
        async with (
            await filled(tmp_path, replace(MINUTE, requests=1)) as limited,
            Registries(Settings(home=tmp_path), lambda _: None) as registries,
        ):
            source, clock = repository(registries, limited), asyncio.get_running_loop().time
            await source.resolve("latest")
            held = asyncio.create_task(source.resolve("latest"))
            while not limited.limit_windows[0].refused:
                await asyncio.sleep(0)
            began = clock()
            await asyncio.gather(*[source.digest_of("latest") for _ in range(50)])
            seconds = clock() - began
            assert not held.done()
            await held
            return seconds

    assert run(main()) < 20


def test_a_stop_ends_all_waits_at_once(tmp_path: Path) -> None:
    async def main() -> tuple[list[object], float]:
        stop = asyncio.Event()
        async with (
            await filled(tmp_path, replace(MINUTE, requests=1, seconds=3600)) as limited,
            Registries(Settings(home=tmp_path), lambda _: None, stop=stop) as registries,
        ):
            source, clock = repository(registries, limited), asyncio.get_running_loop().time
            await source.resolve("latest")
            held = [asyncio.create_task(source.resolve("latest")) for _ in range(20)]
            while not limited.limit_windows[0].refused:
                await asyncio.sleep(0)
            began = clock()
            stop.set()
            return list(await asyncio.gather(*held, return_exceptions=True)), clock() - began

    ends, seconds = run(main())
    assert {type(end) for end in ends} == {Interrupted}
    assert seconds < 20


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("for_one", [True, False])
def test_so_many_reads_are_left_as_were_asked_for_and_the_user_is_told_when_reading_goes_on(
    tmp_path: Path, reset: bool, for_one: bool
) -> None:
    events: list[Event] = []

    async def main() -> list[LimitWindow]:
        limit = replace(MINUTE, headers=True, reset=reset)
        async with await filled(tmp_path, limit) as limited:
            given: dict[str, Any] = (
                {"hosts": {limited.host: {"ratelimit_min": 30}}} if for_one else {"ratelimit_min": 30}
            )
            async with Registries(Settings(home=tmp_path, **given), events.append) as registries:
                source = repository(registries, limited)
                await at_once([lambda: source.resolve("latest")] * 200)
            return limited.limit_windows

    windows = run(main())
    assert [window.taken for window in windows] == [70, 70, 60]
    assert refusals(windows) == [0, 0, 0]
    told = [event.message for event in events if isinstance(event, Warned)]
    assert len(told) == 2
    assert all("30 more reads" in message and " UTC on " in message for message in told)


def test_while_uploads_are_held_no_other_upload_goes_on(tmp_path: Path) -> None:
    seen: list[float] = []

    async def busy(request: web.Request) -> web.StreamResponse | None:
        if request.method in ("GET", "HEAD"):
            return None
        seen.append(asyncio.get_running_loop().time())
        return web.Response(status=429, headers={"Retry-After": "60"}) if len(seen) == 1 else None

    async def main() -> None:
        layers = [Layer(LAYER_TYPE + "tensor", f"{n}".encode() * 50, name=str(n)) for n in range(100)]
        write_model(tmp_path / "models", ModelName.parse("me/many"), config(), layers)
        async with EmbeddedRegistry(tmp_path / "registry", Options(hook=busy)) as registry:
            settings = Settings(models=tmp_path / "models", home=tmp_path)
            report = await push(["me/many"], to=f"{registry.host}/", settings=settings)
            assert report.error is None

    run(main())
    after = [seconds - seen[0] for seconds in seen[1:]]
    assert sum(seconds < 60 for seconds in after) < 40  # those that were under way
    assert not [seconds for seconds in after if 20 < seconds < 60]
    assert sum(seconds >= 60 for seconds in after) > 100
