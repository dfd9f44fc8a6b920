"""The embedded registry as hf.co: what its clients are told, and what they may not do."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from registry_push.content.body import BytesBody
from registry_push.embedded import EmbeddedRegistry, HuggingFace, Options
from registry_push.embedded.sample import gguf

from ..support.layouts import described, manifest
from ..support.registries import EmbeddedFactory

WEIGHTS, TEMPLATE = gguf(50_000, seed=1), b"{{ .Prompt }}"
MANIFEST = manifest(layers=[described(TEMPLATE), described(WEIGHTS)])
REPOSITORY = "/v2/User/Tiny-GGUF"


def blob(content: bytes) -> str:
    return f"{REPOSITORY}/blobs/{described(content).digest}"


async def filled(registry: EmbeddedRegistry) -> EmbeddedRegistry:
    repository = registry.repositories["user/tiny-gguf"]
    for content in (TEMPLATE, WEIGHTS):
        await repository.put(described(content), BytesBody(content))
    await repository.put_manifest(MANIFEST, "Q4_K_M")
    return registry


@pytest.fixture
async def hub(embedded_with: EmbeddedFactory) -> EmbeddedRegistry:
    return await filled(await embedded_with(Options(hugging_face=HuggingFace())))


@pytest.fixture
async def session(hub: EmbeddedRegistry) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(hub.origin) as session:
        yield session


@pytest.mark.parametrize("name", [REPOSITORY, REPOSITORY.replace("User", "USER"), "/v2/user/tiny-gguf"])
async def test_names_match_without_case(session: aiohttp.ClientSession, name: str) -> None:
    async with session.get(f"{name}/manifests/Q4_K_M") as response:
        assert response.status == 200
        assert await response.read() == MANIFEST.raw
        assert response.headers["Docker-Content-Digest"] == str(MANIFEST.digest)


async def test_llama_cpp_has_another_manifest(session: aiohttp.ClientSession) -> None:
    headers = {"User-Agent": "llama-cpp/b4000"}
    async with session.get(f"{REPOSITORY}/manifests/Q4_K_M", headers=headers) as response:
        assert response.status == 200
        assert "ggufFile" in await response.json()


async def test_a_small_blob_comes_at_once_and_can_be_had_at_its_location(session: aiohttp.ClientSession) -> None:
    async with session.get(blob(TEMPLATE)) as response:
        assert response.status == 200
        assert await response.read() == TEMPLATE
        location = response.headers["Location"]
        assert location.startswith("/v2/") and "?__sign=" in location, "on the same host"
    async with session.get(location, headers={"Range": "bytes=3-9"}) as response:
        assert response.status == 206
        assert await response.read() == TEMPLATE[3:10]


async def test_weights_are_elsewhere(hub: EmbeddedRegistry, session: aiohttp.ClientSession) -> None:
    async with session.get(blob(WEIGHTS), allow_redirects=False) as response:
        assert response.status == 307
        location = response.headers["Location"]
        assert location.startswith(hub.storage_origin) and hub.storage_origin != hub.origin
    async with session.get(location, headers={"Range": "bytes=100-"}) as response:
        assert response.status == 206
        assert await response.read() == WEIGHTS[100:]
    assert hub.breaches == []
    for headers, status in (({"Authorization": "Bearer x"}, 400), ({}, 200)):
        async with session.get(location, headers=headers) as response:
            assert response.status == status
    async with session.get(location.replace("Signature=", "Signature=0")) as response:
        assert response.status == 403
    assert len(hub.breaches) == 2


@pytest.mark.parametrize("content", [WEIGHTS, TEMPLATE])
async def test_head_says_the_size_and_leads_nowhere(session: aiohttp.ClientSession, content: bytes) -> None:
    async with session.head(blob(content), allow_redirects=False) as response:
        assert response.status == 200
        assert response.headers["Content-Length"] == str(len(content))
        assert response.headers["Accept-Ranges"] == "bytes"


async def test_addresses_run_out(embedded_with: EmbeddedFactory) -> None:
    now = [1000.0]
    options = HuggingFace(lifetime=60, expire_first=1, clock=lambda: now[0])
    hub = await filled(await embedded_with(Options(hugging_face=options)))
    async with aiohttp.ClientSession(hub.origin) as session:
        for passed, status in ((0, 403), (59, 200), (61, 403)):
            async with session.get(blob(WEIGHTS), allow_redirects=False) as response:
                location = response.headers["Location"]
            now[0] += passed
            async with session.get(location) as response:
                assert response.status == status
    assert hub.breaches == []


async def test_what_is_not_there(session: aiohttp.ClientSession) -> None:
    for path in (f"{REPOSITORY}/manifests/other", blob(b"other"), "/v2/user/other/manifests/Q4_K_M"):
        async with session.get(path) as response:
            assert response.status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", f"{REPOSITORY}/manifests/new"), ("POST", f"{REPOSITORY}/blobs/uploads/"), ("DELETE", blob(WEIGHTS))],
)
async def test_nothing_is_written(
    hub: EmbeddedRegistry, session: aiohttp.ClientSession, method: str, path: str
) -> None:
    async with session.request(method, path) as response:
        assert response.status == 405
    assert len(hub.breaches) == 1
