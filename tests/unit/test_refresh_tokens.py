"""Token services that give a new refresh token at each use, and void the old one."""

from __future__ import annotations

import asyncio

import pytest

from registry_push.auth.credentials import Credential
from registry_push.auth.refresh_tokens import RefreshTokens
from registry_push.auth.tokens import Authenticator
from registry_push.model import HTTPOrigin
from registry_push.protocol.auth.token import refresh_token
from tests.support.scripted import Says, Scripted, Seen, SignIn, opened, token, unauthorized, wants

FILED = Credential("docker's file", identity_token="refresh-0")


class Rotating:
    """A token service whose refresh tokens hold once."""

    def __init__(self) -> None:
        self.uses = 0

    def __call__(self, seen: Seen) -> Says:
        if seen.query["refresh_token"] != [f"refresh-{self.uses}"]:
            return Says(401, body=b'{"error":"invalid_grant"}')
        self.uses += 1
        return token(f"T{self.uses}", refresh_token=f"refresh-{self.uses}")


def closed_for(server: Scripted, *paths: str) -> None:
    for number, path in enumerate(paths, 1):
        challenge = unauthorized(f'Bearer realm="{server.origin}/token",service="r"')
        server.on("GET", path, wants(f"Bearer T{number}", otherwise=challenge))


async def test_the_new_refresh_token_is_used_next_time_for_every_repository() -> None:
    async with Scripted() as server, opened(server.origin, SignIn(FILED)) as client:
        closed_for(server, "/v2/a", "/v2/b", "/v2/c")
        server.on("POST", "/token", Rotating())
        for name in "abc":
            answer = await client.request("GET", client.url(f"/v2/{name}"), (f"repository:{name}:pull,push",))
            assert answer.status == 200
        assert len(server.requests("POST", "/token")) == 3


async def test_the_runs_of_a_process_share_it() -> None:
    """Each reads docker's file anew, which holds the void one."""
    refreshed = RefreshTokens()
    async with Scripted() as server, opened(server.origin) as client:
        service = Rotating()
        server.on("POST", "/token", service)
        challenge = unauthorized(f'Bearer realm="{server.origin}/token",service="r"')
        server.on("GET", "/v2/", challenge)
        refusal = await client.transport.send("GET", client.url("/v2/"), {})

        async def signed_in(name: str) -> str | None:
            authenticator = Authenticator(
                client.origin,
                client.transport,
                login=SignIn(FILED).lookup,
                identity=SignIn().find_identity,
                prefers_signature=False,
                refreshed=refreshed,
            )
            scopes = (f"repository:{name}:pull,push",)
            await authenticator.renew(refusal, scopes, None)
            return await authenticator.authorization(scopes)

        headers = await asyncio.gather(*(signed_in(name) for name in "abcd"))
        assert sorted(map(str, headers)) == [f"Bearer T{number}" for number in (1, 2, 3, 4)]
        assert service.uses == 4


async def test_a_refresh_token_is_replaced_at_its_own_service_only() -> None:
    refreshed, here, there = RefreshTokens(), HTTPOrigin.of("https://here"), HTTPOrigin.of("https://there")
    async with refreshed.held(here, "R") as refresh:
        refresh.token = "S"
    async with refreshed.held(here, "R") as mine, refreshed.held(there, "R") as other:
        assert (mine.token, other.token) == ("S", "R")


async def test_an_exchange_that_fails_leaves_the_token_as_it_was() -> None:
    refreshed, here = RefreshTokens(), HTTPOrigin.of("https://here")
    with pytest.raises(ValueError, match="no"):
        async with refreshed.held(here, "R"):
            raise ValueError("no")
    async with refreshed.held(here, "R") as refresh:
        assert refresh.token == "R"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"access_token": "a", "refresh_token": "b"}', "b"),
        (b'{"access_token": "a"}', None),
        (b'{"refresh_token": ""}', None),
        (b'{"refresh_token": 7}', None),
        (b'{"refresh_token": "a b"}', None),
        (b"[]", None),
        (b"<html>", None),
        (b"[" * 100_000, None),
    ],
)
def test_only_a_token_is_taken_for_one(body: bytes, found: str | None) -> None:
    assert refresh_token(body) == found
