"""What the embedded registry does when it is told to be like another, and what its log says."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from registry_push.content.body import BytesBody
from registry_push.content.oci.layout import OCILayout
from registry_push.embedded import Basic, EmbeddedRegistry, OnCut, Options
from registry_push.embedded.manifests import NON_DISTRIBUTABLE
from registry_push.model import Descriptor, Digest
from registry_push.model.manifest import OCI_MANIFEST

from ..support.registries import DockerRegistry, EmbeddedFactory, Registry
from ..support.secrets import BASIC, PASSWORD
from ..support.wire import Wire, digest_of

HELLO = b"hello world"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def wire_to(session: aiohttp.ClientSession, registry: Registry) -> Wire:
    return Wire(session, registry, "me/m")


async def test_relative_locations(session: aiohttp.ClientSession, embedded_with: EmbeddedFactory) -> None:
    wire = wire_to(session, await embedded_with(Options(relative_locations=True)))
    location = await wire.open()
    assert location.startswith("/v2/me/m/blobs/uploads/")
    reply = await wire.commit(location, digest_of(HELLO), HELLO)
    assert reply.headers["Location"] == f"/v2/me/m/blobs/{digest_of(HELLO)}"


async def test_smallest_chunk_is_told(session: aiohttp.ClientSession, embedded_with: EmbeddedFactory) -> None:
    wire = wire_to(session, await embedded_with(Options(min_chunk=5)))
    reply = await wire.send("POST", "/v2/me/m/blobs/uploads/")
    assert reply.headers["OCI-Chunk-Min-Length"] == "5"


async def test_body_over_the_largest_chunk_is_413(
    session: aiohttp.ClientSession, embedded_with: EmbeddedFactory
) -> None:
    server = await embedded_with(Options(max_chunk=10))
    wire = wire_to(session, server)
    location = await wire.open()
    assert (await wire.patch(location, HELLO)).status == 413
    assert server.log[-1].received == 0
    reply = await wire.patch(location, HELLO[:10])
    assert (reply.status, reply.headers["Range"]) == (202, "0-9")


async def test_body_of_no_stated_length_over_the_largest_chunk_leaves_nothing(
    session: aiohttp.ClientSession, embedded_with: EmbeddedFactory
) -> None:
    server = await embedded_with(Options(max_chunk=10))
    wire = wire_to(session, server)
    location = await wire.open()

    async def pieces() -> AsyncIterator[bytes]:
        yield HELLO[:5]
        while server.log[-1].received < 5:
            await asyncio.sleep(0)
        yield HELLO[5:]

    async with session.patch(location, data=pieces()) as answer:
        assert answer.status == 413
    assert (await wire.send("GET", location)).headers["Range"] == "0-0"


@pytest.mark.parametrize(
    ("on_cut", "left"),
    [(OnCut.KEEP, f"0-{11 + 700 - 1}"), (OnCut.ACKNOWLEDGED, "0-10"), (OnCut.LOSE, None)],
)
async def test_cut_after_so_many_bytes_leaves_what_was_asked_for(
    session: aiohttp.ClientSession, embedded_with: EmbeddedFactory, on_cut: OnCut, left: str | None
) -> None:
    server = await embedded_with(Options(on_cut=on_cut, cut_after=len(HELLO) + 700))
    wire = wire_to(session, server)
    location = (await wire.patch(await wire.open(), HELLO)).headers["Location"]
    with pytest.raises(aiohttp.ClientError):
        await wire.patch(location, b"x" * 1000)
    assert server.log[-1].status == 0
    status = await wire.send("GET", location)
    assert status.headers.get("Range") == left
    if left is None:
        assert (status.status, status.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])
        return
    # It happens once; and the hash went on from the right place.
    kept = HELLO + b"x" * (int(left[2:]) + 1 - len(HELLO))
    content = kept + b"y" * 5000
    reply = await wire.commit(status.headers["Location"], digest_of(content), b"y" * 5000)
    assert reply.status == 201


async def test_cut_is_no_fault_of_the_server(
    session: aiohttp.ClientSession, embedded: EmbeddedRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    wire = wire_to(session, embedded)
    with caplog.at_level(logging.WARNING):
        location = await wire.open()
        await wire.broken_off("PATCH", location, b"x" * 70_000, 100_000)
        assert (await wire.send("GET", location)).headers["Range"] == "0-69999"
    assert caplog.records == []


async def test_bad_upload_is_refused_before_its_body_is_sent(embedded: EmbeddedRegistry) -> None:
    reader, writer = await asyncio.open_connection(*embedded.host.split(":"))
    head = "Host: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
    writer.write(f"PATCH /v2/me/m/blobs/uploads/none HTTP/1.1\r\n{head}".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")
    writer.close()
    await writer.wait_closed()


async def test_good_upload_is_asked_for_its_body(session: aiohttp.ClientSession, embedded: EmbeddedRegistry) -> None:
    wire = wire_to(session, embedded)
    async with session.patch(await wire.open(), data=HELLO, expect100=True) as answer:
        assert (answer.status, answer.headers["Range"]) == (202, "0-10")
    manifest = await wire.send("PUT", "/v2/me/m/manifests/x", b"{}", {"Expect": "100-continue"})
    assert manifest.codes == ["MANIFEST_INVALID"]


async def test_hook_answers_or_lets_pass(session: aiohttp.ClientSession, embedded_with: EmbeddedFactory) -> None:
    async def once(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=503) if len(server.log) == 1 else None

    server = await embedded_with(Options(hook=once))
    wire = wire_to(session, server)
    assert (await wire.send("GET", "/v2/")).status == 503
    assert (await wire.send("GET", "/v2/")).status == 200
    assert [exchange.status for exchange in server.log] == [503, 200]


async def test_log(session: aiohttp.ClientSession, embedded: EmbeddedRegistry) -> None:
    wire = wire_to(session, embedded)
    location = await wire.open()
    secret = {"Authorization": f"Basic {base64.b64encode(b'me:secret').decode()}", "Content-Range": "0-10"}
    reply = await wire.send("PATCH", location, HELLO, secret)
    await wire.commit(reply.headers["Location"], digest_of(HELLO))
    await wire.send("GET", f"/v2/me/m/blobs/{digest_of(HELLO)}")
    assert [(entry.method, entry.status, entry.received) for entry in embedded.log] == [
        ("POST", 202, 0),
        ("PATCH", 202, 11),
        ("PUT", 201, 0),
        ("GET", 200, 0),
    ]
    patch = embedded.log[1]
    assert embedded.origin + patch.target == location
    assert (patch.headers["Content-Range"], patch.authorization) == ("0-10", "Basic")
    assert "secret" not in repr(patch) and secret["Authorization"] not in repr(patch)


async def test_one_upload_takes_one_body_at_a_time(session: aiohttp.ClientSession, embedded: EmbeddedRegistry) -> None:
    wire = wire_to(session, embedded)
    location = await wire.open()
    replies = await asyncio.gather(wire.patch(location, b"a" * 500_000), wire.patch(location, b"b" * 500_000))
    assert sorted(reply.status for reply in replies) == [202, 416]


async def test_repository_is_an_image_layout(
    session: aiohttp.ClientSession, embedded: EmbeddedRegistry, tmp_path: Path
) -> None:
    wire = wire_to(session, embedded)
    await wire.push(HELLO)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": digest_of(HELLO), "size": len(HELLO)}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": layer, "layers": []}).encode()
    await wire.send("PUT", f"{wire.base}/manifests/v1", manifest, {"Content-Type": OCI_MANIFEST})
    assert (await OCILayout(tmp_path / "embedded" / "me%2Fm").resolve("v1")).raw == manifest
    assert [path.name for path in (tmp_path / "embedded").iterdir()] == ["me%2Fm"]


async def test_nothing_is_mounted_from_beside_the_repositories(
    session: aiohttp.ClientSession, embedded: EmbeddedRegistry, tmp_path: Path
) -> None:
    beside = OCILayout(tmp_path)  # the registry's root is below it
    await beside.put(Descriptor("text/plain", Digest.of(HELLO), len(HELLO)), BytesBody(HELLO))
    wire = wire_to(session, embedded)
    reply = await wire.send("POST", f"{wire.base}/blobs/uploads/?mount={digest_of(HELLO)}&from=..")
    assert reply.status == 202


async def test_what_was_under_way_is_cleaned_up_at_the_end(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with EmbeddedRegistry(tmp_path) as server:
        wire = wire_to(session, server)
        await wire.patch(await wire.open(), HELLO)
        assert len(list(tmp_path.glob(".spool*"))) == 1
    assert not list(tmp_path.iterdir())


@pytest.fixture(params=["embedded", pytest.param("docker-registry", marks=pytest.mark.real)])
def behind_password(request: pytest.FixtureRequest) -> Any:
    """Registries for `me` with `pass word` only."""
    if request.param == "docker-registry":
        return request.getfixturevalue("docker_registry_htpasswd")
    return request.getfixturevalue("embedded_basic")


@pytest.fixture
async def embedded_basic(embedded_with: EmbeddedFactory) -> EmbeddedRegistry:
    return await embedded_with(Options(auth=Basic({"me": PASSWORD}, realm="test")))


@pytest.mark.parametrize("credentials", [None, "Basic bWU6bm8=", "Basic !!!", "Basic bm9ib2R5Og==", "Bearer x"])
async def test_basic_refuses(
    session: aiohttp.ClientSession, behind_password: EmbeddedRegistry | DockerRegistry, credentials: str | None
) -> None:
    wire = wire_to(session, behind_password)
    headers = {"Authorization": credentials} if credentials else {}
    for method, target in (("GET", "/v2/"), ("POST", "/v2/me/m/blobs/uploads/"), ("GET", "/v2/_catalog")):
        reply = await wire.send(method, target, headers=headers)
        assert (reply.status, reply.codes) == (401, ["UNAUTHORIZED"])
        assert reply.headers["WWW-Authenticate"] == 'Basic realm="test"'


async def test_basic_lets_pass(
    session: aiohttp.ClientSession, behind_password: EmbeddedRegistry | DockerRegistry
) -> None:
    wire = wire_to(session, behind_password)
    headers = {"Authorization": BASIC}
    assert (await wire.send("GET", "/v2/", headers=headers)).status == 200
    assert (await wire.send("POST", "/v2/me/m/blobs/uploads/", headers=headers)).status == 202


# ── what is not here, and need not be ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("layer_type", sorted(NON_DISTRIBUTABLE))
async def test_absent_layer_of_each_type_that_may_not_be_passed_on(
    session: aiohttp.ClientSession, embedded: EmbeddedRegistry, layer_type: str
) -> None:
    wire = wire_to(session, embedded)
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": await wire.push(b"{}"), "size": 2}
    layer = {"mediaType": layer_type, "digest": digest_of(b"elsewhere"), "size": 9}
    for layers, status in (([layer], 201), ([layer, layer | {"mediaType": "application/x-layer"}], 400)):
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers}
        raw = json.dumps(document).encode()
        reply = await wire.send("PUT", "/v2/me/m/manifests/x", raw, {"Content-Type": OCI_MANIFEST})
        assert reply.status == status


@pytest.mark.parametrize(
    ("digest", "status", "code"),
    [
        ("sha512:" + "a" * 128, 404, "UNSUPPORTED"),
        ("sha384:" + "a" * 96, 404, "UNSUPPORTED"),
        ("blake3:" + "a" * 64, 404, "UNSUPPORTED"),
        ("md5:" + "a" * 32, 404, "UNSUPPORTED"),
        ("sha512:" + "a" * 127, 400, "DIGEST_INVALID"),
        ("sha512:" + "A" * 128, 400, "DIGEST_INVALID"),
        ("sha256:" + "a" * 63, 400, "DIGEST_INVALID"),
    ],
)
async def test_digest_of_another_algorithm_is_unsupported_and_no_digest_is_invalid(
    session: aiohttp.ClientSession, embedded: EmbeddedRegistry, digest: str, status: int, code: str
) -> None:
    wire = wire_to(session, embedded)
    for target in (f"/v2/me/m/blobs/{digest}", f"/v2/me/m/manifests/{digest}"):
        for method in ("HEAD", "DELETE"):
            assert (await wire.send(method, target)).status == status
    location = await wire.open()
    wire.check_error(await wire.commit(location, digest, HELLO), 400, code)
    assert (await wire.commit(location, digest_of(HELLO), HELLO)).status == 201, "the session is still there"
    wire.check_error(await wire.send("POST", f"/v2/me/m/blobs/uploads/?digest={digest}", HELLO), 400, code)
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": {"digest": digest, "size": 1}, "layers": []}
    for reference, raw in (("x", document), (digest, document | {"config": None})):
        put = await wire.send(
            "PUT", f"/v2/me/m/manifests/{reference}", json.dumps(raw).encode(), {"Content-Type": OCI_MANIFEST}
        )
        assert put.status == 400
        assert put.codes in ([code], ["MANIFEST_INVALID"])
