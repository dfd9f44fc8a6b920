"""Where an upload goes on, as registries and proxies write it."""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry_push.errors import ProtocolViolation
from registry_push.model import Digest, HTTPOrigin
from registry_push.protocol.location import closing, resolve

_DIGEST = Digest("ab" * 32)
_POST = "https://r.example/v2/a/b/blobs/uploads/"


@pytest.mark.parametrize(
    ("who", "location", "url"),
    [
        ("distribution", "https://r.example/v2/a/b/blobs/uploads/1?_state=x-_", None),
        ("zot, Gitea: relative", "/v2/a/b/blobs/uploads/1", "https://r.example/v2/a/b/blobs/uploads/1"),
        ("relative to the folder", "1?_state=x", "https://r.example/v2/a/b/blobs/uploads/1?_state=x"),
        ("without a scheme", "//r.example/v2/x", "https://r.example/v2/x"),
        ("GAR: outside /v2", "https://r.example/artifacts-uploads/x/y", None),
        ("Nexus: a path prefix", "/repository/d/v2/a/b/blobs/uploads/1", None),
        ("ACR", "/v2/a/blobs/uploads/1?_nouploadcache=false&_state=a%2Fb==", None),
        ("another host", "https://storage.example/up?X-Amz-Signature=%2b", None),
        ("another port, named", "https://r.example:8443/v2/x", None),
        ("behind a proxy: http", "http://r.example/v2/x?a=1", "https://r.example/v2/x?a=1"),
        ("behind a proxy: http and the inner port", "http://r.example:5000/v2/x", "https://r.example/v2/x"),
        ("capitals in the host", "http://R.Example/v2/x", "https://r.example/v2/x"),
    ],
)
def test_a_location_is_resolved(who: str, location: str, url: str | None) -> None:
    expected = url or (location if "://" in location else f"https://r.example{location}")
    assert resolve(_POST, location) == expected, who


@pytest.mark.parametrize(
    ("base", "location", "url"),
    [
        ("https://r.example:8443/v2/", "https://r.example/v2/x", "https://r.example:8443/v2/x"),
        ("https://r.example:8443/v2/", "http://r.example/v2/x", "https://r.example:8443/v2/x"),
        ("https://[fd00::1]:8443/v2/", "http://[fd00::1]/v2/x", "https://[fd00::1]:8443/v2/x"),
        ("http://r.example:5000/v2/", "http://r.example/v2/x", "http://r.example:5000/v2/x"),
        ("http://r.example:5000/v2/", "https://r.example/v2/x", "http://r.example:5000/v2/x"),
        ("http://r.example:5000/v2/", "http://r.example:5001/v2/x", "http://r.example:5001/v2/x"),
        ("http://r.example:5000/v2/", "https://storage.example/x", "https://storage.example/x"),
        ("http://r.example:5000/v2/", "http://storage.example/x", "http://storage.example/x"),
    ],
)
def test_a_proxy_that_loses_scheme_or_port_does_not_move_the_upload(base: str, location: str, url: str) -> None:
    assert resolve(base, location) == url


@pytest.mark.parametrize(
    "query",
    ["_state=a%2Fb%2fc", "a=1;b=2", "x=%7E~", "sig=a+b%20c", "a&b&&c", "k=v=w==", "q=?/?", "u=%C3%BC", "digest=x"],
)
def test_a_query_is_kept_byte_for_byte(query: str) -> None:
    for location in (f"{_POST}1?{query}", f"/v2/x?{query}", f"1?{query}", f"http://r.example/v2/x?{query}"):
        assert resolve(_POST, location).partition("?")[2] == query


@given(st.text(string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@/?%", min_size=1, max_size=60))
def test_any_query_is_kept_byte_for_byte(query: str) -> None:
    assert resolve(_POST, f"http://r.example/up/1?{query}") == f"https://r.example/up/1?{query}"
    assert resolve(_POST, f"/up/1?{query}") == f"https://r.example/up/1?{query}"


@pytest.mark.parametrize(
    "location",
    [
        "http://other.example/v2/x",
        "http://r.example.evil.example/v2/x",
        "http://169.254.169.254/latest",
        "http://127.0.0.1:5000/x",
    ],
)
def test_an_upload_never_goes_from_https_to_http(location: str) -> None:
    with pytest.raises(ProtocolViolation, match="from https to http"):
        resolve(_POST, location)


@pytest.mark.parametrize(
    "location",
    [
        "",
        " ",
        "/v2/a b",
        "/v2/x\r\nAuthorization: x",
        "/v2/\x00",
        "/v2/\x7f",
        "file:///etc/passwd",
        "ftp://r.example/x",
        "javascript:alert(1)",
        "https://r.example:99999/x",
        "https://r.example:port/x",
        "https://[::1/x",
    ],
)
def test_an_unusable_location_is_a_violation_of_the_protocol(location: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        resolve(_POST, location)
    assert caught.value.exit_code == 5


def test_the_error_about_a_location_keeps_its_query_to_itself() -> None:
    with pytest.raises(ProtocolViolation) as caught:
        resolve(_POST, "https://r.example:port/x?token=secret")
    assert "secret" not in f"{caught.value} {caught.value.url}"


@given(st.text(max_size=80))
@example("http://[/")
@example("//\\evil.example/x")
def test_resolving_gives_a_url_or_a_violation(location: str) -> None:
    try:
        url = resolve(_POST, location)
    except ProtocolViolation:
        return
    assert HTTPOrigin.of(url).scheme == "https"


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("https://r/up/1", f"https://r/up/1?digest=sha256%3A{_DIGEST.hex}"),
        ("https://r/up/1?_state=a%2Fb", f"https://r/up/1?_state=a%2Fb&digest=sha256%3A{_DIGEST.hex}"),
    ],
)
def test_the_digest_joins_the_query_that_is_there(location: str, url: str) -> None:
    assert closing(location, _DIGEST) == url


def test_a_fragment_does_not_swallow_the_digest() -> None:
    # Appended behind `#x` it would never be sent.
    url = closing(resolve(_POST, "https://r.example/up/1?a=b#x"), _DIGEST)
    assert url.partition("#")[0].endswith(f"digest=sha256%3A{_DIGEST.hex}")
