"""The first request to an origin or a token service may meet a crowd: one try more, whatever `--retries` says."""

from __future__ import annotations

import pytest

from registry_push.errors import Unavailable
from tests.support.scripted import Clock, Says, Scripted, SignIn, opened, token, unauthorized, wants

PUSH = ("repository:a/b:pull,push",)


@pytest.mark.parametrize("status", [429, 503])
async def test_the_first_request_to_an_origin_is_tried_once_more(status: int) -> None:
    clock = Clock()
    async with Scripted() as server, opened(server.origin, retries=0, clock=clock) as client:
        server.on("GET", "/v2/x", Says(status, (("Retry-After", "3"),)), Says(200))
        assert (await client.request("GET", client.url("/v2/x"), PUSH)).status == 200
        assert len(clock.slept) == 1 and clock.slept[0] >= 3


@pytest.mark.parametrize("status", [429, 503])
async def test_it_is_one_try_and_no_more(status: int) -> None:
    async with Scripted() as server, opened(server.origin, retries=0) as client:
        server.on("GET", "/v2/x", Says(status))
        with pytest.raises(Unavailable):
            await client.request("GET", client.url("/v2/x"), PUSH)
        assert len(server.seen) == 2
        with pytest.raises(Unavailable):
            await client.request("GET", client.url("/v2/x"), PUSH)
        assert len(server.seen) == 3


@pytest.mark.parametrize("status", [429, 503])
async def test_a_later_request_has_the_tries_it_was_told(status: int) -> None:
    async with Scripted() as server, opened(server.origin, retries=0) as client:
        server.on("GET", "/v2/x", Says(200), Says(status))
        await client.request("GET", client.url("/v2/x"), PUSH)
        with pytest.raises(Unavailable):
            await client.request("GET", client.url("/v2/x"), PUSH)
        assert len(server.seen) == 2


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_other_trouble_has_no_try_that_was_not_told(status: int) -> None:
    async with Scripted() as server, opened(server.origin, retries=0) as client:
        server.on("GET", "/v2/x", Says(status))
        with pytest.raises(Unavailable):
            await client.request("GET", client.url("/v2/x"), PUSH)
        assert len(server.seen) == 1


async def test_a_registry_that_says_so_is_there_and_has_all_the_tries() -> None:
    """One that never answers has two: it is more likely misspelt."""
    async with Scripted() as server, opened(server.origin, retries=5) as client:
        server.on("GET", "/v2/x", *[Says(503)] * 5, Says(200))
        assert (await client.request("GET", client.url("/v2/x"), PUSH)).status == 200


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("is_elsewhere", [True, False])
async def test_the_first_request_to_a_token_service_is_tried_once_more(status: int, is_elsewhere: bool) -> None:
    """It is a service of its own, also where the registry's origin has it."""
    async with Scripted() as server, Scripted() as other, opened(server.origin, SignIn(), retries=0) as client:
        service = other if is_elsewhere else server
        closed = unauthorized(f'Bearer realm="{service.origin}/token",service="r"')
        server.on("GET", "/v2/x", wants("Bearer T", otherwise=closed))
        service.on("GET", "/token", Says(status), token("T"))
        assert (await client.request("GET", client.url("/v2/x"), PUSH)).status == 200
        assert len(service.requests("GET", "/token")) == 2
