"""`BrokenBlob`: content that is not what its digest says, or not there at all."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from .descriptor import Descriptor

# Broken blobs that one message names; a run's result has them all.
_SHOWN: Final = 5


class Problem(StrEnum):
    """What is wrong with a blob."""

    MISSING = "missing"
    SIZE = "size"
    CONTENT = "content"
    UNREADABLE = "unreadable"


_WORDS: Final = {
    Problem.MISSING: "is missing",
    Problem.SIZE: "has another size",
    Problem.CONTENT: "has other content",
    Problem.UNREADABLE: "can't be read",
}


class BrokenBlob(Struct, frozen=True):
    """A broken `blob`, a manifest perhaps; `message` says what is wrong with it, in full.

    `unmended` says why a repair has not mended it; None if none was tried.
    """

    blob: Descriptor
    problem: Problem
    message: str
    is_manifest: bool = False
    unmended: str | None = None

    @property
    def called(self) -> str:
        """The blob, for a message that names several."""
        return f"{'manifest' if self.is_manifest else self.blob.kind} sha256:{self.blob.digest.short}"


def described(broken: Sequence[BrokenBlob], count: int) -> str:
    """Return what is wrong with the `broken` ones of `count` pieces of content, for a message."""
    if len(broken) == 1:
        return f"{broken[0].message}{_why(broken[0])}"
    shown = "; ".join(f"{each.called} {_WORDS[each.problem]}{_why(each)}" for each in broken[:_SHOWN])
    more = f"; and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
    return f"{len(broken)} of {count} blobs: {shown}{more}"


def _why(broken: BrokenBlob) -> str:
    return f" (not mended: {broken.unmended})" if broken.unmended is not None else ""
