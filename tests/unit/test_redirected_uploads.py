"""Redirects of what is not read: sessions, commits without a body, manifests; and of HEAD to a storage."""

from __future__ import annotations

import pytest

from registry_push.errors import Denied, ForeignAddress
from registry_push.model import Digest

from ..support.scripted import Says, Scripted, SignIn, authorizations, opened, unauthorized, wants
from ..support.secrets import BASIC
from .test_basic import LOGIN, PUSH
from .test_repository import BLOB, BLOB_PATH, MANIFEST, RAW, TAG_PATH, _named, _repository

POST = {"Content-Length": "0"}


def _to(location: str, status: int = 307, *more: tuple[str, str]) -> Says:
    return Says(status, (("Location", location), *more))


@pytest.mark.parametrize("status", [307, 308])
async def test_a_post_without_its_slash_is_sent_on_with_the_login(status: int) -> None:
    async with Scripted() as server, opened(server.origin, SignIn(LOGIN)) as client:
        server.on("POST", "/v2/x/uploads", _to("/v2/x/uploads/", status))
        asked = wants(BASIC, otherwise=unauthorized('Basic realm="r"'), then=Says(202, (("Location", "/up"),)))
        server.on("POST", "/v2/x/uploads/", asked)
        response = await client.attempt("POST", client.url("/v2/x/uploads"), PUSH, POST)
        assert (response.status, response.url) == (202, client.url("/v2/x/uploads/"))


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_what_would_turn_a_post_into_a_get_is_an_answer(status: int) -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("POST", "/v2/x", _to("/elsewhere", status))
        assert (await client.attempt("POST", client.url("/v2/x"), PUSH, POST)).status == status


async def test_a_post_to_another_origin_goes_without_the_login() -> None:
    async with Scripted() as server, Scripted() as other, opened(server.origin, SignIn(LOGIN)) as client:
        server.on(
            "POST", "/v2/x", wants(BASIC, otherwise=unauthorized('Basic realm="r"'), then=_to(f"{other.origin}/x"))
        )
        other.on("POST", "/x", Says(202))
        assert (await client.attempt("POST", client.url("/v2/x"), PUSH, POST)).status == 202
        assert authorizations(other.seen) == [None]


async def test_a_loop_of_posts_ends_with_its_last_answer() -> None:
    # What it means is the session's to say: one that an earlier process has left begins anew.
    async with Scripted() as server, opened(server.origin) as client:
        server.on("POST", "/v2/x", _to("/v2/x"))
        assert (await client.attempt("POST", client.url("/v2/x"), PUSH, POST)).status == 307
        assert len(server.seen) == 6


async def test_a_post_is_not_sent_on_to_an_internal_address() -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("POST", "/v2/x", _to("http://169.254.169.254/latest/"))
        with pytest.raises(ForeignAddress):
            await client.attempt("POST", client.url("/v2/x"), PUSH, POST)


@pytest.mark.parametrize("status", [307, 308])
async def test_a_manifest_is_sent_on_whole(status: int) -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("PUT", TAG_PATH, _to(f"{TAG_PATH}/", status))
        server.on("PUT", f"{TAG_PATH}/", Says(201))
        await repository.put_manifest(MANIFEST, "latest")
        assert server.requests("PUT")[1].body == RAW


@pytest.mark.parametrize("status", [403, 405, 400, 501])
async def test_a_storage_that_refuses_head_leaves_the_redirects_word(status: int) -> None:
    async with Scripted() as server, Scripted() as storage, _repository(server) as repository:
        storage.on("HEAD", "/blob", Says(status))
        server.on("HEAD", BLOB_PATH, _to(f"{storage.origin}/blob?sig=1", 307, *_named(BLOB.digest)))
        assert await repository.exists(BLOB)
        server.on("HEAD", BLOB_PATH, _to(f"{storage.origin}/blob?sig=1"))
        assert not await repository.exists(BLOB), "unknown: it is mounted or sent"
        server.on("HEAD", BLOB_PATH, _to(f"{storage.origin}/blob?sig=1", 307, *_named(Digest.of(b"x"))))
        assert not await repository.exists(BLOB)


async def test_a_storage_that_has_not_got_the_blob_is_believed() -> None:
    async with Scripted() as server, Scripted() as storage, _repository(server) as repository:
        storage.on("HEAD", "/blob", Says(404))
        server.on("HEAD", BLOB_PATH, _to(f"{storage.origin}/blob", 307, *_named(BLOB.digest)))
        assert not await repository.exists(BLOB)


async def test_a_registry_that_refuses_head_itself_is_an_error() -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("HEAD", BLOB_PATH, Says(403))
        with pytest.raises(Denied):
            await repository.exists(BLOB)
