"""What a token service answers."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_push.errors import ProtocolViolation
from registry_push.protocol.auth.token import Token

_NOW = 1_700_000_000.0


def _token(**fields: Any) -> Token:
    return Token.read(json.dumps(fields).encode(), now=_NOW)


def _life(**fields: Any) -> float:
    return _token(token="t", **fields).expires - _NOW


@pytest.mark.parametrize(
    ("who", "fields", "value"),
    [
        ("Ollama, distribution", {"token": "a.b-c_d"}, "a.b-c_d"),
        ("ACR and OAuth2", {"access_token": "a", "refresh_token": "r"}, "a"),
        ("Docker Hub gives both", {"token": "a", "access_token": "b"}, "a"),
        ("an empty one beside the other", {"token": "", "access_token": "b"}, "b"),
        ("null beside the other", {"token": None, "access_token": "b"}, "b"),
        ("base64 with its signs", {"token": "a+/b=="}, "a+/b=="),
    ],
)
def test_the_token_is_found(who: str, fields: dict[str, Any], value: str) -> None:
    assert _token(**fields).value == value, who


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'"token"',
        b'{"token":""}',
        b'{"token":7}',
        b'{"token":["a"]}',
        b'{"Token":"a"}',
        b"<html>",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"token":"a","expires_in":' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: f"{body[:20]!r}",
)
def test_an_answer_without_a_token_violates_the_protocol(body: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        Token.read(body, now=_NOW)


@pytest.mark.parametrize("value", ["a b", "a\r\nHost: evil", "a\n", "\x00", "ü", "a\x7f", " a"])
def test_a_token_that_would_break_a_header_is_refused(value: str) -> None:
    with pytest.raises(ProtocolViolation, match="no header can carry"):
        _token(token=value)


@pytest.mark.attack("CVE-2024-12886")
def test_cve_2024_12886_a_compressed_answer_is_not_unpacked() -> None:
    with pytest.raises(ProtocolViolation, match="no JSON"):
        Token.read(gzip.compress(json.dumps({"token": "a"}).encode()), now=_NOW)


def test_an_endless_answer_is_cut_off() -> None:
    with pytest.raises(ProtocolViolation, match="no JSON"):
        _token(token="a", padding="x" * 300_000)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, 55),
        ({"expires_in": 300}, 295),
        ({"expires_in": 3600.5}, 3595.5),
        ({"expires_in": 10}, 5),
        ({"expires_in": 2}, 1),
        ({"expires_in": 0}, 55),
        ({"expires_in": -1}, 55),
        ({"expires_in": True}, 55),
        ({"expires_in": "300"}, 55),
        ({"expires_in": None}, 55),
        ({"expires_in": 10**12}, 55),
        ({"expires_in": float("nan")}, 55),
        ({"expires_in": float("inf")}, 55),
    ],
)
def test_a_token_is_renewed_before_its_end(fields: dict[str, Any], seconds: float) -> None:
    assert _life(**fields) == seconds


def test_a_token_is_not_shown_by_its_repr() -> None:
    assert "secret" not in repr(_token(token="secret"))


@given(st.binary(max_size=200))
def test_any_answer_gives_a_token_or_a_violation(body: bytes) -> None:
    with suppress(ProtocolViolation):
        assert Token.read(body, now=_NOW).expires > _NOW
