"""Repositories that share blobs, put into a docker-registry by plain requests, and what a registry says it has."""

from __future__ import annotations

import hashlib
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

from tests.support.registries import DockerRegistry

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
_ACCEPT: Final = f"{MANIFEST}, {INDEX}"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_LINE: Final = re.compile(r'"([A-Z]+) (/v2/\S*) HTTP/1\.1" ([0-9]{3}) ([0-9]+)')
_DIGEST: Final = re.compile(r"sha256(?::|%3A)([0-9a-f]{64})")
# Repositories of one family share a blob, and all of them share two.
FAMILY: Final = 5


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of the blob that all repositories share, of that of a family, and of each repository's own."""

    base: int
    family: int
    own: int


@dataclass(frozen=True, slots=True)
class Content:
    """What is in the source: manifests by repository and tag or digest, and the size of each blob."""

    repositories: Mapping[str, Mapping[str, bytes]]
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all blobs, each counted once."""
        return sum(self.sizes.values())


def asked(registry: DockerRegistry, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
    """What the registry answers past any line. Raises `HTTPError`."""
    url = path if path.startswith("http") else f"{registry.origin}{path}"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return urllib.request.urlopen(urllib.request.Request(url, data=body, method=method, headers=named))


def fill(registry: DockerRegistry, repositories: int, sizes: Sizes) -> Content:
    """Put them there, each with three tags: two images, and an index of these and of one without a tag."""
    held: dict[str, int] = {}
    found: dict[str, dict[str, bytes]] = {}
    numbers = count()

    def blob(repository: str, kind: str, size: int, number: int | None = None) -> dict[str, Any]:
        content = _content(next(numbers) if number is None else number, size)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        _upload(registry, repository, digest, content)
        held[digest.partition(":")[2]] = size
        return {"mediaType": kind, "digest": digest, "size": size}

    for number in range(repositories):
        repository = f"team{number % 3}/models/model-{number}"
        base = blob(repository, _LAYER, sizes.base, 1_000_000)
        license_ = blob(repository, _LAYER, 11_000, 1_000_001)
        family = blob(repository, _LAYER, sizes.family, 2_000_000 + number // FAMILY)
        layers = ([base, license_, family, blob(repository, _LAYER, sizes.own)], [base, license_], [family])
        manifests = [
            _encoded(MANIFEST, config=blob(repository, _CONFIG, 300), layers=[*each, blob(repository, _LAYER, 5000)])
            for each in layers
        ]
        tags = dict(zip(("v1", "v2", _named(manifests[2])), manifests, strict=True))
        tags["all"] = _encoded(INDEX, manifests=[_described(raw) for raw in manifests])
        for tag, raw in tags.items():
            kind = json.loads(raw)["mediaType"]
            asked(registry, "PUT", f"/v2/{repository}/manifests/{tag}", raw, Content_Type=kind).close()
        found[repository] = tags
    return Content(found, held)


def _content(number: int, size: int) -> bytes:
    seed = hashlib.sha256(str(number).encode()).digest()
    return (seed * (size // len(seed) + 1))[:size]


def _encoded(kind: str, **rest: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": kind, **rest}).encode()


def _named(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _described(raw: bytes) -> dict[str, Any]:
    return {"mediaType": MANIFEST, "digest": _named(raw), "size": len(raw)}


def _upload(registry: DockerRegistry, repository: str, digest: str, content: bytes) -> None:
    with asked(registry, "POST", f"/v2/{repository}/blobs/uploads/") as answer:
        location = answer.headers["Location"]
    asked(registry, "PUT", f"{location}&digest={digest}", content, Content_Type="application/octet-stream").close()


def wrong_at(registry: DockerRegistry, content: Content) -> list[str]:
    """What of `content` is not there as it should be, in words."""
    wrong = []
    for repository, manifests in content.repositories.items():
        with asked(registry, "GET", f"/v2/{repository}/tags/list") as answer:
            tags = sorted(json.load(answer)["tags"])
        if tags != sorted(tag for tag in manifests if ":" not in tag):
            wrong.append(f"{repository} has the tags {tags}")
        for tag, raw in manifests.items():
            try:
                with asked(registry, "GET", f"/v2/{repository}/manifests/{tag}", Accept=_ACCEPT) as answer:
                    if answer.read() != raw or answer.headers["Docker-Content-Digest"] != _named(raw):
                        wrong.append(f"{repository}:{tag} is another manifest")
                for digest in _blobs(raw):
                    asked(registry, "HEAD", f"/v2/{repository}/blobs/{digest}").close()
            except urllib.error.HTTPError as error:
                with error:
                    wrong.append(f"{repository}:{tag} lacks {error.url}: {error.code}")
    return wrong + damaged(registry)


def damaged(registry: DockerRegistry) -> list[str]:
    """The blobs on the registry's disk that are not what their names say."""
    found = registry.root.glob("docker/registry/v2/blobs/sha256/*/*/data")
    return [str(path) for path in found if _hash(path) != path.parent.name]


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _blobs(raw: bytes) -> Iterator[str]:
    manifest = json.loads(raw)
    for each in [manifest["config"], *manifest["layers"]] if "config" in manifest else []:
        yield each["digest"]


@dataclass(frozen=True, slots=True)
class Request:
    """One that a registry has logged. `digest` in hex, of the blob that its address names; `sent` in bytes."""

    method: str
    target: str
    status: int
    sent: int

    @property
    def digest(self) -> str | None:
        found = _DIGEST.search(self.target)
        return found[1] if found else None


def requests_at(registry: DockerRegistry, start: int = 0) -> list[Request]:
    """What the registry has logged, from the byte `start` of its log on."""
    text = registry.log.read_bytes()[start:].decode(errors="replace")
    return [Request(found[1], found[2], int(found[3]), int(found[4])) for found in _LINE.finditer(text)]
