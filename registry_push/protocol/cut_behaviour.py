"""What a registry keeps of an upload when the connection breaks inside a chunk: there are three kinds. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from .upload.chunks import MiB

# More than all buffers on the way can hold (Linux: 4 MiB to send, 6 MiB to receive, and a proxy's): if this much was
# sent, the registry has received some.
_SEEN: Final = 16 * MiB


class CutBehaviour(StrEnum):
    """What a registry keeps of a chunk whose connection broke."""

    UNKNOWN = "unknown"
    EVERYTHING = "everything"
    """Every byte that arrived (distribution 3): one long chunk is best."""
    ACKNOWLEDGED = "acknowledged"
    """The chunks that were answered (ECR, R2, GHCR, Quay): a cut costs the chunk."""
    NOTHING = "nothing"
    """The session is lost with all chunks (distribution 2, Harbor, zot, ACR): only an unbroken connection helps."""

    @property
    def in_words(self) -> str:
        """The words for a message; empty if nothing is known."""
        return _WORDS[self]


_WORDS: Final = {
    CutBehaviour.UNKNOWN: "",
    CutBehaviour.EVERYTHING: "this registry keeps what arrived",
    CutBehaviour.ACKNOWLEDGED: "this registry keeps the chunks it has acknowledged",
    CutBehaviour.NOTHING: "this registry keeps nothing of an upload that is cut inside a chunk",
}


def after_cut(sent: int, *, before: int, offset: int | None) -> CutBehaviour | None:
    """Return what a cut has shown, after `sent` bytes of a chunk were written and the offset `before` became `offset`.

    None for `offset` is a session that is gone. The result is None if the cut shows nothing.
    """
    if sent == 0:
        return None
    if offset is None:
        return CutBehaviour.NOTHING
    if before < offset < before + sent:
        return CutBehaviour.EVERYTHING
    return CutBehaviour.ACKNOWLEDGED if offset == before and sent > _SEEN else None
