"""Lists that come in pages."""

from __future__ import annotations

import pytest

from registry_push.errors import ModelNotFound, NotARegistry, ProtocolViolation, Refused
from registry_push.model import Digest
from registry_push.model.manifest import OCI_INDEX
from registry_push.protocol.pages import MOST_EMPTY, next_page
from registry_push.registry.referrer_list import ReferrerList
from registry_push.registry.tag_list import TagList
from tests.support.scripted import Says, Scripted, Seen, opened

URL = "https://r.example/v2/a/tags/list?n=2"
PATH = "/v2/a/tags/list"
EMPTY_PAGE = b'{"tags": [], "manifests": []}'


@pytest.mark.parametrize(
    ("link", "wanted"),
    [
        ('</v2/a/tags/list?n=2&last=b>; rel="next"', "https://r.example/v2/a/tags/list?n=2&last=b"),
        ('<https://r.example/v2/a/tags/list?last=b>; rel="next"', "https://r.example/v2/a/tags/list?last=b"),
        ("<?last=b>;rel=next", "https://r.example/v2/a/tags/list?last=b"),
        ('</first>; rel="first", </second>; title="x"; rel="prev next"', "https://r.example/second"),
        ('</x>; rel="prev"', None),
        ('</x>; rel="nextish"', None),
        ("nonsense", None),
        ("", None),
        (None, None),
        ("<" * 20_000, None),
    ],
)
def test_the_next_page(link: str | None, wanted: str | None) -> None:
    assert next_page(URL, link) == wanted


@pytest.mark.parametrize("odd", ["http://[x", "ftp://r.example/x", "/a b", "/a\x01b", "//[", "http://r.example:99999/"])
def test_a_page_at_an_odd_address_is_none(odd: str) -> None:
    with pytest.raises(ProtocolViolation, match="odd address"):
        next_page(URL, f'<{odd}>; rel="next"')


@pytest.mark.parametrize("elsewhere", ["https://other.example/x", "http://r.example/v2/a/tags/list", "//other/x"])
def test_a_page_at_another_registry_is_none(elsewhere: str) -> None:
    with pytest.raises(ProtocolViolation):
        next_page(URL, f'<{elsewhere}>; rel="next"')


def page(*tags: str, then: str | None = None) -> Says:
    listed = ", ".join(f'"{tag}"' for tag in tags)
    link = (("Link", f'<{PATH}?last={then}>; rel="next"'),) if then else ()
    return Says(200, link, f'{{"name": "a", "tags": [{listed}]}}'.encode())


async def test_all_pages_are_read_and_each_tag_once() -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", PATH, page("v1", "v2", then="v2"), page("v2", "v3", then="v3"), page("v4"))
        assert await TagList(client, "a").every() == ("v1", "v2", "v3", "v4")
        assert [seen.query.get("last") for seen in server.seen] == [None, ["v2"], ["v3"]]


async def test_a_list_in_a_circle_ends() -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", PATH, page("v1", then="v1"))
        with pytest.raises(ProtocolViolation, match="circle"):
            await TagList(client, "a").every()


@pytest.mark.parametrize(("status", "error"), [(404, ModelNotFound), (405, Refused)])
async def test_no_list_is_an_error(status: int, error: type[Exception]) -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", PATH, Says(status))
        with pytest.raises(error):
            await TagList(client, "a").every()


async def test_a_repository_without_tags_has_none() -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", PATH, Says(200, body=b'{"name": "a", "tags": null}'))
        assert await TagList(client, "a").every() == ()


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'["v1"]',
        b'{"tags": {"v1": 1}}',
        b'{"tags": "v1"}',
        b'{"tags": ["v1", 2]}',
        b'{"tags": [null]}',
        b"{",
        b"",
    ],
)
async def test_what_is_no_list_of_tags_is_the_registry_s_fault(body: bytes) -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", PATH, Says(200, body=body))
        for asked in (TagList(client, "a").every, TagList(client, "a").first):
            with pytest.raises(ProtocolViolation, match="the list of tags of ") as caught:
                await asked()
            assert "ollama pull" not in (caught.value.hint or "") and caught.value.url is not None


async def test_pages_of_nothing_end() -> None:
    """Each has another address, so that it is no circle."""
    pages = 0

    def page(_: Seen) -> Says:
        nonlocal pages
        pages += 1
        return Says(200, (("Link", f'<{PATH}?page={pages}>; rel="next"'), ("Content-Type", OCI_INDEX)), EMPTY_PAGE)

    subject = Digest.of(b"a manifest")
    async with Scripted() as server, opened(server.origin) as client:
        for path in (PATH, f"/v2/a/referrers/{subject}"):
            server.on("GET", path, page)
        with pytest.raises(ProtocolViolation, match="without end"):
            await TagList(client, "a").every()
        with pytest.raises(ProtocolViolation, match="without end"):
            await ReferrerList(client, "a").of(subject)
    assert pages <= 2 * (MOST_EMPTY + 1)


async def test_a_success_without_a_list_is_not_taken_for_no_referrers() -> None:
    """A captive portal answers so: taken for a registry without the list, a signature would be left behind."""
    subject = Digest.of(b"a manifest")
    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", f"/v2/a/referrers/{subject}", Says(204))
        with pytest.raises(NotARegistry):
            await ReferrerList(client, "a").of(subject)
        server.on("GET", f"/v2/a/referrers/{subject}", Says(404))
        assert await ReferrerList(client, "a").of(subject) is None
