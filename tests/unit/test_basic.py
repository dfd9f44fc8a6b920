"""Basic challenges, and 401s that say nothing of use, over real HTTP."""

from __future__ import annotations

import pytest

from registry_push.auth.credentials import Credential
from registry_push.errors import Unauthorized
from tests.support.scripted import Scripted, SignIn, authorizations, opened, token, unauthorized, wants
from tests.support.secrets import BASIC, PASSWORD

PUSH = ("repository:a/b:pull,push",)
LOGIN = Credential("the test's file", "me", PASSWORD)


async def test_a_basic_challenge_gets_the_login_from_then_on() -> None:
    async with Scripted() as server, opened(server.origin, SignIn(LOGIN)) as client:
        server.on("GET", "/v2/x", wants(BASIC, otherwise=unauthorized('Basic realm="test"')))
        statuses = [(await client.request("GET", client.url("/v2/x"), PUSH)).status for _ in range(2)]
        assert statuses == [200, 200]
        assert authorizations(server.seen) == [None, BASIC, BASIC]


async def test_a_basic_login_that_is_refused_is_not_tried_twice() -> None:
    async with Scripted() as server, opened(server.origin, SignIn(LOGIN)) as client:
        server.on("GET", "/v2/x", unauthorized('Basic realm="test"'))
        with pytest.raises(Unauthorized, match="refuses the login of me from the test's file"):
            await client.request("GET", client.url("/v2/x"), PUSH)
        assert authorizations(server.seen) == [None, BASIC]


async def test_a_basic_challenge_without_a_login_says_how_to_log_in() -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", "/v2/x", unauthorized('Basic realm="test"'))
        with pytest.raises(Unauthorized, match="wants a login") as caught:
            await client.request("GET", client.url("/v2/x"), PUSH)
        assert "registry-push login" in (caught.value.hint or "")


async def test_harbor_answers_basic_once_any_credentials_were_sent() -> None:
    async with Scripted() as server, opened(server.origin, SignIn(LOGIN)) as client:
        server.on("GET", "/token", token("T"))
        server.on(
            "GET",
            "/v2/x",
            unauthorized(f'Bearer realm="{server.origin}/token"'),
            wants(BASIC, otherwise=unauthorized('Basic realm="harbor"')),
        )
        assert (await client.request("GET", client.url("/v2/x"), PUSH)).status == 200
        assert authorizations(server.requests("GET", "/v2/x")) == [None, "Bearer T", BASIC]


@pytest.mark.parametrize(
    "challenges", [(), ("Negotiate",), ("Bearer",), ('Bearer service="x"',), ('Digest realm="x"',)]
)
async def test_a_401_that_does_not_say_how_to_sign_in_is_an_error_at_once(challenges: tuple[str, ...]) -> None:
    async with Scripted() as server, opened(server.origin, SignIn(LOGIN)) as client:
        server.on("GET", "/v2/x", unauthorized(*challenges))
        with pytest.raises(Unauthorized, match="does not say how to sign in"):
            await client.request("GET", client.url("/v2/x"), PUSH)
        assert set(authorizations(server.seen)) == {None}
        assert [seen.path for seen in server.seen] == ["/v2/x", *(["/v2/"] if not challenges else [])]
