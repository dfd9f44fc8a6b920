"""What a registry said when it said no; it can say anything."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry_push.protocol.diagnostics import MAX_ERROR_BYTES, Diagnosis, diagnose

_KEYS = ("errors", "error", "code", "message", "detail", "details")
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_KEYS) | st.text(), inner, max_size=4),
    max_leaves=20,
)


def _document(*entries: Any) -> bytes:
    return json.dumps({"errors": entries}).encode()


@pytest.mark.parametrize(
    ("who", "body", "codes", "text"),
    [
        (
            "distribution",
            _document({"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown", "detail": {"digest": "sha256:ab"}}),
            ("MANIFEST_BLOB_UNKNOWN",),
            'blob unknown ({"digest": "sha256:ab"})',
        ),
        (
            "GHCR",
            _document({"code": "SIZE_INVALID", "message": "size invalid", "detail": "exceeds 4.00MiB"}),
            ("SIZE_INVALID",),
            "size invalid (exceeds 4.00MiB)",
        ),
        (
            "two at once",
            _document({"code": "A", "message": "first"}, {"code": "B", "message": "second"}),
            ("A", "B"),
            "first; second",
        ),
        ("a code and no words", _document({"code": "DENIED"}), ("DENIED",), "DENIED"),
        ("a detail that says it again", _document({"code": "A", "message": "x y", "detail": "y"}), ("A",), "x y"),
        ("Ollama", b'{"error":"model not found"}', (), "model not found"),
        ("a token service", b'{"details":"incorrect username or password"}', (), "incorrect username or password"),
        ("GitHub", b'{"message":"Bad credentials"}', (), "Bad credentials"),
        ("Go's http.Error", b"404 page not found\n", (), "page not found"),
        (
            "nginx",
            b"<html><head><title>413 Request Entity Too Large</title></head>",
            (),
            "Request Entity Too Large",
        ),
        ("a page without a title", b"\n <!DOCTYPE html><p>no", (), ""),
        ("nothing", b"", (), ""),
        ("no list", b'{"errors":{"code":"X"}}', (), ""),
        ("an empty list", b'{"errors":[]}', (), ""),
        ("a list of nothing", b'{"errors":[null,1,"x"]}', (), ""),
        ("codes that are none", _document({"code": 7, "message": None}), (), ""),
        ("another document", b"[1]", (), ""),
    ],
)
def test_the_words_of_a_refusal_are_found(who: str, body: bytes, codes: tuple[str, ...], text: str) -> None:
    assert diagnose(body) == Diagnosis(codes, text), who


def test_a_detail_without_a_message_stands_alone() -> None:
    assert diagnose(_document({"detail": "why"})).text in ("why", "(why)")


def test_escape_sequences_of_a_registry_do_not_act_on_the_terminal() -> None:
    text = diagnose(_document({"code": "A", "message": "\x1b[2Jgone\r\n\u202eevil\x9b"})).text
    assert text.isprintable()
    assert "gone" in text


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"errors":[{"detail":' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}]}",
        b'{"errors":[{"detail":' + b'{"a":' * 990 + b"1" + b"}" * 990 + b"}]}",
        b'{"errors":' + b"1" * 10_000 + b"}",
        _document(*({"code": "A" * 100, "message": "x" * 10_000} for _ in range(1000))),
        b"x" * 10_000_000,
        b"<title>" + b"x" * 10_000_000,
        gzip.compress(b"0" * 1_000_000, mtime=0),
        b"\xff\xfe\x00\xd8",
        b"\x00" * 1000,
    ],
    ids=lambda body: f"{body[:12]!r}…",
)
def test_a_hostile_body_ends_in_a_short_line(body: bytes) -> None:
    text = str(diagnose(body))
    assert len(text) <= 300
    assert text.isprintable()


def test_only_the_first_bytes_count() -> None:
    body = _document({"code": "A", "message": "x" * MAX_ERROR_BYTES})
    assert diagnose(body).codes == ()


@given(st.binary(max_size=400) | _JSON.map(lambda value: json.dumps(value).encode()))
@example(b'{"error":"\\ud800"}')
def test_any_body_gives_a_line_that_can_be_printed(body: bytes) -> None:
    # JSON can spell half a surrogate pair, which no stream in UTF-8 can print.
    found = diagnose(body)
    assert len(found.text) <= 300
    assert "\n" not in found.text
    found.text.encode()
