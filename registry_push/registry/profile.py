"""What a host has taught us, or is known for. Each quirk is one line here and one row in a test."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ..model.reference import OLLAMA_HOSTS
from ..protocol.cut_behaviour import CutBehaviour
from ..protocol.upload.chunks import MiB, WholePut


class Profile(Struct, frozen=True):
    """How a registry takes uploads. `chunk_limit` in bytes; `whole`: what goes in one PUT; `ollama`: Ollama's ways.

    `ecr`: Amazon's, where the answered Range is no offset, no part but the last is short, and that one is in the PUT.
    `kept` is what it keeps of a cut chunk, `rate` the bytes a second that one body had last. `mounts_itself`: a mount
    from the repository itself is answered by whether the blob is there, which saves asking first; None: not tried.
    """

    chunk_limit: int | None = None
    whole: WholePut = WholePut.SMALL
    ollama: bool = False
    kept: CutBehaviour = CutBehaviour.UNKNOWN
    rate: float | None = None
    mounts_itself: bool | None = None
    ecr: bool = False

    def after(self, learned: Profile) -> Profile:
        """Return what is known, by what this host has taught us since."""
        return replace(
            learned,
            chunk_limit=learned.chunk_limit or self.chunk_limit,
            whole=self.whole if learned.whole is WholePut.SMALL else learned.whole,
            ollama=self.ollama,
            ecr=self.ecr or learned.ecr,
        )


def known_profile(host: str) -> Profile:
    """Return what is known of `host` before the first request to it."""
    name = host.lower().partition(":")[0]
    if name in OLLAMA_HOSTS:
        return Profile(ollama=True, kept=CutBehaviour.ACKNOWLEDGED)
    if _is_google(name):
        return Profile(whole=WholePut.ONLY)
    if name == "ghcr.io":
        return Profile(chunk_limit=_GHCR_CHUNK, whole=WholePut.FIRST, kept=CutBehaviour.ACKNOWLEDGED)
    if _is_amazon(name):
        return Profile(kept=CutBehaviour.ACKNOWLEDGED, ecr=True)
    if _is_azure(name):
        return Profile(kept=CutBehaviour.NOTHING)
    return Profile()


# 416 "exceeds 4.00MiB" above it: 256 requests a GiB, and it is not certain that several are put together rightly. A PUT
# of any length is taken.
_GHCR_CHUNK: Final = 4 * MiB


def _is_google(name: str) -> bool:
    """Artifact Registry and Container Registry take one PUT and no PATCH."""
    return name == "gcr.io" or name.endswith((".gcr.io", ".pkg.dev"))


def _is_amazon(name: str) -> bool:
    """ECR, private and public, also by its newer and its FIPS names."""
    is_private = name.endswith((".amazonaws.com", ".amazonaws.com.cn", ".on.aws")) and (
        ".dkr.ecr" in name or ".dkr-ecr" in name
    )
    return is_private or name == "public.ecr.aws"


def _is_azure(name: str) -> bool:
    """ACR: a lost session can't be continued."""
    return name.endswith((".azurecr.io", ".azurecr.cn", ".azurecr.us"))
