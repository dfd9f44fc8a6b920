"""Records of every kind of work that has begun and not ended."""

from __future__ import annotations

from .copy_record import CopyRecord
from .push_record import PushRecord

Record = PushRecord | CopyRecord


def read_record(text: object) -> Record | None:
    """Parse a record of the journal; None if it is none."""
    return PushRecord.read(text) or CopyRecord.read(text)
