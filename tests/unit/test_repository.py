"""A repository as a store, against answers that are written down."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from registry_push.content.hashing import Hasher
from registry_push.errors import (
    BlobMissing,
    Denied,
    ManifestCorrupt,
    ManifestRefused,
    ModelNotFound,
    NotARegistry,
    Refused,
    RegistryPushError,
    RemoteMismatch,
    SourceUnavailable,
    Unauthorized,
    Unavailable,
)
from registry_push.model import Descriptor, Digest, Manifest
from registry_push.model.manifest import DOCKER_MANIFEST, OCI_MANIFEST
from registry_push.registry.repository import Repository
from registry_push.settings import Settings
from tests.support.hosts import repository_at
from tests.support.scripted import NOWHERE, Answer, Says, Scripted, Seen, opened, token, unauthorized, wants

CONTENT = bytes(range(256)) * 40
BLOB = Descriptor("application/vnd.ollama.image.model", Digest.of(CONTENT), len(CONTENT))
BLOB_PATH = f"/v2/a/b/blobs/{BLOB.digest}"
# Spaces and a newline at its end: bytes that a JSON encoder would not give back.
RAW = json.dumps({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "layers": []}, indent=3).encode() + b"\n"
MANIFEST = Manifest.parse(RAW)
TAG_PATH = "/v2/a/b/manifests/latest"


@asynccontextmanager
async def _repository(server: Scripted, *, retries: int = 0) -> AsyncIterator[Repository]:
    settings, hasher = Settings(home=NOWHERE, retries=retries), Hasher()
    async with opened(server.origin, retries=retries) as client:
        yield repository_at(client, "a/b", settings, hasher)
    hasher.close()


def _named(digest: Digest) -> tuple[tuple[str, str], ...]:
    return (("Docker-Content-Digest", str(digest)),)


# ── exists, open ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "there"),
    [
        (Says(200, _named(BLOB.digest), CONTENT), True),
        (Says(200, (("Content-Length", str(BLOB.size)),)), True),
        (Says(404), False),
    ],
)
async def test_a_blob_is_there_or_not(answer: Says, there: bool) -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("HEAD", BLOB_PATH, answer)
        assert await repository.exists(BLOB) is there


async def test_a_blob_at_storage_elsewhere_is_there() -> None:
    async with Scripted() as server, Scripted() as storage, _repository(server) as repository:
        server.on("HEAD", BLOB_PATH, Says(307, (("Location", f"{storage.origin}/blob?sig=1"),)))
        storage.on("HEAD", "/blob", Says(200, body=CONTENT))
        assert await repository.exists(BLOB)


async def test_a_blob_of_another_size_is_not_known_to_be_there_and_is_no_source() -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("HEAD", BLOB_PATH, Says(200, body=CONTENT[:-1]))
        assert not await repository.exists(BLOB)
        server.on("GET", BLOB_PATH, Says(200, body=CONTENT[:-1]))
        with pytest.raises(RemoteMismatch, match=f"{BLOB.size - 1} of {BLOB.size} bytes") as caught:
            await _read(repository, (0, BLOB.size))
        assert caught.value.exit_code == 7


@pytest.mark.attack("CVE-2025-24882")
async def test_cve_2025_24882_a_blob_that_is_said_to_have_another_digest_is_not_taken_for_ours() -> None:
    # "There" would be believed, and the manifest follow.
    async with Scripted() as server, _repository(server) as repository:
        server.on("HEAD", BLOB_PATH, Says(200, _named(Digest.of(b"other")), CONTENT))
        assert not await repository.exists(BLOB)
        server.on("GET", BLOB_PATH, Says(200, _named(Digest.of(b"other")), CONTENT))
        with pytest.raises(RemoteMismatch):
            await _read(repository, (0, BLOB.size))


@pytest.mark.parametrize(
    ("status", "error"), [(403, Denied), (401, Unauthorized), (400, Refused), (405, Refused), (503, Unavailable)]
)
async def test_who_is_not_told_whether_a_blob_is_there_gets_an_error(
    status: int, error: type[RegistryPushError]
) -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("HEAD", BLOB_PATH, Says(status))
        with pytest.raises(error):
            await repository.exists(BLOB)


async def test_to_open_what_is_not_there_is_a_missing_blob() -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("GET", BLOB_PATH, Says(404))
        with pytest.raises(BlobMissing):
            await _read(repository, (0, BLOB.size))


async def test_to_read_a_blob_no_right_to_push_is_asked_for() -> None:
    # Where the anonymous may pull but not push, the token service says no to both.
    async with Scripted() as server, _repository(server) as repository:
        closed = unauthorized(f'Bearer realm="{server.origin}/token",scope="repository:a/b:pull"')
        server.on("GET", BLOB_PATH, wants("Bearer T", otherwise=closed, then=Says(200, body=CONTENT)))
        server.on("GET", "/token", token("T"))
        await _read(repository, (0, BLOB.size))
        assert [asked.query["scope"] for asked in server.requests("GET", "/token")] == [["repository:a/b:pull"]]


# ── resolve, tag ──────────────────────────────────────────────────────────────────────────────────


async def test_a_manifest_is_read_as_it_is_and_docker_is_accepted_first() -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("GET", TAG_PATH, Says(200, (("Content-Type", DOCKER_MANIFEST), *_named(MANIFEST.digest)), RAW))
        assert (await repository.resolve("latest")).raw == RAW
        accepted = server.seen[0].headers["Accept"]
        assert accepted.startswith(DOCKER_MANIFEST)
        assert OCI_MANIFEST in accepted


async def test_a_manifest_that_is_not_there_is_a_missing_model() -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("GET", TAG_PATH, Says(404))
        with pytest.raises(ModelNotFound, match=r"127\.0\.0\.1:\d+/a/b has no tag latest") as caught:
            await repository.resolve("latest")
        assert caught.value.exit_code == 3


@pytest.mark.attack("CVE-2025-24882")
async def test_cve_2025_24882_asked_by_digest_another_manifest_is_a_mismatch() -> None:
    wanted = Digest.of(b"another manifest")
    async with Scripted() as server, _repository(server) as repository:
        server.on("GET", f"/v2/a/b/manifests/{wanted}", Says(200, _named(wanted), RAW))
        with pytest.raises(RemoteMismatch):
            await repository.resolve(str(wanted))


async def test_a_manifest_that_has_not_the_digest_of_its_answer_is_a_mismatch() -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("GET", TAG_PATH, Says(200, _named(Digest.of(b"x")), RAW))
        with pytest.raises(RemoteMismatch):
            await repository.resolve("latest")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"schemaVersion":1}', b"[" * 100_000])
async def test_a_manifest_that_is_none_is_corrupt(body: bytes) -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("GET", TAG_PATH, Says(200, body=body))
        with pytest.raises(ManifestCorrupt):
            await repository.resolve("latest")


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_a_manifest_is_put_byte_for_byte_under_its_own_type(status: int) -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("PUT", TAG_PATH, Says(status, _named(MANIFEST.digest)))
        await repository.put_manifest(MANIFEST, "latest")
        assert (server.seen[0].body, server.seen[0].headers["Content-Type"]) == (RAW, DOCKER_MANIFEST)


async def test_a_manifest_without_a_tag_is_put_under_its_digest() -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("PUT", f"/v2/a/b/manifests/{MANIFEST.digest}", Says(201))
        await repository.put_manifest(MANIFEST, str(MANIFEST.digest))
        assert server.seen[0].body == RAW


async def test_a_registry_that_stored_something_else_is_found_out() -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("PUT", TAG_PATH, Says(201, _named(Digest.of(b"re-encoded"))))
        with pytest.raises(RemoteMismatch, match=str(MANIFEST.digest)):
            await repository.put_manifest(MANIFEST, "latest")


@pytest.mark.parametrize(
    ("status", "code", "error", "hint"),
    [
        (400, "MANIFEST_BLOB_UNKNOWN", ManifestRefused, "lost a blob"),
        (400, "MANIFEST_INVALID", ManifestRefused, "docker2s2"),
        (415, "", ManifestRefused, "docker2s2"),
        (413, "", ManifestRefused, ""),
        (404, "NAME_UNKNOWN", ManifestRefused, ""),
        (307, "", ManifestRefused, ""),
        (401, "UNAUTHORIZED", Unauthorized, ""),
        (403, "DENIED", Denied, "may write"),
        (503, "", Unavailable, "same command"),
    ],
)
async def test_a_manifest_that_is_refused_says_why(
    status: int, code: str, error: type[RegistryPushError], hint: str
) -> None:
    body = json.dumps({"errors": [{"code": code, "message": "the reason"}]}).encode()
    async with Scripted() as server, _repository(server) as repository:
        server.on("PUT", TAG_PATH, Says(status, body=body))
        with pytest.raises(error) as caught:
            await repository.put_manifest(MANIFEST, "latest")
        assert type(caught.value) is error
        assert hint in (caught.value.hint or "")
        assert status in (307, 401) or "the reason" in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "digest"),
    [(Says(200, _named(MANIFEST.digest)), MANIFEST.digest), (Says(200), None), (Says(404), None)],
)
async def test_the_digest_under_a_tag_is_known_where_the_registry_says_it(answer: Says, digest: Digest | None) -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("HEAD", TAG_PATH, answer)
        assert await repository.digest_of("latest") == digest


# ── reading blobs ─────────────────────────────────────────────────────────────────────────────────


async def _read(repository: Repository, *parts: tuple[int, int]) -> list[bytes]:
    """These parts of the blob, one after the other."""
    body = await repository.open(BLOB)
    try:
        return [b"".join([piece async for piece in body.open(offset, length)]) for offset, length in parts]
    finally:
        await body.close()


def _ranged(seen: Seen) -> Says:
    """What a server that knows ranges says."""
    start = int(seen.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
    told = (("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"),)
    return Says(206, told, CONTENT[start:]) if start else Says(200, body=CONTENT)


@pytest.mark.parametrize("answer", [_ranged, Says(200, body=CONTENT)], ids=["ranges", "the server ignores ranges"])
@pytest.mark.parametrize(("offset", "length"), [(0, 10), (10, 20), (5000, 5240), (10239, 1), (1, 10239)])
async def test_a_part_of_a_blob_is_read(answer: Answer, offset: int, length: int) -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("GET", BLOB_PATH, answer)
        assert await _read(repository, (offset, length)) == [CONTENT[offset : offset + length]]


async def test_a_blob_is_asked_for_once_however_many_parts_are_read_in_order() -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("GET", BLOB_PATH, Says(200, body=CONTENT))
        parts = [(0, 100), (100, 0), (100, 5000), (5100, BLOB.size - 5100)]
        assert b"".join(await _read(repository, *parts)) == CONTENT
        assert ["Range" in seen.headers for seen in server.seen] == [False]


async def test_parts_out_of_order_are_asked_for_by_themselves() -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("GET", BLOB_PATH, _ranged)
        assert await _read(repository, (5000, 10), (0, 10), (20, 5)) == [
            CONTENT[5000:5010],
            CONTENT[:10],
            CONTENT[20:25],
        ]
        assert [seen.headers.get("Range") for seen in server.seen] == ["bytes=5000-", None, "bytes=20-"]


async def test_what_broke_off_is_gone_on_with_from_there() -> None:
    async with Scripted() as server, _repository(server, retries=2) as repository:
        server.on("GET", BLOB_PATH, Says(200, body=CONTENT, cut_answer_at=4000), _ranged)
        assert await _read(repository, (0, BLOB.size)) == [CONTENT]
        first, second = server.seen
        assert "Range" not in first.headers
        assert 0 < int(second.headers["Range"].removeprefix("bytes=").removesuffix("-")) <= 4000


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Says(200, body=CONTENT[:100]), RemoteMismatch),
        (Says(206, body=CONTENT[10:20]), RemoteMismatch),
        (Says(200, body=CONTENT, cut_answer_at=9), SourceUnavailable),
        (Says(404), BlobMissing),
        (Says(416), Refused),
        (Says(503), SourceUnavailable),
        (Says(raw=b""), SourceUnavailable),
        # another part than was asked for
        (Says(206, (("Content-Range", "bytes 0-99/10240"),), CONTENT[:100]), RemoteMismatch),
    ],
)
async def test_a_part_that_is_not_what_was_asked_for_is_an_error(answer: Any, error: type[RegistryPushError]) -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("GET", BLOB_PATH, answer)
        with pytest.raises(error):
            await _read(repository, (10, 100))


# ── what is no registry ───────────────────────────────────────────────────────────────────────────


async def test_a_blob_that_is_a_page_is_no_registrys() -> None:
    html = (("Content-Type", "text/html"),)
    async with Scripted() as server, _repository(server) as repository:
        server.on("HEAD", BLOB_PATH, Says(200, (("Content-Length", str(BLOB.size)),)))
        server.on("GET", BLOB_PATH, Says(200, html, b"<html>sign in</html>"), Says(200, html, CONTENT))
        body = await repository.open(BLOB)
        with pytest.raises(NotARegistry):
            _ = [piece async for piece in body.open(0, BLOB.size)]
        got = b"".join([piece async for piece in body.open(0, BLOB.size)])
        assert got == CONTENT, "Google's storage calls content so"


async def test_a_manifest_that_is_none_is_not_mended_by_ollama_pull() -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("GET", "/v2/", Says(200))
        server.on("GET", TAG_PATH, Says(200, (("Content-Type", "application/json"),), b"{}"))
        with pytest.raises(ManifestCorrupt) as caught:
            await repository.resolve("latest")
        assert "ollama pull" not in str(caught.value.hint)
