"""`Beginning`: notes in the journal that a run has begun, so that it can be continued."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import RegistryPushError
from ..state.journal import Journal
from ..state.records import Record
from ..transfer.job import AnyJob
from .push import KEEPING, PASSING


class Beginning:
    """Records a run once something is found to be missing at the target, or has failed in a way that may pass.

    With nothing to do, nothing is written.
    """

    def __init__(self, journal: Journal | None, record: Record) -> None:
        self._journal = journal
        self._record = record
        self._is_noted = False

    def __call__(self, _: AnyJob) -> None:
        self.note()

    def note(self) -> None:
        """Record the run, once."""
        if self._journal is not None and not self._is_noted:
            self._is_noted = True
            self._journal.begin(self._record)

    def end(self, failures: Sequence[RegistryPushError]) -> None:
        """Forget the run, unless one of its `failures` may pass, or be mended by a login."""
        if any(isinstance(error, PASSING) for error in failures):
            self.note()
        elif self._journal is not None and not any(isinstance(error, KEEPING) for error in failures):
            self._journal.end(self._record)
