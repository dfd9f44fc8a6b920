"""A registry quotes what we sent it, in every way in which text is escaped."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_push.errors import InvalidName, ProtocolViolation
from registry_push.protocol.secrets import Secrets

pytestmark = pytest.mark.attack("S6")

PASSWORD = 'pä s"s&w<ö>r%d/+'
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSBhbmQgeW91In0.c2lnbmF0dXJlLWlzLWhlcmU"


def _basic(login: str) -> str:
    return f"Basic {base64.b64encode(login.encode()).decode()}"


def _sent(authorization: str, url: str = "https://h/v2/") -> Secrets:
    secrets = Secrets()
    secrets.sent(url, {"Authorization": authorization})
    return secrets


def folded(text: str, end: str) -> str:
    """`text` in lines of eight characters."""
    return end.join(text[start : start + 8] for start in range(0, len(text), 8))


ESCAPED: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": json.dumps,
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "percent": quote,
    "percent, twice": lambda text: quote(quote(text)),
    "HTML": html.escape,
    "HTML, numbered": lambda text: "".join(f"&#{ord(each)};" for each in text),
    "HTML, in hexadecimals": lambda text: "".join(f"&#x{ord(each):x};" for each in text),
    "JSON, every character": lambda text: "".join(f"\\u{ord(each):04X}" for each in text),
    "percent in JSON": lambda text: json.dumps(quote(text)),
    "a Python string": repr,
    "bytes of a Python program": lambda text: repr(text.encode()),
    "percent, four times": lambda text: quote(quote(quote(quote(text)))),
    "octal": lambda text: "".join(f"\\{each:03o}" for each in text.encode()),
    "hexadecimals": lambda text: text.encode().hex(),
    "capital hexadecimals": lambda text: text.encode().hex().upper(),
    "folded": lambda text: folded(text, "\n"),
    "folded and indented": lambda text: folded(text, "\r\n\t"),
    "folded in JSON": lambda text: json.dumps(folded(text, "\r\n"))[1:-1],
}


@pytest.mark.parametrize("how", ESCAPED)
@pytest.mark.parametrize("part", [PASSWORD, f"me:{PASSWORD}", _basic(f"me:{PASSWORD}"), _basic(f"me:{PASSWORD}")[6:]])
def test_a_login_is_hidden_however_it_is_escaped(how: str, part: str) -> None:
    said = ESCAPED[how](part)
    shown = _sent(_basic(f"me:{PASSWORD}")).hide(f"you sent ({said})!")
    assert said.strip("'\"") not in shown
    assert shown.startswith("you sent (") and shown.endswith(")!")
    assert len(shown) < len("you sent ()!") + 12


def test_of_what_is_escaped_too_often_nothing_is_shown() -> None:
    said = PASSWORD
    for _ in range(9):
        said = quote(said, safe="")
    assert _sent(_basic(f"me:{PASSWORD}")).hide(f"you sent {said}") == "…"
    assert Secrets().hide(said) == said, "nothing was sent"


@pytest.mark.parametrize("part", [f"Bearer {TOKEN}", TOKEN, *TOKEN.split("."), TOKEN.rpartition(".")[0]])
def test_a_token_and_its_parts_are_hidden(part: str) -> None:
    assert _sent(f"Bearer {TOKEN}").hide(f"bad: {part}").removeprefix("bad: ").replace("….…", "…") == "…"


@pytest.mark.parametrize("login", ["me:pw", "a:b", "me:"])
def test_a_short_password_is_hidden_with_its_user_and_not_where_it_is_a_word(login: str) -> None:
    secrets = _sent(_basic(login))
    encoded = _basic(login)[6:]
    assert secrets.hide(f"login {login!r}, {encoded}, {encoded.rstrip('=')}") == "login '…', …, …"
    assert secrets.hide("a pwned blob b") == "a pwned blob b"


def test_a_word_is_not_hidden_inside_another() -> None:
    secrets = _sent(_basic("me:docker"))
    assert secrets.hide("dockerfile docker") == "dockerfile …"


def test_a_public_key_is_no_secret_and_its_signature_is_one() -> None:
    secrets = _sent("AAAAC3NzaC1lZDI1NTE5AAAAIE:c2lnbmF0dXJlIG9mIGEgcmVxdWVzdA==")
    shown = secrets.hide("key AAAAC3NzaC1lZDI1NTE5AAAAIE, signature c2lnbmF0dXJlIG9mIGEgcmVxdWVzdA==")
    assert shown == "key AAAAC3NzaC1lZDI1NTE5AAAAIE, signature …"


def test_a_query_and_its_signatures_are_hidden_and_what_names_content_is_not() -> None:
    secrets = _sent(
        "Bearer T", "https://s3/x?X-Amz-Credential=AKIA%2F2024%2Fus&X-Amz-Signature=0a1b2c3d4e5f6a7b&digest=sha256%3Aab"
    )
    for said in ("AKIA/2024/us", "AKIA%2F2024%2Fus", "0a1b2c3d4e5f6a7b", "0A1B2C3D4E5F6A7B"):
        assert secrets.hide(f"({said})") == "(…)"
    assert secrets.hide("sha256:ab, sha256%3Aab") == "sha256:ab, sha256%3Aab"


def test_what_asks_for_a_token_is_hidden() -> None:
    secrets = Secrets()
    secrets.sent("https://h/token?nonce=abcdefghijklmnopqrstuv&scope=repository%3Aa%3Apull&service=h&ts=1", {})
    assert secrets.hide("nonce abcdefghijklmnopqrstuv for repository:a:pull") == "nonce … for repository:a:pull"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    secrets.sent("https://h/token", form, b"grant_type=refresh_token&refresh_token=long+and%2Fsecret&service=h")
    assert secrets.hide("'long and/secret' 'long+and%2Fsecret' refresh_token") == "'…' '…' refresh_token"


def test_a_signed_header_is_hidden() -> None:
    secrets = Secrets()
    secrets.sent(
        "https://s3/x?X-Amz-Signature=abcdef", {"x-amz-security-token": "SESSION-TOKEN", "Content-Type": "a/b"}
    )
    assert secrets.hide("SESSION-TOKEN a/b") == "… a/b"


def test_the_login_at_a_proxy_is_hidden() -> None:
    secrets = Secrets()
    secrets.sent_credential("Basic bWU6cEBzc3dvcmQ=")
    assert secrets.hide(f"'p@ssword' {_basic('me:p@ssword')}") == "'…' …"


def test_a_secret_that_is_cut_at_the_end_is_hidden() -> None:
    assert _sent(f"Bearer {TOKEN}").hide(f"bad token {TOKEN[:20]}…") == "bad token …"


def test_json_stays_json() -> None:
    document = json.dumps({"errors": [{"message": f"no: {PASSWORD}", "detail": {"sent": PASSWORD}}]}).encode()
    shown = json.loads(_sent(_basic(f"me:{PASSWORD}")).hide_bytes(document))
    assert shown == {"errors": [{"message": "no: …", "detail": {"sent": "…"}}]}


def test_only_so_many_are_remembered_and_what_is_sent_again_is_remembered_again() -> None:
    secrets = Secrets()
    for number in range(1000):
        secrets.sent(f"https://h/x?_state={number:020}", {"Authorization": "Bearer first-token"})
        secrets.sent(f"https://h/x?_state={number:020}", {"Authorization": f"Bearer {number:020}"})
    assert secrets.hide("first-token 00000000000000000999 00000000000000000001") == "… … 00000000000000000001"


def test_errors_that_leave_are_told_without_them_and_so_is_what_caused_them() -> None:
    foreign = ValueError(f"aiohttp quotes {TOKEN}")
    ours = InvalidName(f"not a URL: x/{TOKEN[40:]}")
    ours.__cause__ = foreign
    with pytest.raises(ProtocolViolation) as caught, _sent(f"Bearer {TOKEN}"):
        raise ProtocolViolation("odd", hint=f"ask {TOKEN}", url=f"https://h/{TOKEN}") from ours
    told = ""
    at: BaseException | None = caught.value
    while at is not None:
        told += f"{at} {at!r} {getattr(at, 'hint', '')} {getattr(at, 'url', '')}"
        at = at.__cause__ or at.__context__
    assert TOKEN not in told
    assert "odd" in told


@given(st.text(max_size=60), st.text(min_size=12, max_size=40))
def test_what_was_not_sent_is_shown_as_it_is(text: str, password: str) -> None:
    hidden = _sent(_basic(f"me:{password}")).hide(text)
    assert hidden == text or "…" in hidden
