"""`NO_PROXY` as Go (x/net/http/httpproxy, use_proxy tests there) and curl (lib/noproxy.c) read it."""

from __future__ import annotations

import pytest

from registry_push.http.proxies import Proxies
from registry_push.model import HTTPOrigin

R5 = "10.0.0.0/8,*.corp.test,2001:db8::5"

DIRECT = [
    (R5, "https://10.9.8.7"),
    (R5, "https://reg.corp.test"),
    (R5, "https://[2001:db8::5]"),
    (R5, "https://a.b.corp.test:5000"),
    ("corp.test", "https://corp.test"),
    ("corp.test", "https://reg.corp.test:5000"),
    (".corp.test", "https://reg.corp.test"),
    (".corp.test", "https://corp.test"),
    ("corp.test.", "https://corp.test"),
    ("corp.test", "https://corp.test."),
    ("CORP.Test", "https://reg.corp.test"),
    ("corp.test:5000", "https://corp.test:5000"),
    ("*.corp.test:5000", "https://reg.corp.test:5000"),
    ("corp.test:443", "https://corp.test"),
    ("corp.test:80", "http://corp.test"),
    ("192.0.2.7", "https://192.0.2.7:5000"),
    (f"{'%' * 60_000},corp.test", "https://corp.test"),  # longer than any host: skipped
    ("192.0.2.7:5000", "https://192.0.2.7:5000"),
    ("192.0.2.0/24", "https://192.0.2.255"),
    ("192.0.2.9/24", "https://192.0.2.1"),
    ("0.0.0.0/0", "https://192.0.2.1"),
    ("2001:db8::/32", "https://[2001:db8:1::2]:5000"),
    ("[2001:db8::5]", "https://[2001:db8::5]"),
    ("[2001:db8::5]:5000", "https://[2001:db8::5]:5000"),
    ("2001:DB8:0:0::5", "https://[2001:db8::5]"),
    ("::ffff:192.0.2.7", "https://192.0.2.7"),
    ("192.0.2.7", "https://[::ffff:192.0.2.7]"),
    ("192.0.2.0/24", "https://[::ffff:c000:207]"),
    ("other.test, corp.test", "https://corp.test"),
    ("other.test corp.test", "https://corp.test"),
    (" ,,corp.test, ", "https://corp.test"),
    ("b\u00fccher.test", "https://reg.xn--bcher-kva.test"),
    (" * ", "https://corp.test"),
    ("*", "https://192.0.2.7"),
]

PROXIED = [
    (R5, "https://11.9.8.7"),
    (R5, "https://corp.test"),
    (R5, "https://[2001:db8::6]"),
    (R5, "https://corp.test.example"),
    ("corp.test", "https://mycorp.test"),
    ("*.corp.test", "https://mycorp.test"),
    ("corp.test:5000", "https://corp.test"),
    ("corp.test:443", "http://corp.test"),
    ("192.0.2.7:5000", "https://192.0.2.7"),
    ("192.0.2.7", "https://192.0.2.70"),
    ("2.7", "https://192.0.2.7"),
    ("192.0.2.0/24", "https://reg.corp.test"),
    ("2001:db8::5", "https://[2001:db8::5:5]"),
    ("[2001:db8::5]:5000", "https://[2001:db8::5]"),
    ("192.0.2.0/33", "https://192.0.2.1"),
    ("*.", "https://corp.test"),
    (".", "https://corp.test"),
    (":5000", "https://corp.test:5000"),
    ("other.test,*", "https://corp.test"),  # to Go it is all, to curl and Python a name
    ("", "https://corp.test"),
    (",", "https://corp.test"),
]


@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
@pytest.mark.parametrize(
    ("value", "url", "is_direct"), [(*row, True) for row in DIRECT] + [(*row, False) for row in PROXIED]
)
def test_no_proxy_is_read_as_go_and_curl_read_it(variable: str, value: str, url: str, is_direct: bool) -> None:
    proxies = Proxies.of({"all_proxy": "http://10.0.0.1:3128", variable: value})
    assert (proxies.to(HTTPOrigin.of(url)) is None) is is_direct
