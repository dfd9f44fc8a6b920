"""`RecordWriter`: stores the record of one upload while it is under way, as often as it is worth a write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from ..model import UploadKey
from ..protocol.cut_behaviour import CutBehaviour
from ..protocol.upload.chunks import MiB
from ..protocol.upload.requests import UploadRecord
from .host import Host
from .keeper import Keeper

if TYPE_CHECKING:
    from ..protocol.upload.session import UploadSession

# To send a smaller blob again in one PUT is faster than to ask how much of it arrived.
WORTH_A_RECORD: Final = 1 * MiB
# Seconds. A blob in one PUT that takes less is not recorded: two writes for each of 400 small ones would be noticeable.
_LASTING: Final = 1.0


class RecordWriter:
    """Writes the record of one upload of `size` bytes, with the `file` it comes from.

    `is_there`: an earlier process has stored one.
    """

    def __init__(
        self, keeper: Keeper, host: Host, key: UploadKey, size: int, *, file: tuple[int, int] | None, is_there: bool
    ) -> None:
        self._keeper = keeper
        self._host = host
        self._key = key
        self._size = size
        self._file = file
        self._is_there = is_there

    def write(self, session: UploadSession, record: UploadRecord | None) -> None:
        """Store `record`; None removes it. Nothing is written for an upload that is over in a moment."""
        may_be_there = self._is_there or not session.plan.single
        if record is not None and (may_be_there or self._is_worth_it(session)) and self._is_keepable(record):
            self._keeper.save(self._key, self._size, replace(record, file=self._file))
            self._is_there = True
        elif may_be_there:
            self._keeper.save(self._key, self._size, None)
            self._is_there = False

    def _is_worth_it(self, session: UploadSession) -> bool:
        """Return whether to record a blob in one PUT: some registries keep all that arrived before a cut."""
        keeps = session.kept in (CutBehaviour.EVERYTHING, CutBehaviour.UNKNOWN)
        # Only this run's measurements count: the line may have been fast yesterday.
        usual = self._host.throughput.usual
        is_quick = usual is not None and self._size < usual * _LASTING
        return keeps and self._size >= WORTH_A_RECORD and not is_quick

    def _is_keepable(self, record: UploadRecord) -> bool:
        """Return the record if it may be written to a disk: its URL must not repeat our login."""
        return not self._host.client.transport.secrets.is_credential_in(record.location)
