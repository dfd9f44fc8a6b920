"""Registries that turn the anonymous down without a challenge: a login that exists is used all the same."""

from __future__ import annotations

import pytest

from registry_push.errors import Denied, Unauthorized

from ..support.scripted import Says, Scripted, Seen, SignIn, authorizations, opened, token, unauthorized, wants
from ..support.secrets import BASIC
from .test_basic import LOGIN, PUSH

CHALLENGE = 'Basic realm="r"'


def _veiled(status: int) -> Says:
    return Says(status)


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_the_anonymous_are_turned_down_and_the_login_is_tried(status: int) -> None:
    async with Scripted() as server, opened(server.origin, SignIn(LOGIN)) as client:
        server.on("GET", "/v2/", unauthorized(CHALLENGE))
        server.on("POST", "/v2/x", wants(BASIC, otherwise=_veiled(status), then=Says(202)))
        for _ in range(2):
            assert (await client.attempt("POST", client.url("/v2/x"), PUSH, {"Content-Length": "0"})).status == 202
        assert authorizations(server.requests("POST", "/v2/x")) == [None, BASIC, BASIC]
        assert len(server.requests("GET", "/v2/")) == 1


async def test_the_challenge_at_v2_may_be_bearers() -> None:
    async with Scripted() as server, opened(server.origin, SignIn(LOGIN)) as client:
        server.on("GET", "/v2/", unauthorized(f'Bearer realm="{server.origin}/token",service="s"'))
        server.on("GET", "/token", token("T"))
        server.on("HEAD", "/v2/x", wants("Bearer T", otherwise=Says(404), then=Says(200)))
        assert (await client.request("HEAD", client.url("/v2/x"), PUSH)).status == 200
        assert server.requests("GET", "/token")[0].authorization == BASIC


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("root", [Says(200), Says(404), Says(401), Says(500)])
async def test_a_registry_that_challenges_nowhere_keeps_its_answer(status: int, root: Says) -> None:
    async with Scripted() as server, opened(server.origin, SignIn(LOGIN)) as client:
        server.on("GET", "/v2/", root)
        server.on("GET", "/v2/x", Says(status))
        for _ in range(3):
            assert (await client.request("GET", client.url("/v2/x"), PUSH)).status == status
        assert len(server.requests("GET", "/v2/")) == 1, "one question"
        assert set(authorizations(server.seen)) == {None}


@pytest.mark.parametrize("status", [403, 404])
async def test_without_a_login_nothing_is_asked(status: int) -> None:
    async with Scripted() as server, opened(server.origin, SignIn()) as client:
        server.on("GET", "/v2/x", Says(status))
        assert (await client.request("GET", client.url("/v2/x"), PUSH)).status == status
        assert [seen.path for seen in server.seen] == ["/v2/x"]


async def test_with_the_login_a_404_is_a_404_and_is_not_tried_again() -> None:
    def answer(seen: Seen) -> Says:
        return Says(404)

    async with Scripted() as server, opened(server.origin, SignIn(LOGIN)) as client:
        server.on("GET", "/v2/", unauthorized(CHALLENGE))
        server.on("GET", "/v2/x", answer)
        assert (await client.request("GET", client.url("/v2/x"), PUSH)).status == 404
        assert authorizations(server.requests("GET", "/v2/x")) == [None, BASIC]


async def test_a_refusal_says_whether_a_login_was_used() -> None:
    async with Scripted() as server:
        server.on("GET", "/v2/x", Says(403))
        server.on("GET", "/v2/", unauthorized(CHALLENGE))
        for who, words in ((SignIn(), "no login was used"), (SignIn(LOGIN), "signed in with the login of me")):
            async with opened(server.origin, who) as client:
                response = await client.request("GET", client.url("/v2/x"), PUSH)
                error = client.refusal(response, "to show x")
                assert isinstance(error, Denied | Unauthorized)
                assert words in str(error)
                assert ("registry-push login" in str(error.hint)) == (who.login is None)
