"""What is known or was learned of hosts. Each quirk is one line here and one row in a test."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ..model.reference import OLLAMA_HOSTS
from ..protocol.cut_behaviour import CutBehaviour
from ..protocol.upload.chunks import MiB, WholePut


class Profile(Struct, frozen=True):
    """How a registry takes uploads. `chunk_limit` in bytes; `whole`: what is sent in one PUT; `ollama`: Ollama's way.

    `ecr`: Amazon's, whose Range is no offset, which takes no short part but the last, and that one in the PUT. `kept`
    is what it keeps of a cut chunk, `rate` the last bytes a second of one body. `mounts_itself`: a mount from the
    repository itself works if the blob is there, which saves asking first; None: not tried.
    """

    chunk_limit: int | None = None
    whole: WholePut = WholePut.SMALL
    ollama: bool = False
    kept: CutBehaviour = CutBehaviour.UNKNOWN
    rate: float | None = None
    mounts_itself: bool | None = None
    ecr: bool = False

    def after(self, learned: Profile) -> Profile:
        """Return the profile, updated by what was `learned` of this host."""
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


# Bytes. Longer chunks get 416 "exceeds 4.00MiB". That is 256 requests a GiB, and chunks may not be joined correctly; a
# PUT of any length is accepted.
_GHCR_CHUNK: Final = 4 * MiB


def _is_google(name: str) -> bool:
    """Return whether it is Google's Artifact or Container Registry, which take one PUT and no PATCH."""
    return name == "gcr.io" or name.endswith((".gcr.io", ".pkg.dev"))


def _is_amazon(name: str) -> bool:
    """Return whether it is ECR, private or public, also by its newer and its FIPS names."""
    is_private = name.endswith((".amazonaws.com", ".amazonaws.com.cn", ".on.aws")) and (
        ".dkr.ecr" in name or ".dkr-ecr" in name
    )
    return is_private or name == "public.ecr.aws"


def _is_azure(name: str) -> bool:
    """Return whether it is ACR, where a session that was cut can't be continued."""
    return name.endswith((".azurecr.io", ".azurecr.cn", ".azurecr.us"))
