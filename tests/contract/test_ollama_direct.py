"""Blobs that go to an Ollama registry's storage whole, are found there, or are mounted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ..support.ollama_wire import Connect, OllamaWire, connecting, cut_up, etag_of
from ..support.registries import EmbeddedFactory
from ..support.wire import digest_of

CONTENT = bytes(range(256)) * 40
PARTS = cut_up(CONTENT, 4096)


@pytest.fixture
async def ollama(embedded_with: EmbeddedFactory) -> AsyncIterator[Connect]:
    async with connecting(embedded_with) as connect:
        yield connect


async def offered(wire: OllamaWire, content: bytes = CONTENT) -> tuple[str, str, dict[str, str]]:
    reply = await wire.announce(content)
    assert reply.status == 202
    signed = {
        name.removeprefix("X-Signed-Header-"): value
        for name, value in reply.headers.items()
        if name.startswith("X-Signed-Header-")
    }
    return reply.headers["Location"], reply.headers["X-Direct-Upload-URL"], signed


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize("content", [CONTENT, b""])
async def test_direct_upload(ollama: Connect, status: int, content: bytes) -> None:
    wire = await ollama(direct_status=status)
    session, target, signed = await offered(wire, content)
    assert target.startswith(wire.registry.storage_origin + "/")
    assert (await wire.put(target, content, signed)).status == status
    reply = await wire.end(session, content, None)
    assert (reply.status, reply.headers["Docker-Content-Digest"]) == (201, digest_of(content))
    assert await wire.has(content)
    assert wire.registry.breaches == []


@pytest.mark.parametrize(("old", "new"), [("%2f", "%2F"), ("%7E", "~"), ("%3b", ";"), ("a+b", "a%20b")])
async def test_direct_upload_at_a_url_that_was_printed_again(ollama: Connect, old: str, new: str) -> None:
    wire = await ollama()
    _, target, signed = await offered(wire)
    changed = target.replace(old, new)
    assert changed != target
    assert (await wire.put(changed, CONTENT, signed)).status == 403
    assert "byte for byte" in wire.only_breach


async def test_direct_url_is_in_no_order_that_a_client_would_make(ollama: Connect) -> None:
    wire = await ollama()
    _, target, _ = await offered(wire)
    names = [pair.partition("=")[0] for pair in target.partition("?")[2].split("&")]
    assert names != sorted(names)


@pytest.mark.parametrize("name", ["Content-Type", "X-Amz-Meta-Note", "X-Amz-Checksum-Sha256"])
async def test_direct_upload_without_what_was_signed(ollama: Connect, name: str) -> None:
    wire = await ollama()
    _, target, signed = await offered(wire)
    del signed[name]
    assert (await wire.put(target, CONTENT, signed)).status == 403
    assert f"{name} is not what was signed" in wire.only_breach


async def test_direct_upload_that_never_came(ollama: Connect) -> None:
    wire = await ollama()
    session, _, _ = await offered(wire)
    assert (await wire.end(session, CONTENT, None)).status == 400
    assert "never came" in wire.only_breach


async def test_direct_upload_of_damage(ollama: Connect) -> None:
    wire = await ollama()
    session, target, signed = await offered(wire)
    await wire.put(target, CONTENT[:-1] + b"x", signed)
    assert (await wire.end(session, CONTENT, None)).codes == ["DIGEST_INVALID"]
    assert not await wire.has(CONTENT)


async def test_commit_of_another_digest_than_was_announced(ollama: Connect) -> None:
    wire = await ollama()
    session, target, signed = await offered(wire)
    await wire.put(target, CONTENT, signed)
    assert (await wire.end(session, b"other", None)).status == 400
    assert "was announced" in wire.only_breach


async def test_parts_where_a_direct_upload_was_offered(ollama: Connect) -> None:
    wire = await ollama()
    session, _, _ = await offered(wire)
    await wire.ask(session, 0, CONTENT)
    assert "though a direct upload was offered" in wire.only_breach


async def test_parts_where_no_direct_upload_is_offered(ollama: Connect) -> None:
    wire = await ollama(direct=False)
    reply = await wire.announce(CONTENT)
    assert not [name for name in reply.headers if name.startswith("X-")]
    session, targets = await wire.ask_all(reply.headers["Location"], PARTS)
    for target, part in zip(targets, PARTS, strict=True):
        await wire.put(target, part)
    assert (await wire.end(session, CONTENT, etag_of(PARTS))).status == 201
    assert wire.registry.breaches == []


async def test_parts_that_are_less_than_was_announced(ollama: Connect) -> None:
    wire = await ollama(direct=False)
    reply = await wire.announce(CONTENT)
    session, targets = await wire.ask_all(reply.headers["Location"], PARTS[:2])
    for target, part in zip(targets, PARTS[:2], strict=True):
        await wire.put(target, part)
    assert (await wire.end(session, CONTENT, etag_of(PARTS[:2]))).status == 400
    assert "10240 were announced" in wire.only_breach


@pytest.mark.parametrize(
    "headers",
    [{"X_Redirect_Uploads": ""}, {"X_Redirect_Uploads": "1"}, {"X_Content_Length": ""}, {"X_Content_Length": "-1"}],
)
async def test_announcement_that_is_not_whole(ollama: Connect, headers: dict[str, str]) -> None:
    wire = await ollama()
    assert (await wire.announce(CONTENT, **headers)).status == 400
    assert "needs all three" in wire.only_breach


async def test_blob_that_any_repository_has_is_found(ollama: Connect) -> None:
    wire = await ollama()
    session, target, signed = await offered(wire)
    await wire.put(target, CONTENT, signed)
    await wire.end(session, CONTENT, None)
    other = OllamaWire(wire.session, wire.registry, "you/n")
    assert (await other.send("HEAD", f"/v2/you/n/blobs/{digest_of(CONTENT)}")).status == 404
    reply = await other.announce(CONTENT)
    assert (reply.status, reply.headers["Docker-Content-Digest"]) == (201, digest_of(CONTENT))
    assert await other.has(CONTENT)
    assert wire.registry.breaches == []


async def test_mount(ollama: Connect) -> None:
    wire = await ollama()
    reply = await wire.ask(await wire.open(), 0, CONTENT, redirect=False)
    await wire.end(reply.headers["Location"], CONTENT, etag_of([CONTENT]))
    query = f"?mount={digest_of(CONTENT)}&from=me/m"
    assert (await wire.send("POST", f"/v2/you/n/blobs/uploads/{query}")).status == 201
    assert (await wire.send("POST", f"/v2/you/n/blobs/uploads/{query.replace('me/m', 'me/x')}")).status == 202
    assert wire.registry.breaches == []
