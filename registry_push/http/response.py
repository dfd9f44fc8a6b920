"""`Response`: an answer as it came over the wire."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from multidict import CIMultiDictProxy

from ..model.manifest import MAX_MANIFEST_BYTES

# The largest answer that is read whole: a manifest. Endless answers and gzip bombs end here (CVE-2024-12886).
MAX_BODY_BYTES: Final = MAX_MANIFEST_BYTES


class Response(Struct, frozen=True):
    """An answer, its body read (at most `MAX_BODY_BYTES`). `via` is the redirect that led to it."""

    status: int
    url: str
    headers: CIMultiDictProxy[str]
    body: bytes = b""
    waited: float | None = None  # seconds until its headers came, on an open connection
    via: Response | None = None
