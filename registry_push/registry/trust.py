"""`Trust`: which files need not be hashed again before they count."""

from __future__ import annotations

import time
from typing import Final

from ..model import Digest
from ..settings import Verify
from ..stores.base import BlobBody, LocalFile
from .keeper import Keeper

# Smaller files are hashed sooner than the journal is asked.
_WORTH_IT: Final = 1024 * 1024
# Nanoseconds. A file that changed so lately may change again without a new time: the clock of a file system moves in
# steps (git calls such an entry racy).
_RACY: Final = 2 * 10**9


class Trust:
    """Knows by `--verify` and by the keeper what was hashed once and is unchanged since. Nothing here waits."""

    def __init__(self, mode: Verify, keeper: Keeper) -> None:
        self._mode = mode
        self._keeper = keeper

    def holds(self, body: BlobBody, digest: Digest) -> bool:
        """Whether `body` may be taken for the blob `digest` unread. The registry hashes it in any case."""
        if self._mode != "changed":
            return self._mode == "never"
        if not isinstance(body, LocalFile) or body.size < _WORTH_IT:
            return False
        return self._keeper.verified(body.identity) == digest

    def note(self, body: BlobBody, digest: Digest) -> None:
        """`body` was hashed to `digest` just now, and did not change meanwhile."""
        if not isinstance(body, LocalFile) or body.size < _WORTH_IT:
            return
        if time.time_ns() - max(body.identity.modified, body.identity.changed) > _RACY:
            self._keeper.verify(body.identity, digest)
