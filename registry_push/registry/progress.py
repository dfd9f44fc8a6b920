"""How far a blob has come, as it is told to the sink."""

from __future__ import annotations

from ..events import BlobProgress, BlobRewound, BlobStarted, Sink
from ..model import Descriptor


class Progress:
    """One blob's. `begun` bytes were acknowledged to an earlier process."""

    def __init__(self, sink: Sink, repository: str, blob: Descriptor, *, begun: int) -> None:
        self._sink = sink
        self._repository = repository
        self._blob = blob
        self._begun = begun
        self._shown: int | None = None  # the offset the sink knows of; None: it knows of no upload

    def goes_on(self, offset: int, reason: str) -> None:
        """Bytes go from `offset` now. If the sink knew of more, those go again, for this reason."""
        if self._shown is None:
            self._shown = max(offset, self._begun)
            self._sink(BlobStarted(self._repository, self._blob, self._shown))
        if offset < self._shown:
            lost = self._shown - offset
            self._sink(BlobRewound(self._repository, self._blob.digest, offset, self._blob.size, reason, lost))
        self._shown = offset

    def moved(self, offset: int) -> None:
        """Everything before `offset` has been given to the line."""
        self._shown = offset
        self._sink(BlobProgress(self._repository, self._blob.digest, offset, self._blob.size))
