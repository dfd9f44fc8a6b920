"""`Manifest`: a list of content, kept as the bytes it was read from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Self

from msgspec import Struct

from ..errors import BlobCorrupt, ManifestCorrupt, printable
from .descriptor import Descriptor
from .digest import Digest
from .json_document import MAX_DOCUMENT_BYTES, decoded, refuse_lookalikes

MAX_MANIFEST_BYTES: Final = MAX_DOCUMENT_BYTES
# Tensor models have thousands of layers; a descriptor needs at least 110 bytes, so this is out of reach
# of what fits in MAX_MANIFEST_BYTES.
MAX_LAYERS: Final = 100_000
# Manifests that a list may name, and their bytes together: one for each platform, and perhaps an attestation for each,
# are some dozens. All of them are held in memory while a list is pushed.
MAX_CHILDREN: Final = 1000
MAX_CHILDREN_BYTES: Final = 16 * 1024 * 1024

DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
OLLAMA_LIST: Final = "application/vnd.ollama.manifest.list.v2+json"
LIST_TYPES: Final = (OCI_INDEX, DOCKER_LIST, OLLAMA_LIST)
MANIFEST_TYPES: Final = (DOCKER_MANIFEST, OCI_MANIFEST, *LIST_TYPES)


_KEYS: Final = frozenset({"schemaVersion", "mediaType", "config", "layers", "manifests", "blobs", "subject"})


class ManifestEntry(Struct, frozen=True):
    """A manifest that a list names. `size` is None in Ollama's lists, which have none (its pull request 16590)."""

    media_type: str
    digest: Digest
    size: int | None = None


class Manifest(Struct, frozen=True):
    """An image manifest, or a list of manifests.

    `raw` is what is pushed, byte for byte: re-encoded JSON would have another digest, which is the
    model's ID. `config` is None if the manifest has none, or one without a digest (old Ollama models). `subject` is
    the manifest that this one is about, if it is a signature or the like.
    """

    raw: bytes
    media_type: str
    digest: Digest
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    manifests: tuple[ManifestEntry, ...] = ()
    subject: Digest | None = None

    def __repr__(self) -> str:  # without `raw`, which may have 16 MiB
        return f"Manifest({self.media_type!r}, {self.digest!r}, {self.config!r}, {self.layers!r}, {self.manifests!r})"

    @classmethod
    def parse(cls, raw: bytes, *, media_type: str | None = None) -> Self:
        """Return the manifest in `raw`.

        `media_type` is the answer's Content-Type. It is used if the document names no type; if both do, they must
        agree. Raises `ManifestCorrupt`.
        """
        document = decoded(raw, "manifest")
        refuse_lookalikes(document, _KEYS, "manifest")
        if "blobs" in document:
            raise ManifestCorrupt("manifest is an OCI artifact manifest, which image-spec 1.1 has dropped")
        declared = document.get("mediaType")
        if declared is not None and not isinstance(declared, str):
            raise ManifestCorrupt(f"manifest has an odd mediaType: {printable(repr(declared), limit=60)}")
        if declared and media_type in MANIFEST_TYPES and declared != media_type:
            raise ManifestCorrupt(f"manifest says it is {printable(declared)}, its carrier says {media_type}")
        layers, manifests = document.get("layers"), document.get("manifests")
        if layers is not None and manifests is not None:
            # CVE-2021-41190: clients differ in which of the two they read.
            raise ManifestCorrupt("manifest has both layers and manifests")
        kind = declared or media_type
        if kind in LIST_TYPES and (layers is not None or document.get("config") is not None):
            raise ManifestCorrupt(f"manifest says it is {kind}, a list, and has layers or a config")
        if kind in (DOCKER_MANIFEST, OCI_MANIFEST) and manifests is not None:
            raise ManifestCorrupt(f"manifest says it is {kind}, and is a list of manifests")
        if document.get("schemaVersion") != 2:
            raise ManifestCorrupt(f"manifest has schemaVersion {printable(repr(document.get('schemaVersion')))}, not 2")
        subject = _subject(document.get("subject"))
        if manifests is not None:
            found = _entries(manifests)
            return cls(raw, declared or media_type or OCI_INDEX, Digest.of(raw), None, (), found, subject)
        config, blobs = _config(document.get("config")), _layers(layers if layers is not None else [])
        sizes: dict[Digest, int] = {}
        for blob in (*blobs, *([config] if config else [])):
            if sizes.setdefault(blob.digest, blob.size) != blob.size:
                raise ManifestCorrupt(f"manifest gives {blob.digest} two sizes")
        kind = kind or (OCI_MANIFEST if _is_oci(document) else DOCKER_MANIFEST)
        return cls(raw, kind, Digest.of(raw), config, blobs, subject=subject)

    @property
    def is_list(self) -> bool:
        """Whether it is a list of manifests, be it an empty one."""
        return bool(self.manifests) or self.media_type in LIST_TYPES

    def children(self, read: Callable[[ManifestEntry], bytes]) -> tuple[Manifest, ...]:
        """Return the manifests that this list names, none if it is no list; `read` returns the bytes of each.

        Raises as `child` and as `read`, and `ManifestCorrupt` if they are too large together.
        """
        found, left = [], MAX_CHILDREN_BYTES
        for entry in self.manifests:
            self._refuse_list(entry.media_type in LIST_TYPES, entry)
            child = self.child(entry, read(entry))
            found.append(child)
            left -= len(child.raw)
            if left < 0:
                raise self.too_large()
        return tuple(found)

    def too_large(self) -> ManifestCorrupt:
        """The error that says that what this list names has over `MAX_CHILDREN_BYTES`."""
        return ManifestCorrupt(f"the manifests that {self.digest} lists have over {MAX_CHILDREN_BYTES} bytes")

    def child(self, entry: ManifestEntry, raw: bytes) -> Manifest:
        """Return the manifest `entry` of this list, whose bytes are `raw`.

        Raises `BlobCorrupt` if they do not match the entry, and `ManifestCorrupt` if they are no manifest, or a list:
        what an inner list names would be left behind.
        """
        if entry.size is not None and len(raw) != entry.size:
            raise BlobCorrupt(f"the manifest {entry.digest} has {len(raw)} bytes, not {entry.size}")
        if (digest := Digest.of(raw)) != entry.digest:
            raise BlobCorrupt(f"the content of the manifest {entry.digest} hashes to {digest}")
        child = Manifest.parse(raw, media_type=entry.media_type)
        self._refuse_list(child.is_list, entry)
        return child

    def _refuse_list(self, is_list: bool, entry: ManifestEntry) -> None:
        if is_list:
            raise ManifestCorrupt(
                f"the list {self.digest} names {entry.digest}, which is a list too: lists in lists are not supported",
                hint="push what the inner list names by its own name",
            )

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Every blob the manifest names, each digest once, the layers in order and the config last."""
        unique: dict[Digest, Descriptor] = {}
        for blob in (*self.layers, *([self.config] if self.config else [])):
            unique.setdefault(blob.digest, blob)
        return tuple(unique.values())

    @property
    def size(self) -> int:
        """Bytes of all blobs, each digest counted once."""
        return sum(blob.size for blob in self.blobs)

    @property
    def descriptor(self) -> Descriptor:
        """The manifest as content."""
        return Descriptor(self.media_type, self.digest, len(self.raw))


def _is_oci(document: dict[str, Any]) -> bool:
    config = document.get("config")
    return isinstance(config, dict) and str(config.get("mediaType", "")).startswith("application/vnd.oci.")


def _config(fields: object) -> Descriptor | None:
    # Ollama models without a config carry an empty object or an empty digest (server/images.go, PushModel).
    if fields is None or (isinstance(fields, dict) and not fields.get("digest")):
        return None
    return Descriptor.parse(fields, where="manifest config")


def _subject(fields: object) -> Digest | None:
    return Descriptor.parse(fields, where="manifest subject").digest if fields is not None else None


def _list(items: object, what: str, most: int) -> list[Any]:
    if not isinstance(items, list):
        raise ManifestCorrupt(f"manifest {what} is not a list")
    if len(items) > most:
        raise ManifestCorrupt(f"manifest has {len(items)} {what}; at most {most} are read")
    return items


def _layers(items: object) -> tuple[Descriptor, ...]:
    found = _list(items, "layers", MAX_LAYERS)
    return tuple(Descriptor.parse(item, where=f"manifest layers[{n}]") for n, item in enumerate(found))


def _entries(items: object) -> tuple[ManifestEntry, ...]:
    entries = []
    for n, item in enumerate(_list(items, "manifests", MAX_CHILDREN)):
        sized = {"size": 0, **item} if isinstance(item, dict) else item
        read = Descriptor.parse(sized, where=f"manifest manifests[{n}]")
        entries.append(ManifestEntry(read.media_type, read.digest, read.size if "size" in item else None))
    return tuple(entries)
