"""What nobody may send to an Ollama registry, to its storage, or of Ollama's to a plain one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from yarl import URL

from registry_push.embedded import Options

from ..support.ollama_wire import Connect, Line, OllamaWire, connecting, cut_up
from ..support.registries import EmbeddedFactory
from ..support.wire import digest_of

CONTENT = bytes(range(256)) * 40
PARTS = cut_up(CONTENT, 4096)


@pytest.fixture
async def ollama(embedded_with: EmbeddedFactory) -> AsyncIterator[Connect]:
    async with connecting(embedded_with) as connect:
        yield connect


@pytest.mark.parametrize(
    ("headers", "status", "what"),
    [
        ({"Authorization": "Bearer x"}, 400, "Authorization was sent"),
        ({"Content-Range": "0-3"}, 400, "Content-Range was sent"),
        ({"Cookie": "__edge=embedded"}, 400, "Cookie was sent"),
        ({"X-Redirect-Uploads": "1"}, 200, "an unknown header, x-redirect-uploads"),
    ],
)
async def test_header_that_the_storage_may_not_see(
    ollama: Connect, headers: dict[str, str], status: int, what: str
) -> None:
    wire = await ollama()
    _, (target,) = await wire.ask_all(await wire.open(), [CONTENT])
    assert (await wire.put(target, CONTENT, headers)).status == status
    assert what in wire.only_breach


async def test_storage_takes_nothing_but_a_put_of_the_size(
    ollama: Connect,
) -> None:
    wire = await ollama()
    _, (target,) = await wire.ask_all(await wire.open(), [CONTENT])
    assert (await wire.send("PATCH", target, CONTENT)).status == 405
    assert (await wire.put(target, CONTENT[1:])).status == 400

    async def pieces() -> AsyncIterator[bytes]:
        yield CONTENT

    async with wire.session.put(URL(target, encoded=True), data=pieces()) as answer:
        assert answer.status == 411
    for breach, what in zip(wire.registry.breaches, ("PUT only", "Content-Length is not", "Transfer-Enc"), strict=True):
        assert what in breach


@pytest.mark.parametrize(("old", "new"), [("%2f", "%2F"), ("%7E", "~"), ("%2f", "/"), ("uploadId=", "uploadId=x")])
async def test_presigned_url_that_is_not_byte_for_byte(ollama: Connect, old: str, new: str) -> None:
    wire = await ollama()
    _, (target,) = await wire.ask_all(await wire.open(), [CONTENT])
    changed = target.replace(old, new)
    assert changed != target
    reply = await wire.put(changed, CONTENT)
    assert (reply.status, b"SignatureDoesNotMatch" in reply.body) == (403, True)
    assert "byte for byte" in wire.only_breach


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "BLOB_UPLOAD_INVALID"),
        ({"Content-Range": "bytes 0-3"}, "BLOB_UPLOAD_INVALID"),
        ({"Content-Range": "0-4"}, "SIZE_INVALID"),
        ({"Content-Range": "4-0"}, "SIZE_INVALID"),
    ],
)
async def test_patch_needs_its_content_range(ollama: Connect, headers: dict[str, str], code: str) -> None:
    wire = await ollama()
    reply = await wire.send("PATCH", await wire.open(), b"four", {"X-Redirect-Uploads": "1"} | headers)
    assert (reply.status, reply.codes) == (400, [code])
    assert "Content-Range" in wire.only_breach


async def test_session_url_that_was_made_up(ollama: Connect) -> None:
    wire = await ollama()
    session = await wire.open()
    for made_up in (session.partition("?")[0], session[:-1] + "7", session[:-1] + "x", session + "0x"):
        assert (await wire.ask(made_up, 0, CONTENT)).status == 404
    assert len(wire.registry.breaches) == 4
    unknown = session.replace(session.partition("uploads/")[2][:8], "01234567", 1)
    assert (await wire.ask(unknown, 0, CONTENT)).status == 404
    assert len(wire.registry.breaches) == 4, "a session that has ended is nobody's fault"


OCI_ONLY = [
    ("GET", "/v2/"),
    ("GET", "/v2/_catalog"),
    ("GET", "/v2/me/m/tags/list"),
    ("GET", f"/v2/me/m/referrers/{digest_of(b'')}"),
    ("GET", None),
    ("HEAD", None),
    ("DELETE", None),
]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(("method", "target"), OCI_ONLY)
async def test_what_only_oci_registries_have(ollama: Connect, strict: bool, method: str, target: str | None) -> None:
    wire = await ollama(strict=strict)
    assert (await wire.send(method, target or await wire.open())).status == 404
    assert len(wire.registry.breaches) == strict


async def test_status_where_the_options_have_it(ollama: Connect) -> None:
    wire = await ollama(status=True)
    session, targets = await wire.ask_all(await wire.open(), PARTS)
    await wire.put(targets[0], PARTS[0])
    await wire.put(targets[2], PARTS[2])
    reply = await wire.send("GET", session)
    assert (reply.status, reply.headers["Range"], reply.headers["Location"]) == (204, "0-4095", session)
    assert wire.registry.breaches == []


async def test_unknown_extensions_are_seen(ollama: Connect) -> None:
    wire = await ollama()
    await wire.send("HEAD", f"{wire.base}/blobs/{digest_of(b'')}", headers={"X-Mine": "1"})
    assert wire.only_breach == f"HEAD /v2/me/m/blobs/{digest_of(b'')}: an unknown header, x-mine"


# A plain registry


@pytest.mark.parametrize(
    ("zot_like", "content_type", "status"),
    [(False, None, 202), (True, None, 415), (True, "application/octet-stream", 400)],
)
async def test_plain_registry_sees_ollamas_headers(
    embedded_with: EmbeddedFactory, zot_like: bool, content_type: str | None, status: int
) -> None:
    server = await embedded_with(Options(zot_like=zot_like))
    line = await Line.to(server.origin)  # by hand: aiohttp adds a Content-Type
    headers = {"X_Redirect_Uploads": 2, "X_Content_Length": 5, "Content_Length": 0}
    more = {} if content_type is None else {"Content_Type": content_type}
    line.head("POST", f"{server.origin}/v2/me/m/blobs/uploads/?digest={digest_of(b'hello')}", **headers, **more)
    assert (await line.answer())[0] == status
    await line.close()
    assert server.breaches == [
        "POST /v2/me/m/blobs/uploads/: x-content-length was sent to a plain registry",
        "POST /v2/me/m/blobs/uploads/: x-redirect-uploads was sent to a plain registry",
    ]


async def test_plain_upload_is_no_breach(embedded_with: EmbeddedFactory) -> None:
    async with aiohttp.ClientSession() as session:
        wire = OllamaWire(session, await embedded_with(Options(zot_like=True)), "me/m")
        await wire.push(CONTENT)
        headers = {"Content-Type": "application/octet-stream"}
        whole = await wire.send("POST", f"{wire.base}/blobs/uploads/?digest={digest_of(b'x')}", b"x", headers)
        assert whole.status == 201
        assert wire.registry.breaches == []
