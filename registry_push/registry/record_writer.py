"""`RecordWriter`: keeps the record of one upload while it is under way, as often as that is worth a write."""

from __future__ import annotations

from typing import Final

from ..model import UploadKey
from ..protocol.cut_behaviour import CutBehaviour
from ..protocol.upload.chunks import MiB
from ..protocol.upload.requests import UploadRecord
from ..protocol.upload.session import UploadSession
from .host import Host
from .keeper import Keeper

# Below this a blob that goes in one PUT is sent sooner than it is asked how far it came.
WORTH_A_RECORD: Final = 1 * MiB
# Seconds that such a blob has to take: two writes for each of 400 small ones would be seen on a fast line.
_LASTING: Final = 1.0


class RecordWriter:
    """Writes the record of one upload of `size` bytes; `is_there`: one of an earlier process is kept already."""

    def __init__(self, keeper: Keeper, host: Host, key: UploadKey, size: int, *, is_there: bool) -> None:
        self._keeper = keeper
        self._host = host
        self._key = key
        self._size = size
        self._is_there = is_there

    def write(self, session: UploadSession, record: UploadRecord | None) -> None:
        """Keep `record`, or forget what was kept if it is None. Nothing is written for what is over in a moment."""
        if record is None or not self._is_keepable(record):
            if self._is_there or not session.plan.single:
                self._keeper.save(self._key, self._size, None)
            self._is_there = False
        elif self._is_there or not session.plan.single or self._is_worth_it(session):
            self._keeper.save(self._key, self._size, record)
            self._is_there = True

    def _is_worth_it(self, session: UploadSession) -> bool:
        """Return whether a blob in one PUT may be cut, and then continued: some registries keep all that arrived."""
        keeps = session.kept in (CutBehaviour.EVERYTHING, CutBehaviour.UNKNOWN)
        # Only what this run has seen of the line counts: it may have been quick yesterday.
        usual = self._host.throughput.usual
        is_quick = usual is not None and self._size < usual * _LASTING
        return keeps and self._size >= WORTH_A_RECORD and not is_quick

    def _is_keepable(self, record: UploadRecord) -> bool:
        """Return what may be written to a disk: not a session's URL in which the registry repeats our login."""
        return not self._host.client.transport.secrets.is_credential_in(record.location)
