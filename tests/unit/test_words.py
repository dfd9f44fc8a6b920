"""A refusal is told in the registry's own words, also where it was one of HEAD, which has none."""

from __future__ import annotations

import pytest

from registry_push.errors import Denied, Refused, RegistryPushError, Unauthorized, Unavailable
from tests.support.scripted import Answer, Says, Scripted, SignIn, opened, unauthorized, wants

from .test_basic import LOGIN, PUSH
from .test_repository import BLOB, BLOB_PATH, _repository

WORDS = b'{"errors":[{"code":"DENIED","message":"the quota of this project is exceeded"}]}'
QUOTA = "the quota of this project is exceeded"


@pytest.mark.parametrize(
    ("status", "error"), [(403, Denied), (400, Refused), (405, Refused), (429, Unavailable), (503, Unavailable)]
)
@pytest.mark.parametrize("where", [BLOB_PATH, "/v2/"])
async def test_what_head_is_refused_with_is_asked_for_by_get(
    status: int, error: type[RegistryPushError], where: str
) -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("HEAD", BLOB_PATH, Says(status))
        server.on("GET", where, Says(status, body=WORDS))
        with pytest.raises(error, match=QUOTA):
            await repository.exists(BLOB)
        assert len(server.requests("GET", where)) == 1


@pytest.mark.parametrize(
    "elsewhere",
    [
        Says(200, body=b"the content"),
        Says(404, body=b"another story"),
        Says(cut_answer_at=0, body=b"x"),
        Says(raw=b"?"),
    ],
)
async def test_words_about_something_else_are_not_shown(elsewhere: Answer) -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("HEAD", BLOB_PATH, Says(403))
        server.on("GET", BLOB_PATH, elsewhere)
        server.on("GET", "/v2/", Says(200, body=b"{}"))
        with pytest.raises(Denied) as caught:
            await repository.exists(BLOB)
        assert "HTTP 403 (no login was used)" in caught.value.message


async def test_no_more_of_a_body_is_read_than_words_have() -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("HEAD", BLOB_PATH, Says(403))
        server.on("GET", BLOB_PATH, Says(403, (("Content-Length", str(10**12)),), b"so much " * 20_000))
        with pytest.raises(Denied, match="so much"):
            await repository.exists(BLOB)


@pytest.mark.parametrize("status", [401, 503])
async def test_without_words_the_error_is_told_as_it_is(status: int) -> None:
    closed = unauthorized('Basic realm="r"') if status == 401 else Says(status)
    async with Scripted(otherwise=closed) as server, opened(server.origin, SignIn(LOGIN)) as client:
        with pytest.raises((Unauthorized, Unavailable)) as caught:
            await client.request("HEAD", client.url("/v2/x"), PUSH)
        assert caught.value.__cause__ is not caught.value


async def test_a_login_that_head_refuses_is_refused_in_the_registrys_words() -> None:
    closed = unauthorized('Basic realm="r"', body=b'{"errors":[{"message":"this account is locked"}]}')
    async with Scripted(otherwise=closed) as server, opened(server.origin, SignIn(LOGIN)) as client:
        with pytest.raises(Unauthorized, match="this account is locked"):
            await client.request("HEAD", client.url("/v2/x"), PUSH)


async def test_what_was_not_refused_is_not_asked_for_again() -> None:
    async with Scripted() as server, _repository(server) as repository:
        server.on("HEAD", BLOB_PATH, wants("x", otherwise=Says(404)))
        assert not await repository.exists(BLOB)
        assert server.requests("GET") == []
