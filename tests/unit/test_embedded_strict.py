"""Sign-in to the embedded Ollama registry, which is held to what Ollama's own client does."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from registry_push.embedded import Ollama, Options, Token

from ..support.ollama_wire import OllamaWire
from ..support.registries import EmbeddedFactory
from ..support.wire import Reply, digest_of

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
NOW = 1_700_000_000


def wire_form() -> bytes:
    line = KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


class Signer(OllamaWire):
    """Signs in as Ollama's client does."""

    async def ask_token(self, query: str) -> Reply:
        url = f"{self.registry.origin}/token?{query}"
        empty = base64.b64encode(hashlib.sha256(b"").hexdigest().encode()).decode()
        signed = KEY.sign(f"GET,{url},{empty}".encode())
        header = f"{base64.b64encode(wire_form()).decode()}:{base64.b64encode(signed).decode()}"
        return await self.send("GET", url, headers={"Authorization": header})

    async def bearer(self, scope: str) -> dict[str, str]:
        reply = await self.ask_token(query(scope=scope))
        assert reply.status == 200
        return {"Authorization": f"Bearer {reply.json['token']}"}


def query(**changes: str) -> str:
    values = {
        "nonce": base64.urlsafe_b64encode(b"\xff" * 16).rstrip(b"=").decode(),
        "scope": "repository:me/m:pull,push",
        "service": "embedded",
        "ts": str(NOW),
    }
    return urlencode(sorted((values | changes).items()))


@pytest.fixture
async def signer(embedded_with: EmbeddedFactory) -> AsyncIterator[Signer]:
    auth = Token(keys={wire_form(): frozenset({"me"})}, clock=lambda: NOW)
    async with aiohttp.ClientSession() as session:
        yield Signer(session, await embedded_with(Options(auth=auth, ollama=Ollama())), "me/m")


async def test_sign_in_as_ollamas_client_does(signer: Signer) -> None:
    first = await signer.send("POST", "/v2/me/m/blobs/uploads/")
    assert first.status == 401
    bearer = await signer.bearer("repository:me/m:pull,push")
    assert (await signer.send("POST", "/v2/me/m/blobs/uploads/", headers=bearer)).status == 202
    assert signer.registry.breaches == []


async def test_several_scopes_are_parameters_of_their_own(signer: Signer) -> None:
    # Go sorts by name only: the scopes stay in the order of the challenge.
    more = query().replace("&service", "&scope=repository%3Aa%2Fb%3Apull&service")
    assert (await signer.ask_token(more)).status == 200
    assert signer.registry.breaches == []


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        (query(nonce="AAAA"), "16 bytes"),
        (query(nonce="A" * 22 + "=="), "16 bytes"),
        (query(nonce="+" * 21 + "A"), "16 bytes"),
        (query(nonce="A" * 21 + "B"), "16 bytes"),
        (query(scope="repository:me/m:pull repository:a/b:pull"), "parameter of its own"),
        (query(ts="soon"), "unix seconds"),
        (query(account="me"), "account, nonce"),
        (query().partition("&")[2], "the query has scope, service, ts"),
        (query() + f"&ts={NOW}", "once"),
        ("&".join(reversed(query().split("&"))), "Encode"),
        (query().replace("%3A", ":"), "Encode"),
        (query().replace("%3A", "%3a"), "Encode"),
    ],
)
async def test_query_that_ollamas_client_would_not_send(signer: Signer, asked: str, what: str) -> None:
    reply = await signer.ask_token(asked)
    assert (reply.status, reply.codes) == (401, ["UNAUTHORIZED"])
    (breach,) = signer.registry.breaches
    assert what in breach


async def test_who_asks_without_a_signature_is_turned_down_without_blame(signer: Signer) -> None:
    reply = await signer.send("GET", "/token?service=embedded&scope=repository%3Ame%2Fm%3Apull")
    assert (reply.status, reply.codes) == (401, ["UNAUTHORIZED"])
    assert signer.registry.breaches == []


@pytest.mark.parametrize(
    ("method", "target"), [("POST", "/v2/you/m/blobs/uploads/"), ("PUT", "/v2/you/m/manifests/latest")]
)
async def test_push_to_somebody_elses_namespace(signer: Signer, method: str, target: str) -> None:
    bearer = await signer.bearer("repository:you/m:pull,push")
    reply = await signer.send(method, target, b"" if method == "PUT" else None, bearer)
    assert reply.status == 403
    assert reply.json == {"errors": [{"code": "ACCESS DENIED", "message": "access denied"}]}
    assert (await signer.send("HEAD", f"/v2/you/m/blobs/{digest_of(b'')}", headers=bearer)).status == 404
    assert signer.registry.breaches == []


async def test_answers_tell_the_time_of_the_registry(signer: Signer) -> None:
    for target in ("/token", "/v2/me/m/manifests/latest"):
        reply = await signer.send("GET", target)
        assert (reply.status, parsedate_to_datetime(reply.headers["Date"]).timestamp()) == (401, NOW)


async def test_request_without_the_token_that_was_issued(signer: Signer) -> None:
    await signer.bearer("repository:me/m:pull,push")
    assert (await signer.send("HEAD", f"/v2/me/m/blobs/{digest_of(b'')}")).status == 401
    assert signer.registry.breaches == []
    assert (await signer.send("POST", "/v2/me/m/blobs/uploads/")).status == 401
    assert signer.registry.breaches == ["POST /v2/me/m/blobs/uploads/: no token, though one was issued"]


async def test_body_without_a_token(signer: Signer) -> None:
    await signer.patch("/v2/me/m/blobs/uploads/x?_state=x", b"hello")
    await signer.send("PUT", "/v2/me/m/blobs/uploads/x?_state=x", b"")
    assert [breach.partition(": ")[2] for breach in signer.registry.breaches] == [
        "no token, after the session was opened with one"
    ] * 2


async def test_signature_outside_the_token_service(signer: Signer) -> None:
    await signer.send("HEAD", f"/v2/me/m/blobs/{digest_of(b'')}", headers={"Authorization": "a2V5:c2ln"})
    (breach,) = signer.registry.breaches
    assert "for the token service only" in breach
