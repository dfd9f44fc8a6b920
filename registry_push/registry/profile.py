"""What a host has taught us, or is known for. Each quirk is one line here and one row in a test."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ..model.reference import OLLAMA_HOSTS
from ..protocol.chunks import MiB
from ..protocol.kept import Kept


class Profile(Struct, frozen=True):
    """How a registry takes uploads. `chunk_limit` in bytes; `one_put`: no chunks at all; `ollama`: Ollama's ways.

    `kept` is what it keeps of a cut chunk, `rate` the bytes a second that one body had last. `mounts_itself`: a mount
    from the repository itself is answered by whether the blob is there, which saves asking first; None: not tried.
    """

    chunk_limit: int | None = None
    one_put: bool = False
    ollama: bool = False
    kept: Kept = Kept.UNKNOWN
    rate: float | None = None
    mounts_itself: bool | None = None


def known_profile(host: str) -> Profile:
    """What is known of `host` before it is asked (protocol.md, 6)."""
    name = host.lower().partition(":")[0]
    if name in OLLAMA_HOSTS:
        return Profile(ollama=True, kept=Kept.ACKNOWLEDGED)
    if _is_google(name):
        return Profile(one_put=True)
    if name == "ghcr.io":
        return Profile(chunk_limit=_GHCR_CHUNK, kept=Kept.ACKNOWLEDGED)
    if _is_azure(name):
        return Profile(kept=Kept.NOTHING)
    return Profile()


# 416 "exceeds 4.00MiB" above it.
_GHCR_CHUNK: Final = 4 * MiB


def _is_google(name: str) -> bool:
    """Artifact Registry and Container Registry take one PUT and no PATCH."""
    return name == "gcr.io" or name.endswith((".gcr.io", ".pkg.dev"))


def _is_azure(name: str) -> bool:
    """ACR: a lost session can't be gone on with."""
    return name.endswith((".azurecr.io", ".azurecr.cn", ".azurecr.us"))
