"""What was begun and not ended, of every kind."""

from __future__ import annotations

from .copy_record import CopyRecord
from .push_record import PushRecord

Record = PushRecord | CopyRecord


def read_record(text: object) -> Record | None:
    """Return the record that the journal keeps as `text`; None if it is none."""
    return PushRecord.read(text) or CopyRecord.read(text)
