"""`Digest`: the name of content, parsed before it becomes part of any path, URL or slice."""

from __future__ import annotations

import hashlib
import re
from typing import Self

from msgspec import Struct

from ..errors import InvalidDigest, UnsupportedDigest, printable, quoted

# Ollama accepts both separators and both cases (manifest/paths.go, BlobsPath); OCI only `sha256:` and
# lower case. `\Z`, not `$`: `$` would let a newline through (CVE-2024-37032 and CVE-2026-7020 began there).
_GRAMMAR = re.compile(r"sha256[:-]([0-9a-fA-F]{64})\Z")

_OTHERS = re.compile(r"(sha384|sha512|blake3):[0-9a-f]{64,128}\Z")  # the others that OCI registers, and a coming one


class Digest(Struct, frozen=True, order=True):
    """A sha256 digest. `hex` is always 64 lower-case hexadecimal digits.

    `str()` gives the OCI form `sha256:<hex>`; `path_name` the file name in an Ollama store.
    """

    hex: str

    @classmethod
    def parse(cls, text: object) -> Self:
        """Return the digest that `text` spells, with `:` or `-`. Raises `InvalidDigest` for anything else,
        `UnsupportedDigest` if that is the digest of another algorithm.
        """
        match = _GRAMMAR.match(text) if isinstance(text, str) else None
        if match is None:
            shown = quoted(text, limit=90) if isinstance(text, str) else printable(repr(text), limit=90)
            if isinstance(text, str) and (other := _OTHERS.match(text)) is not None:
                raise UnsupportedDigest(f"{other[1]} digests are not supported: {shown}")
            raise InvalidDigest(f"not a sha256 digest: {shown}", hint="a digest is sha256: and 64 hex digits")
        return cls(match[1].lower())

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Return the digest of `content`, hashed here and now; for small content only."""
        return cls(hashlib.sha256(content).hexdigest())

    @property
    def short(self) -> str:
        """The first 12 hex digits, as Ollama shows IDs and progress."""
        return self.hex[:12]

    @property
    def path_name(self) -> str:
        """`sha256-<hex>`: the file name below `blobs/` in an Ollama store."""
        return f"sha256-{self.hex}"

    def __str__(self) -> str:
        return f"sha256:{self.hex}"
