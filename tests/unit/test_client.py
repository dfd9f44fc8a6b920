"""What leaves for whom: two servers on two ports are two origins. And redirects, hop by hop."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from registry_push.auth.credentials import Credential
from registry_push.auth.identity import Identity
from registry_push.errors import (
    Denied,
    ForeignRealm,
    ProtocolViolation,
    Refused,
    RegistryPushError,
    Unauthorized,
    Unavailable,
)
from registry_push.http.response import MAX_BODY_BYTES
from tests.support.scripted import Says, Scripted, SignIn, authorizations, opened, token, unauthorized, wants
from tests.support.secrets import PASSWORD, PROXY_PASSWORD

PULL = ("repository:a/b:pull",)
LOGIN = Credential("the test's file", "me", PASSWORD)


def _to(url: str, status: int = 307, **more: Any) -> Says:
    return Says(status, (("Location", url),), **more)


def _signed_in(server: Scripted, path: str, then: Says) -> None:
    """`path` answers `then` to who has the token."""
    closed = unauthorized(f'Bearer realm="{server.origin}/token"')
    server.on("GET", "/token", token("T"))
    server.on("GET", path, wants("Bearer T", otherwise=closed, then=then))


# ── credentials stay at home ──────────────────────────────────────────────────────────────────────


@pytest.mark.attack("CVE-2025-51471")
@pytest.mark.attack("CVE-2026-33540")
@pytest.mark.attack("CVE-2026-48978")
@pytest.mark.parametrize("number", ["CVE-2025-51471", "CVE-2026-33540", "CVE-2026-48978"])
async def test_a_realm_on_another_host_gets_no_login(number: str) -> None:
    async with Scripted() as registry, Scripted() as foreign, opened(registry.origin, SignIn(LOGIN)) as client:
        realm = foreign.origin.replace("127.0.0.1", "localhost")
        registry.on("GET", "/v2/x", unauthorized(f'Bearer realm="{realm}/token"'))
        with pytest.raises(ForeignRealm, match="localhost") as caught:
            await client.request("GET", client.url("/v2/x"), PULL)
        assert caught.value.exit_code == 4
        assert foreign.connections == 0, number


@pytest.mark.attack("CVE-2025-51471")
async def test_cve_2025_51471_a_realm_at_another_port_gets_no_signature(tmp_path: Path) -> None:
    who = SignIn(identity=Identity.create(tmp_path / "key"), prefers_signature=True)
    async with Scripted() as registry, Scripted() as foreign, opened(registry.origin, who) as client:
        registry.on("GET", "/v2/x", unauthorized(f'Bearer realm="{foreign.origin}/token"'))
        with pytest.raises(ForeignRealm):
            await client.request("GET", client.url("/v2/x"), PULL)
        assert foreign.connections == 0


async def test_a_key_is_not_offered_to_a_realm_elsewhere_after_the_anonymous_are_refused(tmp_path: Path) -> None:
    who = SignIn(identity=Identity.create(tmp_path / "key"))
    async with Scripted() as registry, Scripted() as foreign, opened(registry.origin, who) as client:
        registry.on("GET", "/v2/x", unauthorized(f'Bearer realm="{foreign.origin}/token"'))
        foreign.on("GET", "/token", Says(401))
        with pytest.raises(Unauthorized):
            await client.request("GET", client.url("/v2/x"), PULL)
        assert authorizations(foreign.seen) == [None]


@pytest.mark.attack("CVE-2026-48978")
@pytest.mark.parametrize("login", [LOGIN, None])
async def test_cve_2026_48978_the_metadata_address_is_never_asked_for_a_token(login: Credential | None) -> None:
    async with Scripted() as registry, opened(registry.origin, SignIn(login)) as client:
        registry.on("GET", "/v2/x", unauthorized('Bearer realm="http://169.254.169.254/latest/meta-data"'))
        with pytest.raises(ForeignRealm):
            await client.request("GET", client.url("/v2/x"), PULL)


@pytest.mark.attack("CVE-2026-50151")
@pytest.mark.attack("GHSA-qvqc-4c52-x6qp")
@pytest.mark.parametrize("number", ["CVE-2026-50151", "GHSA-qvqc-4c52-x6qp"])
@pytest.mark.parametrize("method", ["PATCH", "PUT", "GET", "DELETE"])
async def test_a_location_elsewhere_gets_no_authorization(number: str, method: str) -> None:
    async with Scripted() as registry, Scripted() as foreign, opened(registry.origin, SignIn(LOGIN)) as client:
        _signed_in(registry, "/v2/x", Says(200))
        await client.request("GET", client.url("/v2/x"), PULL)
        foreign.on(method, "/upload", Says(202))
        assert (await client.attempt(method, f"{foreign.origin}/upload", PULL, {})).status == 202
        (seen,) = foreign.seen
        assert "Authorization" not in seen.headers, number
        assert "Cookie" not in seen.headers


@pytest.mark.attack("GHSA-vh4v-2xq2-g5cg")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("streamed", [False, True])
async def test_ghsa_vh4v_2xq2_g5cg_a_redirect_to_another_port_keeps_no_authorization(
    status: int, streamed: bool
) -> None:
    async with Scripted() as registry, Scripted() as storage, opened(registry.origin, SignIn(LOGIN)) as client:
        _signed_in(registry, "/v2/x", _to(f"{storage.origin}/blob?sig=a%2Bb%20c", status))
        storage.on("GET", "/blob", Says(200, body=b"content"))
        if streamed:
            async with client.stream(client.url("/v2/x"), PULL, {}) as (response, pieces):
                body = b"".join([piece async for piece in pieces])
        else:
            response = await client.request("GET", client.url("/v2/x"), PULL)
            body = response.body
        assert (response.status, body) == (200, b"content")
        (seen,) = storage.seen
        assert "Authorization" not in seen.headers
        assert seen.target == "/blob?sig=a%2Bb%20c"


async def test_a_401_elsewhere_is_not_answered_with_our_login() -> None:
    async with Scripted() as registry, Scripted() as storage, opened(registry.origin, SignIn(LOGIN)) as client:
        _signed_in(registry, "/v2/x", _to(f"{storage.origin}/blob"))
        storage.on("GET", "/blob", unauthorized('Basic realm="please"'))
        assert (await client.request("GET", client.url("/v2/x"), PULL)).status == 401
        assert authorizations(storage.seen) == [None]


async def test_a_redirect_that_comes_home_is_signed_again() -> None:
    async with Scripted() as registry, Scripted() as storage, opened(registry.origin, SignIn(LOGIN)) as client:
        _signed_in(registry, "/v2/x", _to(f"{storage.origin}/away"))
        storage.on("GET", "/away", _to(f"{registry.origin}/v2/y"))
        registry.on("GET", "/v2/y", wants("Bearer T", otherwise=Says(418)))
        assert (await client.request("GET", client.url("/v2/x"), PULL)).status == 200


@pytest.mark.attack("CVE-2026-34518")
async def test_cve_2026_34518_a_cookie_is_never_sent_back_nor_carried_on() -> None:
    async with Scripted() as registry, Scripted() as storage, opened(registry.origin) as client:
        cookie = ("Set-Cookie", "session=secret; Path=/")
        registry.on("GET", "/v2/x", Says(307, (("Location", f"{storage.origin}/blob"), cookie)))
        storage.on("GET", "/blob", Says(200, (cookie,)))
        for _ in range(2):
            await client.request("GET", client.url("/v2/x"), PULL)
        assert not any("Cookie" in seen.headers for seen in (*registry.seen, *storage.seen))


@pytest.mark.attack("CVE-2026-47265")
async def test_cve_2026_47265_the_proxys_login_goes_to_the_proxy_alone() -> None:
    async with Scripted() as proxy, Scripted() as storage:
        proxy.on("GET", "http://registry.test/v2/x", _to(f"{storage.origin}/blob"))
        storage.on("GET", "/blob", Says(200))
        environ = {"http_proxy": proxy.origin.replace("//", f"//user:{PROXY_PASSWORD}@")}
        # Nobody but the proxy knows where the registry is, so its sending us to this machine needs the user's word.
        allowed = ("127.0.0.1",)
        async with opened("http://registry.test", environ=environ, allow_addresses=allowed) as client:
            assert (await client.request("GET", client.url("/v2/x"), PULL)).status == 200
        login = b64encode(f"user:{PROXY_PASSWORD}".encode()).decode()
        assert proxy.seen[0].headers["Proxy-Authorization"] == f"Basic {login}"
        assert "Proxy-Authorization" not in storage.seen[0].headers


async def test_a_location_with_a_login_in_it_does_not_replace_ours() -> None:
    async with Scripted() as registry, opened(registry.origin, SignIn(LOGIN)) as client:
        _signed_in(registry, "/v2/x", Says(200))
        await client.request("GET", client.url("/v2/x"), PULL)
        with pytest.raises(ProtocolViolation):
            await client.attempt("GET", registry.origin.replace("//", "//evil:word@") + "/v2/x", PULL, {})


# ── redirects ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_redirect_loop_ends() -> None:
    async with Scripted() as registry, opened(registry.origin) as client:
        registry.on("GET", "/v2/x", _to("/v2/x"))
        with pytest.raises(ProtocolViolation, match="redirects"):
            await client.request("GET", client.url("/v2/x"), PULL)
        with pytest.raises(ProtocolViolation, match="redirects"):
            async with client.stream(client.url("/v2/x"), PULL, {}):
                pass
        assert len(registry.seen) <= 12


@pytest.mark.parametrize(
    "location",
    ["", "http://[/", "//[::1/x", "file:///etc/passwd", "http://:80/"],
)
async def test_a_redirect_to_nowhere_is_a_violation_of_the_protocol(location: str) -> None:
    async with Scripted() as registry, opened(registry.origin) as client:
        registry.on("GET", "/v2/x", _to(location))
        with pytest.raises(ProtocolViolation) as caught:
            await client.request("GET", client.url("/v2/x"), PULL)
        assert caught.value.exit_code == 5


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH"])
async def test_a_redirect_that_would_change_the_method_is_an_answer_like_any_other(method: str) -> None:
    async with Scripted() as registry, opened(registry.origin) as client:
        registry.on(method, "/v2/x", _to("/v2/y", 302))
        assert (await client.request(method, client.url("/v2/x"), PULL, body=b"x")).status == 302
        assert (await client.attempt(method, client.url("/v2/x"), PULL, {})).status == 302


# ── answers of every size ─────────────────────────────────────────────────────────────────────────


_BOMB = Says(200, (("Content-Encoding", "gzip"),), gzip.compress(json.dumps({"token": "T" * 20_000_000}).encode()))


@pytest.mark.attack("CVE-2024-12886")
async def test_cve_2024_12886_a_bomb_from_a_token_service_stays_packed() -> None:
    async with Scripted() as registry, opened(registry.origin) as client:
        registry.on("GET", "/v2/x", unauthorized(f'Bearer realm="{registry.origin}/token"'))
        registry.on("GET", "/token", _BOMB)
        with pytest.raises(ProtocolViolation, match="no JSON"):
            await client.request("GET", client.url("/v2/x"), PULL)


@pytest.mark.attack("CVE-2024-12886")
async def test_cve_2024_12886_a_bomb_from_a_registry_stays_packed_and_none_was_asked_for() -> None:
    async with Scripted() as registry, opened(registry.origin) as client:
        registry.on("GET", "/v2/x", _BOMB)
        assert (await client.request("GET", client.url("/v2/x"), PULL)).body == _BOMB.body
        assert registry.seen[0].headers["Accept-Encoding"] == "identity"


async def test_a_huge_answer_is_not_read_to_its_end() -> None:
    async with Scripted() as registry, opened(registry.origin) as client:
        registry.on("GET", "/v2/x", Says(200, body=bytes(MAX_BODY_BYTES + 1)))
        registry.on("GET", "/v2/y", Says(200, body=bytes(MAX_BODY_BYTES)))
        with pytest.raises(ProtocolViolation, match="more than"):
            await client.request("GET", client.url("/v2/x"), PULL)
        assert len((await client.request("GET", client.url("/v2/y"), PULL)).body) == MAX_BODY_BYTES


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [(401, Unauthorized, 4), (403, Denied, 4), (404, Refused, 5), (400, Refused, 5), (503, Unavailable, 6)],
)
async def test_a_refusal_is_told_in_the_registrys_words(status: int, error: type[RegistryPushError], code: int) -> None:
    async with Scripted() as registry, opened(registry.origin) as client:
        registry.on("POST", "/v2/x", Says(status, body=b'{"errors":[{"code":"C","message":"why\\u001b[2J"}]}'))
        response = await client.transport.send("POST", f"{client.url('/v2/x')}?sig=secret", {})
        refusal = client.refusal(response, "the thing")
        assert type(refusal) is error
        assert refusal.exit_code == code
        assert f"refused the thing: HTTP {status}: why\\x1b[2J" in str(refusal)
        assert "secret" not in f"{refusal.url}"
