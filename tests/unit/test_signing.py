"""What is signed for a token, byte for byte as Ollama's client does it."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qsl, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from registry_push.protocol.auth.signing import authorization, signed_text, token_query

texts = st.text(st.characters(codec="utf-8"), max_size=20)


def test_the_text_to_sign() -> None:
    # The last part as printed by: printf '' | sha256sum | cut -c-64 | tr -d '\n' | base64 -w0
    assert signed_text("https://ollama.com/v2/token?a=b") == (
        b"GET,https://ollama.com/v2/token?a=b,"
        b"ZTNiMGM0NDI5OGZjMWMxNDlhZmJmNGM4OTk2ZmI5MjQyN2FlNDFlNDY0OWI5MzRjYTQ5NTk5MWI3ODUyYjg1NQ=="
    )


def test_the_url_as_go_encodes_it() -> None:
    # Keys in order; of one key, in the order they came; ":" "/" and "," escaped.
    assert token_query(
        "https://ollama.com/v2/token", "ollama.com", ["repository:me/tiny:pull,push"], "AAECAw-_", 1700000000
    ) == (
        "https://ollama.com/v2/token?nonce=AAECAw-_&scope=repository%3Ame%2Ftiny%3Apull%2Cpush"
        "&service=ollama.com&ts=1700000000"
    )


def test_scopes_are_parted_by_spaces_and_keep_their_order() -> None:
    url = token_query("https://h/t", "s", ["z:1 b:2", "a:3"], "n", 1)
    assert url == "https://h/t?nonce=n&scope=z%3A1&scope=b%3A2&scope=a%3A3&service=s&ts=1"


def test_no_scope_is_an_empty_one() -> None:
    # strings.Split("", " ") in Go has one element.
    assert token_query("https://h/t", "s", [], "n", 1) == "https://h/t?nonce=n&scope=&service=s&ts=1"
    assert token_query("https://h/t", "s", [""], "n", 1) == "https://h/t?nonce=n&scope=&service=s&ts=1"


def test_the_realms_own_query_is_merged() -> None:
    url = token_query("https://h/t?z=1&service=own&a=x+y%2Bz&flag&=v", "s", ["c"], "n", 1)
    assert url == "https://h/t?=v&a=x+y%2Bz&flag=&nonce=n&scope=c&service=own&service=s&ts=1&z=1"


def test_what_go_cannot_parse_is_left_out() -> None:
    url = token_query("https://h/t?a;b=1&bad=%zz&cut=%4&good=%41&&raw=%ff#fragment", "s", ["c"], "n", 1)
    assert url == "https://h/t?good=A&nonce=n&raw=%FF&scope=c&service=s&ts=1"


def test_which_characters_go_leaves_alone() -> None:
    printable = "".join(map(chr, range(0x20, 0x7F)))
    url = token_query("https://h/t", printable, ["c"], "n", 1)
    # url.QueryEscape: shouldEscape in net/url/url.go, mode encodeQueryComponent.
    assert url.partition("service=")[2].partition("&ts")[0] == (
        "+%21%22%23%24%25%26%27%28%29%2A%2B%2C-.%2F0123456789%3A%3B%3C%3D%3E%3F%40"
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ%5B%5C%5D%5E_%60abcdefghijklmnopqrstuvwxyz%7B%7C%7D~"
    )


def test_bytes_of_a_header_that_are_no_text_survive() -> None:
    service = b"caf\xe9".decode("utf-8", "surrogateescape")
    url = token_query("https://h/t", service, ["c"], "n", 1)
    assert "service=caf%E9&" in url
    assert signed_text(url).isascii()
    assert b"/caf\xe9," in signed_text(f"https://h/{service}")


@given(texts, texts.filter(lambda text: " " not in text), st.integers(0, 2**40))
def test_the_server_reads_what_was_meant(service: str, scope: str, ts: int) -> None:
    url = token_query("https://h/t?k=v", service, [scope], "n", ts)
    pairs = [("k", "v"), ("nonce", "n"), ("scope", scope), ("service", service), ("ts", str(ts))]
    assert parse_qsl(urlsplit(url).query, keep_blank_values=True, max_num_fields=5) == pairs
    assert url.isascii() and not set(url) & set(' \r\n"<>')


@given(st.binary(min_size=51, max_size=51), st.binary(min_size=64, max_size=64))
def test_the_header_has_two_base64_parts_and_no_scheme(wire: bytes, signature: bytes) -> None:
    public, colon, signed = authorization(wire, signature).partition(":")
    assert (base64.b64decode(public, validate=True), colon) == (wire, ":")
    assert base64.b64decode(signed, validate=True) == signature


def test_the_empty_bodys_hash() -> None:
    assert signed_text("u").rpartition(b",")[2] == base64.b64encode(hashlib.sha256().hexdigest().encode())
