"""`LocalReference`: a manifest in a store on this machine."""

from __future__ import annotations

from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from .digest import Digest


class LocalReference(Struct, frozen=True):
    """A manifest under `tag`, or with `digest`, in a local store; `repository` is the store: `oci:DIR`, `ollama:NAME`.

    It has the fields of a `Reference`; `host` is empty.
    """

    repository: str
    tag: str | None = None
    digest: Digest | None = None
    host: str = ""

    def at(self, *, tag: str | None = None, digest: Digest | None = None) -> Self:
        """Return the same store, and this tag or digest."""
        return replace(self, tag=tag, digest=digest)

    def __str__(self) -> str:
        ref = self.tag if self.digest is None else str(self.digest)
        return self.repository if ref is None else f"{self.repository}:{ref}"
