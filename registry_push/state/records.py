"""Records of every kind of work that has begun and not ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from .push_record import PushRecord

if TYPE_CHECKING:
    from .copy_record import CopyRecord
    from .sync_record import SyncRecord

Record: TypeAlias = "PushRecord | CopyRecord | SyncRecord"
# Those that one command carries out again by itself.
Whole: TypeAlias = "CopyRecord | SyncRecord"


def read_record(text: object) -> Record | None:
    """Parse a record of the journal; None if it is none."""
    if (push := PushRecord.read(text)) is not None:
        return push
    from .copy_record import CopyRecord  # most pushes need none
    from .sync_record import SyncRecord

    return CopyRecord.read(text) or SyncRecord.read(text)
