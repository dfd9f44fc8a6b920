"""The proxies of the environment, read once."""

from __future__ import annotations

import base64

import pytest

from registry_push.errors import InvalidSettings
from registry_push.http.proxies import Proxies
from registry_push.model import HTTPOrigin

SITE = HTTPOrigin.of("https://registry.example.com")

BAD = {
    "socks5://me:HUNTER2@proxy.example:1080": "proxy.example:1080",
    "socks5h://me:HUNTER2@proxy.example": "proxy.example",
    "ftp://me:HUNTER2@proxy.example": "proxy.example",
    "me:HUNTER2@proxy.example:badport": "proxy.example",
    "http://me:HUNTER2@proxy.example:99999": "proxy.example:99999",
    "http://me:HUNTER2/x@proxy.example:3128": "proxy.example:3128",
    "http://me:HUNTER2?x@proxy.example": "proxy.example",
    "http://me:80/HUNTER2@proxy.example": "proxy.example",
    "http://me:80?HUNTER2@proxy.example": "proxy.example",
    "http://me%3A:HUNTER2@proxy.example": "proxy.example",
    "http://me:HUNTER2@": "",
    "http://me:HUNTER2": "",
    "me:HUNTER2": "",
    "http://[": "",
    "http://me:HUNTER2@ho st": "",
    "http://127.0.0.1:99999": "127.0.0.1:99999",
    "socks5://127.0.0.1:1080": "127.0.0.1:1080",
    "http://me:HUNTER2@[::1]:99999": "[::1]:99999",
}


@pytest.mark.attack("S4")
@pytest.mark.parametrize("variable", ["http_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("value", BAD)
def test_one_that_can_not_be_used_is_told_by_its_variable_and_host_and_port(variable: str, value: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        Proxies.of({variable: value})
    error = caught.value
    assert variable in error.message
    assert BAD[value] in error.message
    said = f"{error.message} {error.hint} {error.__cause__} {error.args}"
    assert "HUNT" not in said and "ER2" not in said and "me:" not in said


GOOD = {
    "http://proxy.example:3128": None,
    "proxy.example": None,
    "https://me:HUNTER2@proxy.example": b"me:HUNTER2",
    "me:HUNTER2@proxy.example:1": b"me:HUNTER2",
    "http://me:HUNT%2FER%402@proxy.example/": b"me:HUNT/ER@2",
    "http://me:HUNT@ER2@proxy.example": b"me:HUNT@ER2",
    "http://me:HUNT#ER2@proxy.example:3128": b"me:HUNT#ER2",
    "me:#HUNTER2@proxy.example": b"me:#HUNTER2",
    "http://me:80#HUNTER2@proxy.example": b"me:80#HUNTER2",
    "http://me:HUNT%23ER2@proxy.example": b"me:HUNT#ER2",
    "http://me:h\u00fcnter@proxy.example": "me:h\u00fcnter".encode(),
    "http://me:\udcff@proxy.example": b"me:\xff",
    "http://m%C3%A9:%20@proxy.example": "m\u00e9: ".encode(),
    "http://token@proxy.example": b"token:",
    "http://@proxy.example": None,
}


@pytest.mark.attack("S4")
@pytest.mark.parametrize("value", GOOD)
def test_a_login_is_sent_as_it_was_meant_and_is_in_no_text(value: str) -> None:
    proxies = Proxies.of({"https_proxy": value})
    proxy = proxies.to(SITE)
    assert proxy is not None and proxy.origin.host == "proxy.example"
    expected = GOOD[value]
    assert proxy.authorization == (None if expected is None else f"Basic {base64.b64encode(expected).decode()}")
    for text in (f"{proxy}", f"{proxy!r}", f"{proxies}", f"{proxies!r}"):
        assert "HUNT" not in text and "token" not in text and "nter" not in text


def test_all_proxy_is_looked_at_only_if_it_is_used() -> None:
    """Desktops set a SOCKS proxy for all beside those for http and https."""
    both = {"http_proxy": "http://a.example", "https_proxy": "http://b.example", "all_proxy": "socks5://c.example"}
    assert str(Proxies.of(both).to(SITE)) == "http://b.example"
    with pytest.raises(InvalidSettings, match="all_proxy"):
        Proxies.of({"https_proxy": "http://b.example", "all_proxy": "socks5://c.example"})


def test_lower_case_wins_and_what_is_empty_is_none() -> None:
    environ = {"https_proxy": "http://a.example", "HTTPS_PROXY": "http://b.example"}
    assert str(Proxies.of(environ).to(SITE)) == "http://a.example"
    assert Proxies.of({"https_proxy": "", "HTTPS_PROXY": ""}).to(SITE) is None
