"""Tokens of the embedded registry: Ollama's signature, passwords, scopes, ends."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from yarl import URL

from registry_push.embedded import EmbeddedRegistry, Options, Token
from registry_push.embedded.auth import Scope, public_key

from ..support.registries import EmbeddedFactory
from ..support.secrets import BASIC, PASSWORD

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
NOW = 1_700_000_000
SCOPE = "repository:me/m:pull,push"


def wire_form(key: Any) -> bytes:
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


@dataclass
class Client:
    """Signs as Ollama's client does, but for what a test changes."""

    server: EmbeddedRegistry
    session: aiohttp.ClientSession
    clock: list[float]
    query: dict[str, str] = field(
        default_factory=lambda: {"nonce": "bm9uY2U", "scope": SCOPE, "service": "embedded", "ts": str(NOW)}
    )

    @property
    def url(self) -> str:
        return f"{self.server.origin}/token?{urlencode(sorted(self.query.items()))}"

    def signature(self, url: str, key: Ed25519PrivateKey = KEY) -> str:
        empty = base64.b64encode(hashlib.sha256(b"").hexdigest().encode()).decode()
        signed = key.sign(f"GET,{url},{empty}".encode())
        return f"{base64.b64encode(wire_form(key)).decode()}:{base64.b64encode(signed).decode()}"

    async def get(self, url: str, authorization: str | None, method: str = "GET") -> tuple[int, Mapping[str, str], Any]:
        headers = {} if authorization is None else {"Authorization": authorization}
        async with self.session.request(method, URL(url, encoded=True), headers=headers) as answer:
            return answer.status, answer.headers, await answer.json(content_type=None) if method == "GET" else None

    async def token(self, authorization: str | None = None) -> str:
        status, _, document = await self.get(self.url, authorization or self.signature(self.url))
        assert status == 200
        assert document["expires_in"] == 300
        return f"Bearer {document['token']}"


@pytest.fixture
async def client(embedded_with: EmbeddedFactory) -> AsyncIterator[Client]:
    clock = [float(NOW)]
    auth = Token(frozenset({wire_form(KEY)}), {"me": PASSWORD}, clock=lambda: clock[0])
    async with aiohttp.ClientSession() as session:
        yield Client(await embedded_with(Options(auth=auth)), session, clock)


async def test_challenge_names_what_is_needed(client: Client) -> None:
    base = f'Bearer realm="{client.server.origin}/token",service="embedded"'
    expected = {
        ("GET", "/v2/"): "",
        ("GET", "/v2/me/m/tags/list"): ',scope="repository:me/m:pull"',
        ("POST", "/v2/me/m/blobs/uploads/"): ',scope="repository:me/m:pull,push"',
        ("DELETE", "/v2/me/m/blobs/sha256:aa"): ',scope="repository:me/m:delete"',
        ("GET", "/v2/_catalog"): ',scope="registry:catalog:*"',
        ("POST", "/v2/me/m/blobs/uploads/?mount=x&from=you/m"): (
            ',scope="repository:me/m:pull,push repository:you/m:pull"'
        ),
    }
    for (method, target), scope in expected.items():
        status, headers, _ = await client.get(client.server.origin + target, None, method)
        assert (status, headers["WWW-Authenticate"]) == (401, base + scope)


async def test_signed_client_gets_a_token_that_works(client: Client) -> None:
    token = await client.token()
    status, _, _ = await client.get(f"{client.server.origin}/v2/me/m/blobs/uploads/", token, "POST")
    assert status == 202
    assert [exchange.authorization for exchange in client.server.log] == ["signature", "Bearer"]


async def refused(client: Client, authorization: str | None, why: str) -> None:
    status, _, document = await client.get(client.url, authorization)
    assert (status, document["errors"][0]["code"]) == (401, "UNAUTHORIZED")
    assert why in document["errors"][0]["detail"]


async def test_unknown_key(client: Client) -> None:
    await refused(client, client.signature(client.url, OTHER), "key is not known")


async def test_signature_by_another_key_than_it_names(client: Client) -> None:
    ours, other = client.signature(client.url), client.signature(client.url, OTHER)
    await refused(client, f"{ours.partition(':')[0]}:{other.partition(':')[2]}", "not of this request")


@pytest.mark.parametrize("other", ["ts=1700000001", "service=embedde", "scope=repository"])
async def test_signature_of_another_query(client: Client, other: str) -> None:
    name, _, value = other.partition("=")
    signed = client.url.replace(urlencode({name: client.query[name]}), urlencode({name: value}))
    assert signed != client.url
    await refused(client, client.signature(signed), "not of this request")


async def test_signature_of_the_query_in_another_order(client: Client) -> None:
    turned = f"{client.server.origin}/token?{urlencode(sorted(client.query.items(), reverse=True))}"
    await refused(client, client.signature(turned), "not of this request")
    status, _, _ = await client.get(turned, client.signature(turned))
    assert status == 200, "any order will do, if it is the order that was signed"


async def test_signature_for_another_host(client: Client) -> None:
    signed = client.url.replace("127.0.0.1", "registry.example")
    await refused(client, client.signature(signed), "not of this request")


@pytest.mark.parametrize("skew", [-301, 301])
async def test_clock_that_is_off(client: Client, skew: int) -> None:
    client.clock[0] += skew
    await refused(client, client.signature(client.url), "time is over 300 s off")


@pytest.mark.parametrize("skew", [-300, 300])
async def test_clock_that_is_just_near_enough(client: Client, skew: int) -> None:
    client.clock[0] += skew
    await client.token()


async def test_request_played_again(client: Client) -> None:
    authorization = client.signature(client.url)
    await client.token(authorization)
    await refused(client, authorization, "nonce")
    client.clock[0] += 200
    await refused(client, authorization, "nonce")


@pytest.mark.parametrize("missing", ["nonce", "ts", "service"])
async def test_parameter_is_missing(client: Client, missing: str) -> None:
    del client.query[missing]
    await refused(client, client.signature(client.url), "")


async def test_service_of_somebody_else(client: Client) -> None:
    client.query["service"] = "other"
    await refused(client, client.signature(client.url), "service")


@pytest.mark.parametrize("authorization", [None, "nonsense", ":", "Basic bWU6bm8=", "Basic !!!", "Bearer x"])
async def test_nobody_gets_no_token(client: Client, authorization: str | None) -> None:
    await refused(client, authorization, "")


async def test_password_gets_a_token(client: Client) -> None:
    token = await client.token(BASIC)
    status, _, _ = await client.get(f"{client.server.origin}/v2/me/m/blobs/uploads/", token, "POST")
    assert status == 202


async def test_token_covers_what_was_asked_for_and_no_more(client: Client) -> None:
    client.query["scope"] = "repository:me/m:pull"
    token = await client.token()
    origin = client.server.origin
    assert (await client.get(f"{origin}/v2/me/m/tags/list", token))[0] == 404
    assert (await client.get(f"{origin}/v2/", token))[0] == 200
    for method, target in (
        ("POST", "/v2/me/m/blobs/uploads/"),
        ("GET", "/v2/you/m/tags/list"),
        ("GET", "/v2/_catalog"),
    ):
        status, headers, _ = await client.get(origin + target, token, method)
        assert status == 401
        assert headers["WWW-Authenticate"].endswith(',error="insufficient_scope"')


async def test_token_ends(client: Client) -> None:
    token = await client.token()
    client.clock[0] += 300
    status, headers, _ = await client.get(f"{client.server.origin}/v2/", token)
    assert status == 401
    assert headers["WWW-Authenticate"].endswith(',error="invalid_token"')


async def test_anyone_may_pull_where_it_is_said(embedded_with: EmbeddedFactory) -> None:
    server = await embedded_with(Options(auth=Token(anonymous_pull=True)))
    async with aiohttp.ClientSession() as session:
        anyone = Client(server, session, [])
        async with session.get(anyone.url) as answer:
            token = f"Bearer {(await answer.json())['token']}"
        assert (await anyone.get(f"{server.origin}/v2/me/m/tags/list", token))[0] == 404
        status, headers, _ = await anyone.get(f"{server.origin}/v2/me/m/blobs/uploads/", token, "POST")
        assert (status, "insufficient_scope" in headers["WWW-Authenticate"]) == (401, True)


async def test_there_is_no_token_without_sign_in(embedded: EmbeddedRegistry) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{embedded.origin}/token") as answer:
        assert answer.status == 404


def test_public_key_in_wire_form() -> None:
    assert public_key(wire_form(KEY)) == KEY.public_key()
    for wire in (b"", b"odd", wire_form(KEY)[:-1], wire_form(KEY) + b"x", wire_form(generate_private_key(65537, 2048))):
        with pytest.raises(ValueError, match=r"."):
            public_key(wire)


def test_scope_names_may_hold_colons() -> None:
    assert Scope.parse("repository:host:5000/m:pull,push") == Scope(
        "repository", "host:5000/m", frozenset({"pull", "push"})
    )
    for text in ("", "repository", "repository:pull", "a:b:"):
        assert Scope.parse(text) is None
