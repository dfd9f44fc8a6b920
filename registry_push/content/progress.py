"""The progress of a blob, as it is reported to the sink."""

from __future__ import annotations

from ..events import BlobProgress, BlobRewound, BlobStarted, Sink
from ..model import Descriptor


class Progress:
    """The progress of one blob. `begun` bytes were acknowledged to an earlier process; None if there was none."""

    def __init__(self, sink: Sink, repository: str, blob: Descriptor, *, begun: int | None) -> None:
        self._sink = sink
        self._repository = repository
        self._blob = blob
        self._begun = begun
        self._shown: int | None = None  # the offset the sink knows of; None: it knows of no upload

    def goes_on(self, offset: int, reason: str, *, anew: bool = False) -> None:
        """Report that bytes are sent from `offset`, `again` in another session, and how many of them a second time.

        Bytes that an earlier process sent without an acknowledgement can't be counted; if they are lost, say so.
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
        """Report that everything before `offset` has been sent."""
        self._shown = offset
        self._sink(BlobProgress(self._repository, self._blob.digest, offset, self._blob.size))
