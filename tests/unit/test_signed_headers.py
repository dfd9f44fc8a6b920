"""`X-Signed-Header-*`: what a direct upload repeats to the storage, and what it never does (CVE-2026-85180)."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from registry_push.errors import ProtocolViolation
from registry_push.protocol.response import RegistryResponse
from registry_push.protocol.signed_headers import to_repeat

pytestmark = [pytest.mark.attack("S2"), pytest.mark.attack("CVE-2026-85180")]

URL = "https://bucket.storage.example/b?X-Amz-Signature=s"


def _repeated(*headers: tuple[str, str]) -> dict[str, str]:
    named = CIMultiDict((f"X-Signed-Header-{name}", value) for name, value in headers)
    named["X-Direct-Upload-URL"] = URL
    answer = RegistryResponse.read(202, "https://r.example/", named, now=0.0)
    return to_repeat(answer.signed_headers, url=URL, size=5000)


@pytest.mark.parametrize(
    "name",
    [
        "Content-Type", "content-md5", "Content-Disposition", "Content-Encoding", "Cache-Control", "If-None-Match",
        "x-amz-meta-size", "X-Amz-Checksum-Sha256", "x-amz-server-side-encryption", "x-goog-content-length-range",
        "x-ms-blob-type", "X-MS-Version",
    ],
)  # fmt: skip
def test_what_presigners_sign_is_repeated_as_it_is_written(name: str) -> None:
    assert _repeated((name, "a value")) == {name: "a value"}


@pytest.mark.parametrize(
    "name",
    [
        "Transfer-Encoding", "transfer-encoding", "Host", "Cookie", "Proxy-Authorization", "Authorization",
        "Connection", "Upgrade", "Expect", "TE", "Trailer", "Content-Length", "Content-Range", "Range", "Via",
        "X-Forwarded-For", "X-HTTP-Method-Override", "Keep-Alive", "User-Agent", "Accept", "x-amz-", "x-amz-a b",
        "x-amz", "", "X-Redirect-Uploads", "Origin", "Referer", "Metadata-Flavor", "X-aws-ec2-metadata-token",
    ],
)  # fmt: skip
def test_anything_else_is_a_violation(name: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        _repeated(("Content-Type", "text/plain"), (name, "chunked"))
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("value", ["a\r\nTransfer-Encoding: chunked", "a\nb", "a\x00b", "\udcff", "x" * 5000])
def test_a_value_that_is_no_line_is_a_violation(value: str) -> None:
    with pytest.raises(ProtocolViolation):
        to_repeat((("Content-Type", value),), url=URL, size=1)


def test_a_header_with_two_values_is_a_violation_and_the_same_twice_is_one() -> None:
    assert _repeated(("Content-Type", "a/b"), ("content-type", "a/b")) == {"content-type": "a/b"}
    with pytest.raises(ProtocolViolation):
        _repeated(("Content-Type", "a/b"), ("content-type", "c/d"))


def test_what_the_request_says_anyway_may_be_signed() -> None:
    # AWS's SDK for Go names these among what it signed.
    assert _repeated(("Host", "bucket.storage.example"), ("Content-Length", "5000"), ("x-amz-acl", "a")) == {
        "x-amz-acl": "a"
    }
    for header in (("Host", "other.example"), ("Content-Length", "4999")):
        with pytest.raises(ProtocolViolation):
            _repeated(header)


def test_they_count_beside_a_direct_url_only() -> None:
    headers = CIMultiDict({"X-Signed-Header-Transfer-Encoding": "chunked"})
    assert RegistryResponse.read(202, "https://r.example/", headers, now=0.0).signed_headers == ()
