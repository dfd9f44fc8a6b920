"""What registries, token services and storages say."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Final

from multidict import CIMultiDict

from registry_push.model import Descriptor, HTTPOrigin
from registry_push.protocol.auth.challenge import basic, bearer, parse_challenges, widened
from registry_push.protocol.auth.realms import Secret, judged
from registry_push.protocol.auth.signing import signed_text, token_query
from registry_push.protocol.auth.token import Token, clock_skew
from registry_push.protocol.diagnostics import diagnose
from registry_push.protocol.location import closing, resolve
from registry_push.protocol.response import RegistryResponse
from registry_push.protocol.retry import parse_retry_after
from registry_push.protocol.upload.offsets import acknowledged, reconciled
from registry_push.protocol.upload.requests import UploadRequest

from .target import Target, pure, raw
from .values import DIGEST

_NOW: Final = 1_700_000_000.0
_BASES: Final = ("https://r.example/v2/a/blobs/uploads/", "http://127.0.0.1:5000/v2/a/", "https://[2001:db8::1]:8443/")
_PRINTABLE: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f]*\Z")
_EXCHANGES: Final = Path(__file__).parents[2] / "fixtures/exchanges"


def _challenges(text: str) -> None:
    challenges = parse_challenges(text.split("\n"))
    for each in (*challenges, bearer(challenges), basic(challenges)):
        if each is not None:
            widened(each.scopes, ("repository:a/b:pull,push",))
            assert each.scheme == each.scheme.lower() and each.realm != "" and each.service != ""


def _error_body(data: bytes) -> None:
    diagnosis = diagnose(data)
    assert _PRINTABLE.match(diagnosis.text) and len(diagnosis.text) <= 300 and all(diagnosis.codes) in (True, False)


def headers_of(text: str) -> tuple[int, CIMultiDict[str]]:
    """A status and headers, a line each."""
    first, *lines = text.split("\n")
    status = int(first[:3]) if first[:3].isascii() and first[:3].isdigit() else 200
    return status, CIMultiDict((name, value) for name, _, value in (line.partition(": ") for line in lines))


def _answer(text: str) -> None:
    status, headers = headers_of(text)
    for url in _BASES[:2]:
        answer = RegistryResponse.read(status, url, headers, text.encode("utf-8", "replace"), now=_NOW)
        assert _PRINTABLE.match(str(answer)) and answer.kind is not None
        for offset, sent in pairwise((0, 100, 65_636, 10**12)):
            known = acknowledged(offset, sent, answer.range_end), reconciled(offset, sent, answer.range_end)
            assert all(end is None or 0 <= end <= sent for end in known)
        for location in (answer.location, answer.upload_location, answer.direct_url):
            if location is not None:
                closing(resolve(url, location), DIGEST)


def _signed(text: str) -> None:
    """An allowed header is sent as it stands, so that it must fit into a line of its own."""
    _, headers = headers_of(text)
    answer = RegistryResponse.read(202, _BASES[0], headers, now=_NOW)
    blob = Descriptor("application/vnd.ollama.image.model", DIGEST, 7)
    request = UploadRequest.direct(resolve(_BASES[0], answer.direct_url or "/x"), blob, answer.signed_headers)
    assert request.headers["Content-Length"] == "7"
    assert {name.lower() for name in request.headers}.isdisjoint({"authorization", "host", "transfer-encoding", ""})


def _location(text: str) -> None:
    for base in _BASES:
        url = closing(resolve(base, text), DIGEST, etag="abc-1")
        assert url.endswith("&etag=abc-1") and not (base.startswith("https") and url.startswith("http:"))
        HTTPOrigin.of(url)


def _realm(text: str) -> None:
    for base in _BASES:
        for secret in Secret:
            judged(HTTPOrigin.of(base), text, secret, allowed=("auth.example",))
            signed_text(token_query(text, "service", ("repository:a:pull",), "nonce", 1))


def _token(data: bytes) -> None:
    token = Token.read(data, now=_NOW)
    assert re.fullmatch(r"[\x21-\x7e]+", token.value) and token.expires > _NOW


def _date(text: str) -> None:
    clock_skew(text, now=_NOW)
    pause = parse_retry_after(text, now=_NOW)
    assert pause is None or 0 <= pause <= 3600


def _recorded() -> tuple[bytes, ...]:
    """The answers of recorded uploads."""
    found = []
    for file in sorted(_EXCHANGES.glob("*.json")):
        for step in json.loads(file.read_bytes())["steps"]:
            lines = [f"{name}: {value}" for name, value in step[-1].get("headers", {}).items()]
            found.append("\n".join([str(step[-1].get("status", 200)), *lines]).encode())
    return tuple(dict.fromkeys(found))


_ANSWERS: Final = (
    *_recorded(),
    b"202\nLocation: /v2/a/blobs/uploads/1?_state=a%2Fb==&x\nRange: 0-65535\nOCI-Chunk-Min-Length: 5",
    b"416\nRange: bytes=0-10/*\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT\nContent-Length: 0\nLocation: http://r.example/x",
    b"201\nDocker-Content-Digest: sha256:" + DIGEST.hex.encode() + b"\nContent-Range: 0-9\nLink: </v2/x?n=1>; rel=next",
)
_DIRECT: Final = (
    b"202\nX-Direct-Upload-URL: https://storage.example/b?X-Amz-Signature=ab\nX-Signed-Header-Content-Type: a/b\n"
    b"X-Signed-Header-x-amz-checksum-sha256: abc=\nX-Signed-Header-If-None-Match: *",
)
_HEADERS: Final = (
    *(b"\nLocation: ", b"\nRange: ", b"\nRetry-After: ", b"\nDocker-Content-Digest: ", b"\nX-Direct-Upload-URL: "),
    *(b"\nX-Signed-Header-", b"Transfer-Encoding: chunked", b"Host: a", b"Content-Length: 0", b"0-", b"bytes="),
)
_CHALLENGES: Final = (
    b'Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push repository:c:pull"',
    b'Basic realm="a \\"quoted\\" word"\nNegotiate YII=, Bearer realm=bare , error="invalid_token"',
)
_ERRORS: Final = (
    b'{"errors":[{"code":"DENIED","message":"no: https://r.example/x?sig=abc","detail":{"a":[1]}},{"code":"X"}]}',
    b'{"error":"who are you?"}',
    b"<html><head><title>502 Bad Gateway</title></head></html>",
    b"plain words at http://user:pw@r.example/?token=1",
)
_LOCATIONS: Final = (
    *(
        b"/v2/a/blobs/uploads/1?_state=x%2F==",
        b"https://r.example/v2/x?y#z",
        b"http://r.example/x",
        b"//other.example/x",
    ),
    *(
        b"../up?x",
        b"?only=query",
        b"https://storage.example:8443/b?X-Amz-Signature=%7E",
        b"https://[2001:db8::1]:8443/x",
    ),
)
_REALMS: Final = (
    *(b"https://auth.example/token?a=b;c&d=%zz#f", b"https://r.example/token", b"http://127.0.0.1:5000/token"),
    *(b"http://169.254.169.254/latest/meta-data", b"https://2130706433/", b"https://r.example.evil/"),
)
_TOKENS: Final = (
    b'{"token":"abc.def-ghi","expires_in":300,"issued_at":"2024-01-01T00:00:00Z"}',
    b'{"access_token":"abc","refresh_token":"x"}',
)
_DATES: Final = (
    b"Wed, 21 Oct 2015 07:28:00 GMT",
    b"120",
    b"Sunday, 06-Nov-94 08:49:37 GMT",
    b"Sun Nov  6 08:49:37 1994",
)

WIRE: Final = (
    Target("challenges", _CHALLENGES, pure(_challenges), (b'realm="', b'scope="', b"\nBearer "), most=900_000),
    Target("error-bodies", _ERRORS, raw(_error_body), (b'{"errors":[', b'"detail":', b"<title>", b"http://a?")),
    Target("answers-headers", _ANSWERS, pure(_answer), _HEADERS),
    Target("signed-headers", _DIRECT, pure(_signed), _HEADERS),
    Target("Locations", _LOCATIONS, pure(_location)),
    Target("realms", _REALMS, pure(_realm)),
    Target("token-answers", _TOKENS, raw(_token), (b'"token":', b'"expires_in":', b'"access_token":')),
    Target("dates", _DATES, pure(_date), (b"GMT", b"+9999", b"Jan", b"00:00:00")),
)
