"""How far a blob has come, as it is told to the sink."""

from __future__ import annotations

from ..events import BlobProgress, BlobRewound, BlobStarted, Sink
from ..model import Descriptor


class Progress:
    """One blob's. An earlier process had `begun` bytes of it acknowledged; None if there was none."""

    def __init__(self, sink: Sink, repository: str, blob: Descriptor, *, begun: int | None) -> None:
        self._sink = sink
        self._repository = repository
        self._blob = blob
        self._begun = begun
        self._shown: int | None = None  # the offset the sink knows of; None: it knows of no upload

    def goes_on(self, offset: int, reason: str, *, anew: bool = False) -> None:
        """Bytes go from `offset` now, `again` in another session. If the sink knew of more, those go again.

        What an earlier process sent without an acknowledgement nobody can count, but if it is lost, that is said.
        """
        lost_unseen = False
        if self._shown is None:
            self._shown = max(offset, self._begun or 0)
            self._sink(BlobStarted(self._repository, self._blob, self._shown))
            lost_unseen = anew and self._begun is not None
        if offset < self._shown or lost_unseen:
            lost = self._shown - offset
            self._sink(BlobRewound(self._repository, self._blob.digest, offset, self._blob.size, reason, lost))
        self._shown = offset

    def reached(self, offset: int) -> None:
        """As `moved`, where that may not have been told yet."""
        if self._shown is None or offset > self._shown:
            self.moved(offset)

    def moved(self, offset: int) -> None:
        """Everything before `offset` has been given to the line."""
        self._shown = offset
        self._sink(BlobProgress(self._repository, self._blob.digest, offset, self._blob.size))
