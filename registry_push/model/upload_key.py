"""`UploadKey`: what one upload is known by."""

from __future__ import annotations

from msgspec import Struct

from .digest import Digest


class UploadKey(Struct, frozen=True):
    """One upload: a digest on its way into a repository at an origin (`scheme://host[:port]`)."""

    origin: str
    repository: str
    digest: Digest
