"""`Manifest`: a list of content, kept as the bytes it was read from."""

from __future__ import annotations

import json
from typing import Any, Final, Self

from msgspec import Struct

from ..errors import ManifestCorrupt, printable
from .descriptor import Descriptor
from .digest import Digest

# distribution refuses manifests over 4 MiB (registry/handlers/manifests.go); 16 MiB leaves room for
# registries that take more, and still bounds what a hostile file or answer can make us parse.
MAX_MANIFEST_BYTES: Final = 16 * 1024 * 1024
# Tensor models have thousands of layers; a descriptor needs at least 120 bytes, so this is out of reach
# of what fits in MAX_MANIFEST_BYTES but for padding attacks.
MAX_LAYERS: Final = 100_000

DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
OLLAMA_LIST: Final = "application/vnd.ollama.manifest.list.v2+json"
MANIFEST_TYPES: Final = (DOCKER_MANIFEST, OCI_MANIFEST, OCI_INDEX, DOCKER_LIST, OLLAMA_LIST)


class ManifestEntry(Struct, frozen=True):
    """A manifest that a list names. `size` is None in Ollama's lists, which give none (its pull request 16590)."""

    media_type: str
    digest: Digest
    size: int | None = None


class Manifest(Struct, frozen=True):
    """An image manifest, or a list of manifests.

    `raw` is what is pushed, byte for byte: re-encoded JSON would have another digest, which is the
    model's ID. `config` is None where the manifest has none, or one without a digest (old Ollama models).
    """

    raw: bytes
    media_type: str
    digest: Digest
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    manifests: tuple[ManifestEntry, ...] = ()

    def __repr__(self) -> str:  # without `raw`, which may have 16 MiB
        return f"Manifest({self.media_type!r}, {self.digest!r}, {self.config!r}, {self.layers!r}, {self.manifests!r})"

    @classmethod
    def parse(cls, raw: bytes, *, media_type: str | None = None) -> Self:
        """The manifest in `raw`.

        `media_type` is what the answer's Content-Type said, used where the document is silent; where both
        speak they must agree. Raises `ManifestCorrupt`.
        """
        document = _decode(raw)
        declared = document.get("mediaType")
        if declared is not None and not isinstance(declared, str):
            raise ManifestCorrupt(f"manifest has an odd mediaType: {printable(repr(declared), limit=60)}")
        if declared and media_type in MANIFEST_TYPES and declared != media_type:
            raise ManifestCorrupt(f"manifest says it is {printable(declared)}, its carrier says {media_type}")
        layers, manifests = document.get("layers"), document.get("manifests")
        if layers is not None and manifests is not None:
            # CVE-2021-41190: which of the two is meant depends on who reads it.
            raise ManifestCorrupt("manifest has both layers and manifests")
        if document.get("schemaVersion") != 2:
            raise ManifestCorrupt(f"manifest has schemaVersion {printable(repr(document.get('schemaVersion')))}, not 2")
        if manifests is not None:
            return cls(
                raw,
                declared or media_type or OCI_INDEX,
                Digest.of(raw),
                None,
                (),
                _entries(manifests),
            )
        return cls(
            raw,
            declared or media_type or (OCI_MANIFEST if _is_oci(document) else DOCKER_MANIFEST),
            Digest.of(raw),
            _config(document.get("config")),
            _layers(layers if layers is not None else []),
        )

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Every blob the manifest names, each digest once, the layers in order and the config last.

        Raises `ManifestCorrupt` if one digest is given two sizes.
        """
        unique: dict[Digest, Descriptor] = {}
        for blob in (*self.layers, *([self.config] if self.config else [])):
            if unique.setdefault(blob.digest, blob).size != blob.size:
                raise ManifestCorrupt(f"manifest gives {blob.digest} two sizes")
        return tuple(unique.values())

    @property
    def size(self) -> int:
        """Bytes of all blobs, each digest counted once."""
        return sum(blob.size for blob in self.blobs)

    @property
    def descriptor(self) -> Descriptor:
        """The manifest as content."""
        return Descriptor(self.media_type, self.digest, len(self.raw))


def _decode(raw: bytes) -> dict[str, Any]:
    if len(raw) > MAX_MANIFEST_BYTES:
        raise ManifestCorrupt(f"manifest has {len(raw)} bytes; at most {MAX_MANIFEST_BYTES} are read")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:  # ValueError: bad JSON, bad UTF-8, a number of 5,000 digits
        raise ManifestCorrupt(f"manifest is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ManifestCorrupt("manifest is not a JSON object")
    return document


def _is_oci(document: dict[str, Any]) -> bool:
    config = document.get("config")
    return isinstance(config, dict) and str(config.get("mediaType", "")).startswith("application/vnd.oci.")


def _config(fields: object) -> Descriptor | None:
    # Ollama models without a config carry an empty object or an empty digest (server/images.go, PushModel).
    if fields is None or (isinstance(fields, dict) and not fields.get("digest")):
        return None
    return Descriptor.parse(fields, where="manifest config")


def _list(items: object, what: str) -> list[Any]:
    if not isinstance(items, list):
        raise ManifestCorrupt(f"manifest {what} is not a list")
    if len(items) > MAX_LAYERS:
        raise ManifestCorrupt(f"manifest has {len(items)} {what}; at most {MAX_LAYERS} are read")
    return items


def _layers(items: object) -> tuple[Descriptor, ...]:
    return tuple(Descriptor.parse(item, where=f"manifest layers[{n}]") for n, item in enumerate(_list(items, "layers")))


def _entries(items: object) -> tuple[ManifestEntry, ...]:
    entries = []
    for n, item in enumerate(_list(items, "manifests")):
        sized = {"size": 0, **item} if isinstance(item, dict) else item
        read = Descriptor.parse(sized, where=f"manifest manifests[{n}]")
        entries.append(ManifestEntry(read.media_type, read.digest, read.size if "size" in item else None))
    return tuple(entries)
