"""What is never shown, whoever says it: secrets that stand where secrets stand, and characters that act or hide."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from registry_push.errors import RegistryPushError, printable, redacted

_JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"


@pytest.mark.attack("S6")
@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("see https://h/p?a=SECRET&b=c now", "see https://h/p?… now"),
        ("HTTPS://h/p?SECRET", "HTTPS://h/p?…"),
        ("at /v2/x/blobs/uploads/1?_state=SECRET", "at /v2/x/blobs/uploads/1?…"),
        ("at uploads/1?sig%3DSECRET", "at uploads/1?…"),
        ("X-Amz-Signature=SECRET is bad", "X-Amz-Signature=… is bad"),
        ("&amp;X-Amz-Credential=SECRET&amp;a=1", "&amp;X-Amz-Credential=…&amp;a=1"),
        ("\\u0026x-amz-security-token=SECRET\\u0026a=1", "\\u0026x-amz-security-token=…\\u0026a=1"),
        ("X-Goog-Signature%3DSECRET", "X-Goog-Signature%3D…"),
        ("x%26sig%3DSECRET%26se", "x%26sig%3D…"),
        ("Signature=SECRET, Expires=1", "Signature=…, Expires=1"),
        ("token=SECRET", "token=…"),
        ("access_token = 'SECRET'", "access_token = '…'"),
        ('refresh_token="SECRET"', 'refresh_token="…"'),
        ("password=SECRET;", "password=…;"),
        ('{"identitytoken": "SECRET"}', '{"identitytoken": "…"}'),
        ('{\\"Secret\\":\\"SECRET\\"}', '{\\"Secret\\":\\"…'),
        ("{'password': 'SEC RET'}", "{'password': '…'}"),
        ("Authorization: SECRET", "Authorization: …"),
        ("Authorization: Negotiate SECRET", "Authorization: …"),
        ('"Proxy-Authorization":"Basic SECRET"', '"Proxy-Authorization":"…"'),
        ("x-amz-security-token: SECRET", "x-amz-security-token: …"),
        ("bad Bearer SECRET.", "bad Bearer …"),
        ("bearer%20SECRET", "bearer%20…"),
        ("Bearer: SECRET", "Bearer: …"),
        ("'Basic bWU6U0VDUkVU'", "'Basic …'"),
        ("Basic bWU6U0VDUkVUWA==", "Basic …"),
        (f"bad token {_JWT}", "bad token …"),
        (f"half a token {_JWT[:30]}", "half a token …"),
        ("https://me:SECRET@h/p", "https://h/p"),
    ],
)
def test_what_stands_where_secrets_stand_is_not_shown(said: str, shown: str) -> None:
    assert redacted(said) == shown
    assert RegistryPushError(said).message == shown


@pytest.mark.attack("S6")
@pytest.mark.parametrize(
    "said",
    [
        "what is this? a sentence",
        "Bearer token is missing",
        'Bearer realm="https://h/token",service="s",scope="repository:a:pull"',
        "Basic authentication is required",
        "basic checks failed",
        "incorrect username or password: try again",
        "design=1, config=2, state=open",
        "invalid token: signature has expired",
        "blob sha256:abc unknown to registry (name=a/b, tag=latest)",
    ],
)
def test_sentences_are_left_as_they_are(said: str) -> None:
    assert redacted(said) == said


@pytest.mark.attack("S6")
def test_a_secret_at_the_place_where_a_message_is_cut_is_not_shown_in_part() -> None:
    for before in range(560, 601):
        assert "SECRET" not in RegistryPushError(f"{'x' * before} https://user:SECRET{'y' * 40}@host/").message
        assert "SECRET" not in RegistryPushError(f"{'x' * before} token=SECRET{'y' * 40}").message


@pytest.mark.attack("S15")
@pytest.mark.parametrize("name", ["\u061c", "\u200b", "\u200f", "\ufeff", "\U000e0041", "\u00ad", "\u2066", "\x9b"])
def test_a_character_that_is_there_unseen_is_spelt_out(name: str) -> None:
    assert printable(f"a{name}b") == f"a{name.encode('unicode_escape').decode()}b"


@pytest.mark.attack("S15")
def test_nothing_that_acts_or_hides_is_printed() -> None:
    acting = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in _ACTING]
    assert [character for character in acting if character in printable(character)] == []


_ACTING = ("Cc", "Cf", "Cs", "Zl", "Zp")


def test_text_in_any_script_is_printed_as_it_is() -> None:
    text = "Zażółć gęślą jaźń, 模型, नमस्ते, שלום, 🦙"
    assert printable(text) == text
