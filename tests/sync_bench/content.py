"""What is synced: many repositories, filled without any of the clients; and the look at what came of a sync."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from registry_push.embedded.sample import config, encoded
from tests.bench.source import CopyWrong, asked, upload

# skopeo refuses Ollama's types.
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_CONFIG_BYTES: Final = encoded(config())
_BLOCK: Final = 1 << 20
# Repositories that share one large blob, as the variants of a model do. They follow each other in a list.
_VARIANTS: Final = 5
_LICENSE: Final = 12_000


@dataclass(frozen=True, slots=True)
class Blob:
    """The blob of this number: another number is another content."""

    number: int
    size: int

    def pieces(self) -> Iterator[bytes]:
        """Its bytes. The first ones of each mebibyte differ from all others of any blob."""
        for offset in range(0, self.size, _BLOCK):
            head = self.number.to_bytes(8, "little") + offset.to_bytes(8, "little")
            yield (head + b"\xa5" * (_BLOCK - len(head)))[: self.size - offset]

    def digest(self) -> str:
        """`sha256:…`, computed."""
        hasher = hashlib.sha256()
        for piece in self.pieces():
            hasher.update(piece)
        return f"sha256:{hasher.hexdigest()}"


@dataclass(frozen=True, slots=True)
class Content:
    """The layers of each tag of each repository. All have the same config."""

    repositories: dict[str, dict[str, tuple[Blob, ...]]]

    @property
    def blobs(self) -> set[Blob]:
        """Each one once, the config not among them."""
        return {blob for tags in self.repositories.values() for layers in tags.values() for blob in layers}

    @property
    def distinct(self) -> int:
        """Bytes of the blobs, each counted once."""
        return sum(blob.size for blob in self.blobs) + len(_CONFIG_BYTES)

    @property
    def named(self) -> int:
        """Bytes of the blobs, counted once for each repository: what goes over the line if nothing is shared."""
        each = [{blob for layers in tags.values() for blob in layers} for tags in self.repositories.values()]
        return sum(blob.size for blobs in each for blob in blobs) + len(each) * len(_CONFIG_BYTES)


def small_tags(repositories: int, tags: int, size: int) -> Content:
    """So many repositories of so many tags, each with a layer of `size` bytes that no other has."""
    return Content(
        {
            f"bench/small{number:03}": {f"v1.{tag}": (Blob(number * tags + tag, size),) for tag in range(tags)}
            for number in range(repositories)
        }
    )


def variants(repositories: int, total: int) -> Content:
    """So many repositories, `total` bytes of distinct blobs: half is each repository's own, half is shared by five.

    A small layer is in all of them, and a second tag adds nothing.
    """
    groups = -(-repositories // _VARIANTS)
    license_ = Blob(0, _LICENSE)
    own, shared = total // 2 // repositories, total // 2 // groups
    found = dict[str, dict[str, tuple[Blob, ...]]]()
    for number in range(repositories):
        layers = (Blob(1 + number // _VARIANTS, shared), Blob(1 + groups + number, own), license_)
        found[f"bench/large{number:03}"] = {"latest": layers, "adapter": layers[1:]}
    return Content(found)


def fill(host: str, content: Content) -> dict[tuple[str, str], str]:
    """Put `content` at the registry, and return the digest of each repository's tag."""
    digests = {blob: blob.digest() for blob in content.blobs}
    config_digest = f"sha256:{hashlib.sha256(_CONFIG_BYTES).hexdigest()}"
    at = dict[str, str]()
    manifests = dict[tuple[str, str], str]()
    with closing(http.client.HTTPConnection(host, blocksize=_BLOCK)) as connection:
        for repository, tags in content.repositories.items():
            for blob in {blob for layers in tags.values() for blob in layers}:
                _put(connection, repository, digests[blob], blob, at)
            _put(connection, repository, config_digest, None, at)
            for tag, layers in tags.items():
                raw = encoded(_manifest(config_digest, [(digests[blob], blob.size) for blob in layers]))
                asked(connection, "PUT", f"/v2/{repository}/manifests/{tag}", 201, raw, {"Content-Type": _MANIFEST})
                manifests[repository, tag] = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    return manifests


def check(host: str, manifests: dict[tuple[str, str], str]) -> None:
    """Raise `CopyWrong` unless the registry has each of them; it took none whose blobs it does not have."""
    with closing(http.client.HTTPConnection(host)) as connection:
        for (repository, tag), digest in manifests.items():
            told = asked(connection, "HEAD", f"/v2/{repository}/manifests/{tag}", 200, headers={"Accept": _MANIFEST})
            if told.headers["Docker-Content-Digest"] != digest:
                raise CopyWrong(f"{repository}:{tag} has the manifest {told.headers['Docker-Content-Digest']}")


def _put(
    connection: http.client.HTTPConnection, repository: str, digest: str, blob: Blob | None, at: dict[str, str]
) -> None:
    """Upload `blob`, or the config, unless it is `at` another repository already: then mount it from there."""
    if digest in at:
        asked(connection, "POST", f"/v2/{repository}/blobs/uploads/?mount={digest}&from={at[digest]}", 201)
        return
    size = len(_CONFIG_BYTES) if blob is None else blob.size
    upload(connection, repository, digest, _CONFIG_BYTES if blob is None else blob.pieces(), size)
    at[digest] = repository


def _manifest(config_digest: str, layers: list[tuple[str, int]]) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": _CONFIG, "digest": config_digest, "size": len(_CONFIG_BYTES)},
        "layers": [{"mediaType": _LAYER, "digest": digest, "size": size} for digest, size in layers],
    }
