"""What users, files and variables spell: names, places, sizes, addresses; and the documents that are only parsed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from registry_push.content.oci.index import LayoutIndex
from registry_push.content.ollama.source import privacy_warnings
from registry_push.daemon.access import Access, Origins
from registry_push.daemon.address import parse_ollama_host
from registry_push.daemon.push_request import PushRequest
from registry_push.daemon.targets import AllowedTargets
from registry_push.http.proxies import Proxies
from registry_push.model import Descriptor, Digest, HTTPOrigin, Manifest, ModelName, Reference
from registry_push.model.manifest import MANIFEST_TYPES
from registry_push.model.place import Below, parse_destination, parse_place
from registry_push.registry.kinds import known_profile
from registry_push.text.quantities import parse_size

from .target import Target, pure, raw

_FIXTURES: Final = Path(__file__).parents[2] / "fixtures"
MANIFESTS: Final = tuple(sorted({f.read_bytes() for f in (_FIXTURES / "ollama/manifests").rglob("*") if f.is_file()}))
DIGEST: Final = Digest.of(b"a blob")
_HEX: Final = DIGEST.hex.encode()
_NAMES: Final = (
    *(b"llama3.2", b"me/tiny:latest", b"registry.ollama.ai/library/llama3.2:3b", b"http://localhost:5000/me/m:t"),
    *(
        b"registry.example.com:5000/ml/model:v1",
        b"hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M",
        b"[::1]:5000/a/b",
    ),
    *(b"localhost:5000/me/tiny@sha256:" + _HEX, b"oci:/srv/layout:latest", b"docker://r.example/a/b:c", b"ollama:"),
    *(b"registry:r.example/a", b"r.example/ns/", b"https://r.example/", b"ollama:me/tiny", b"oci-archive:x.tar"),
)


def _references(text: str) -> None:
    reference = Reference.parse(text)
    assert Reference.parse(str(reference)) == reference
    reference.origin(plain_http=False)
    known_profile(reference.host)


def _places(text: str) -> None:
    try:
        parse_place(text)
    finally:
        destination = parse_destination(text)
        if isinstance(destination, Below):
            destination.reference(ModelName.parse("me/tiny"))


def _digest(text: str) -> None:
    digest = Digest.parse(text)
    assert Digest.parse(str(digest)) == digest and "/" not in digest.path_name


def _origin(text: str) -> None:
    origin = HTTPOrigin.of(text)
    assert HTTPOrigin.of(str(origin)) == origin and origin.is_loopback in (True, False)


def _manifest(data: bytes) -> None:
    for media_type in (None, *MANIFEST_TYPES):
        manifest = Manifest.parse(data, media_type=media_type)
        assert manifest.size >= 0 and manifest.raw == data and repr(manifest)
        privacy_warnings(manifest)
        for blob in manifest.blobs:
            assert blob.kind and blob.from_model != ""


def _descriptor(data: bytes) -> None:
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return
    assert Descriptor.parse(fields).size >= 0


def _layout_index(data: bytes) -> None:
    index = LayoutIndex.parse(data)
    readable = list(index.readable())
    for ref in index.refs[:3]:
        index.untagged(ref).encode()
        index.named(ref)
    assert all(index.with_digest(each.digest) for each in readable[:3])


def _push_request(data: bytes) -> None:
    request = PushRequest.parse(data)
    for text in (request.model, request.username, request.password):
        assert text is None or text.encode()
    AllowedTargets.parse(["*.example.com", "r.example:5000/me/*"]).check(ModelName.parse(request.model))


def _proxies(text: str) -> None:
    for name in ("http_proxy", "HTTPS_PROXY", "all_proxy", "no_proxy"):
        environ = {"http_proxy": "http://127.0.0.1:3128", name: text}
        proxies = Proxies.of(environ)
        for url in ("http://r.example/", "https://r.example:5000/", "https://[2001:db8::1]/", "http://localhost/"):
            proxy = proxies.to(HTTPOrigin.of(url))
            assert proxy is None or proxy.origin.port


def _access(text: str) -> None:
    host, _, origin = text.partition("\n")
    for guards in (True, False):
        access = Access(guards, Origins.parse("https://*.example.com"), "a-token-of-the-service")
        assert access.admits_host(host) in (True, False) and access.admits_origin(origin, host) in (True, False)
        assert not access.admits_token(text)


def _origins(text: str) -> None:
    assert Origins.parse(text).allow("https://a.example") in (True, False)


def _targets(text: str) -> None:
    AllowedTargets.parse(text.split("\n")).check(ModelName.parse("r.example/me/tiny"))


def _list() -> bytes:
    entries: list[dict[str, Any]] = [
        {"mediaType": MANIFEST_TYPES[0], "digest": str(DIGEST), "size": 500, "platform": {"os": "linux"}},
        {"mediaType": MANIFEST_TYPES[1], "digest": str(Digest.of(b"b"))},
    ]
    entries[0]["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPES[2], "manifests": entries}).encode()


LIST: Final = _list()
_DESCRIPTOR: Final = json.dumps(
    {"mediaType": "application/vnd.ollama.image.model", "digest": str(DIGEST), "size": 7, "from": "/home/me/x.gguf"}
).encode()
_KEYS: Final = (b'"layers"', b'"manifests"', b'"mediaType"', b'"digest"', b'"size"', b'"config"', b'"schemaVersion":2')
_BODIES: Final = (
    b'{"model":"me/tiny:latest","stream":false,"insecure":true}',
    b'{"name":"r.example:5000/me/tiny","username":"me","password":"word"}',
)
_ADDRESSES: Final = (
    b"0.0.0.0:11434",
    b"https://example.com/path",
    b"[::1]:80",
    b":8080",
    b'"127.0.0.1"',
    b"ollama.local",
)

VALUES: Final = (
    Target("names", _NAMES, pure(ModelName.parse)),
    Target("references", _NAMES, pure(_references)),
    Target("places", _NAMES, pure(_places)),
    Target("digests", (b"sha256:" + _HEX, b"sha256-" + _HEX.upper()), pure(_digest)),
    Target("origins", (b"https://r.example:5000/v2/?x=1", b"http://[::1]:80/", b"http://u:p@h/"), pure(_origin)),
    Target("sizes", (b"64MiB", b"1.5 GB", b"1048576", b"5g"), pure(parse_size)),
    Target("manifests", MANIFESTS, raw(_manifest), _KEYS, most=256 * 1024),
    Target("manifest-lists", (LIST,), raw(_manifest), _KEYS, most=256 * 1024),
    Target("descriptors", (_DESCRIPTOR,), raw(_descriptor), _KEYS),
    Target("layout-indexes", (LIST,), raw(_layout_index), (*_KEYS, b'"annotations"'), most=256 * 1024),
    Target("push-requests", _BODIES, raw(_push_request), (b'"model"', b'"username"', b'"password"', b'"stream"')),
    Target("proxies", (b"http://user:pw@proxy.example:3128", b"socks5://p:1", b".example,10.0.0.0/8"), pure(_proxies)),
    Target("OLLAMA_HOST", _ADDRESSES, pure(parse_ollama_host)),
    Target("OLLAMA_ORIGINS", (b"https://a.example,http://*.b.example", b"app://*"), pure(_origins)),
    Target("allowed-targets", (b"r.example:5000/me/*\n*.example.com", b"[a-z]?.example/**"), pure(_targets), most=4096),
    Target("hosts-and-origins", (b"localhost:11434\nhttps://a.example", b"[::1]:80\nnull"), pure(_access)),
)
