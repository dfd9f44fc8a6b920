"""`Descriptor`: what a manifest says about one piece of content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

from msgspec import Struct

from ..errors import InvalidDigest, ManifestCorrupt, UnsupportedDigest, UnsupportedManifest, printable
from .digest import Digest
from .json_document import refuse_lookalikes

# RFC 6838 section 4.2 names, which OCI requires of a mediaType (image-spec, descriptor.md).
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\Z")

# int64, as every Go registry and client holds a size.
MAX_SIZE = 2**63 - 1

_KEYS = frozenset({"mediaType", "digest", "size", "urls", "annotations", "data", "from", "name"})

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Descriptor(Struct, frozen=True):
    """Media type, digest and size (bytes); `rest` keeps every other field as it was and is not compared."""

    media_type: str
    digest: Digest
    size: int
    rest: Mapping[str, Any] = _NOTHING

    @classmethod
    def parse(cls, fields: object, *, where: str = "descriptor") -> Self:
        """Return the descriptor in a decoded JSON object. Raises `ManifestCorrupt`, which names `where`.

        For a digest of another algorithm than sha256 that is an `UnsupportedManifest`.
        """
        if not isinstance(fields, dict):
            raise ManifestCorrupt(f"{where} is not a JSON object")
        refuse_lookalikes(fields, _KEYS, where)
        media_type, size = fields.get("mediaType"), fields.get("size")
        if not isinstance(media_type, str) or not _MEDIA_TYPE.match(media_type):
            raise ManifestCorrupt(f"{where} has no valid mediaType: {printable(repr(media_type), limit=80)}")
        # bool is an int in Python; it is no size. A huge size must not become an allocation (GHSA-f36w-mj3v-6jqv).
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_SIZE:
            raise ManifestCorrupt(f"{where} has no valid size: {printable(repr(size), limit=40)}")
        try:
            digest = Digest.parse(fields.get("digest"))
        except UnsupportedDigest as error:
            raise UnsupportedManifest(f"{where}: {error}") from error
        except InvalidDigest as error:
            raise ManifestCorrupt(f"{where}: {error}") from error
        rest = {key: value for key, value in fields.items() if key not in ("mediaType", "digest", "size")}
        return cls(media_type, digest, size, MappingProxyType(rest) if rest else _NOTHING)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Descriptor):
            return NotImplemented
        return (self.media_type, self.digest, self.size) == (other.media_type, other.digest, other.size)

    def __hash__(self) -> int:
        return hash((self.media_type, self.digest, self.size))

    @property
    def from_model(self) -> str | None:
        """Ollama's `from`: the model this layer came with, or a local path; None if there is none."""
        value = self.rest.get("from")
        return value if isinstance(value, str) and value else None

    @property
    def kind(self) -> str:
        """The last word of the media type: `model`, `params`, `tensor` …, or `config`."""
        if self.media_type == "application/vnd.docker.container.image.v1+json":
            return "config"
        return self.media_type.rpartition(".")[2].removesuffix("+json") or self.media_type
