"""Records of every kind of work that has begun and not ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from .push_record import PushRecord

if TYPE_CHECKING:
    from .copy_record import CopyRecord

Record: TypeAlias = "PushRecord | CopyRecord"


def read_record(text: object) -> Record | None:
    """Parse a record of the journal; None if it is none."""
    if (push := PushRecord.read(text)) is not None:
        return push
    from .copy_record import CopyRecord  # most pushes need none

    return CopyRecord.read(text)
