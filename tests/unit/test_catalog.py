"""The list of a registry's repositories."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from registry_push.auth.credentials import Credential
from registry_push.errors import (
    Denied,
    NoCatalog,
    NotAllowed,
    NotARegistry,
    ProtocolViolation,
    RegistryPushError,
    Unauthorized,
    Unavailable,
)
from registry_push.model import Reference
from registry_push.protocol.pages import MOST_EMPTY
from registry_push.registry import catalog
from registry_push.registry.catalog import Catalog
from registry_push.registry.client import Client
from tests.support.scripted import Says, Scripted, Seen, SignIn, opened

PATH = "/v2/_catalog"
HOST = "r.example:5000"
BEARER = (("WWW-Authenticate", 'Bearer realm="{origin}/token",service="s",scope="registry:catalog:*"'),)
BASIC = (("WWW-Authenticate", 'Basic realm="r"'),)


def page(*names: object, then: str | None = None) -> Says:
    link = (("Link", f'<{PATH}?last={then}&n=2>; rel="next"'),) if then else ()
    return Says(200, link, json.dumps({"repositories": names}).encode())


def catalog_of(client: Client) -> Catalog:
    return Catalog(client, Reference(HOST, "library/model", scheme="http"))


async def names_of(client: Client, prefix: str = "") -> list[str]:
    listing = await catalog_of(client).every(prefix)
    assert not listing.failed
    return [each.repository for each in listing.repositories]


async def test_all_pages_are_read_and_each_repository_once() -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", PATH, page("ml/b", "ml/a", then="ml%2Fa"), page("ml/a", "zoo", then="zoo"), page("a"))
        listing = await catalog_of(client).every()
        assert [str(each) for each in listing.repositories] == [
            f"http://{HOST}/{name}" for name in ("ml/b", "ml/a", "zoo", "a")
        ]
        assert [seen.query.get("last") for seen in server.seen] == [None, ["ml/a"], ["zoo"]]


async def test_a_prefix_ends_at_a_slash() -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", PATH, page("ml", "ml/a", "ml/b/c", "ml-x/a", "mlx", "x/ml/a"))
        assert await names_of(client, "ml") == ["ml/a", "ml/b/c"]
        assert await names_of(client, "ml/b") == ["ml/b/c"]
        assert await names_of(client, "none") == []


@pytest.mark.parametrize("repositories", [b"[]", b"null"])
async def test_a_registry_without_repositories_has_none(repositories: bytes) -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", PATH, Says(200, body=b'{"repositories": %b}' % repositories))
        assert await names_of(client) == []


async def test_a_registry_that_lists_fewer_at_once_is_asked_for_what_it_allows() -> None:
    """distribution answers so to more than its `catalog.maxentries`."""

    def answered(seen: Seen) -> Says:
        if "n" in seen.query and seen.query["n"] != ["2"]:
            return Says(400, body=b'{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}')
        return page("b") if "last" in seen.query else page("a", then="a")

    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", PATH, answered)
        assert await names_of(client) == ["a", "b"]


@pytest.mark.parametrize("status", [400, 404, 405, 410, 501])
async def test_a_registry_without_a_list_says_so(status: int) -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", PATH, Says(status, (("Docker-Distribution-Api-Version", "registry/2.0"),)))
        with pytest.raises(NoCatalog, match=f"does not list its repositories: HTTP {status}") as caught:
            await catalog_of(client).every()
        assert "one by one" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("answer", "kind"), [(Says(401, BASIC), Unauthorized), (Says(403), Denied)], ids=["a login is wanted", "forbidden"]
)
async def test_a_list_that_is_not_for_all_may_be_for_who_logs_in(answer: Says, kind: type[RegistryPushError]) -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", PATH, answer)
        with pytest.raises(kind, match="does not list its repositories: ") as caught:
            await catalog_of(client).every()
        hint = caught.value.hint or ""
        assert "one by one" in hint and "registry-push login" in hint


async def test_a_list_that_a_token_does_not_open() -> None:
    """Docker Hub issues a token for everything, and refuses it."""
    async with Scripted() as server, opened(server.origin, SignIn(Credential("a file", "me", "secret"))) as client:
        challenge = tuple((name, value.format(origin=server.origin)) for name, value in BEARER)
        server.on("GET", PATH, Says(401, challenge))
        server.on("GET", "/token", Says(200, body=b'{"token": "t"}'))
        with pytest.raises(NotAllowed, match=r"does not list its repositories: .*refuses the login of me"):
            await catalog_of(client).every()
        assert server.requests("GET", "/token")[0].query["scope"] == ["registry:catalog:*"]


async def test_a_registry_that_is_too_busy_to_list_may_later() -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", PATH, Says(503))
        with pytest.raises(Unavailable):
            await catalog_of(client).every()


async def test_a_server_that_has_a_page_for_everything_is_no_registry() -> None:
    html = Says(200, (("Content-Type", "text/html"),), b"<html></html>")
    async with Scripted(otherwise=html) as server, opened(server.origin) as client:
        with pytest.raises(NotARegistry):
            await catalog_of(client).every()


@pytest.mark.parametrize(
    "body", [b"[]", b'["a"]', b'{"repositories": {"a": 1}}', b'{"repositories": "a"}', b'{"repositories": [1]}', b"{"]
)
async def test_what_is_no_list_is_the_registry_s_fault(body: bytes) -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", PATH, Says(200, body=body))
        with pytest.raises(ProtocolViolation, match="the list of repositories of "):
            await catalog_of(client).every()


BAD: Sequence[str] = (
    "",
    "..",
    "ml/../../x",
    "ml/A",
    "ml//a",
    "/ml",
    "ml/a:latest",
    "ml/a?x=1",
    "ml/a/blobs/uploads/ ",
    "ml/\x1b[2J",
    "ml/" + "a" * 300,
    "ml/é",
    "ml/a\n",
)


async def test_what_is_no_repository_fails_alone() -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", PATH, page("ml/a", *BAD, "ml/b"))
        listing = await catalog_of(client).every()
        assert [each.repository for each in listing.repositories] == ["ml/a", "ml/b"]
        assert len(listing.failed) == len(BAD)
        for each in listing.failed:
            assert isinstance(each.error, ProtocolViolation)
            assert each.model.isprintable() and each.error.message.isprintable() and len(each.model) <= 210
        below = await catalog_of(client).every("ml")
        assert len(below.failed) == sum(name.startswith("ml/") for name in BAD)


async def test_pages_without_end_end() -> None:
    pages = 0

    def endless(_: Seen) -> Says:
        nonlocal pages
        pages += 1
        return page("a", then=str(pages))

    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", PATH, endless)
        with pytest.raises(ProtocolViolation, match="without end"):
            await catalog_of(client).every()
    assert pages <= MOST_EMPTY + 2


async def test_more_repositories_than_any_registry_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_MOST", 10)
    pages = 0

    def more(_: Seen) -> Says:
        nonlocal pages
        pages += 1
        return page(*(f"r/{pages}-{number}" for number in range(4)), then=str(pages))

    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", PATH, more)
        with pytest.raises(ProtocolViolation, match="more than 10 entries"):
            await catalog_of(client).every("elsewhere")
    assert pages == 3
