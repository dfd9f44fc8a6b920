"""`HashCache`: which files need not be hashed again before they count."""

from __future__ import annotations

import time
from typing import Final

from ..content.base import FileIdentity
from ..model import Digest
from ..settings import Verify
from .keeper import Keeper

# Smaller files are hashed sooner than the journal is asked.
_WORTH_IT: Final = 1024 * 1024
# Nanoseconds. A file that changed so lately may change again without a new time: the clock of a file system moves in
# steps (git calls such an entry racy).
_RACY: Final = 2 * 10**9


class HashCache:
    """Knows by `--verify` and by the keeper what was hashed once and is unchanged since. Nothing here waits."""

    def __init__(self, mode: Verify, keeper: Keeper) -> None:
        self._mode = mode
        self._keeper = keeper

    @property
    def is_blind(self) -> bool:
        """Whether nothing is ever hashed here: that is the registry's business (`--verify never`)."""
        return self._mode == "never"

    @property
    def rereads(self) -> bool:
        """Whether all content is read and hashed, whatever that costs (`--verify always`)."""
        return self._mode == "always"

    def holds(self, file: FileIdentity | None, digest: Digest) -> bool:
        """Return whether `file` may be taken for the blob `digest` unread; None for a body that is no file.

        The registry hashes it in any case.
        """
        if self._mode != "changed":
            return self._mode == "never"
        return file is not None and file.size >= _WORTH_IT and self._keeper.verified(file) == digest

    def note(self, file: FileIdentity, digest: Digest) -> None:
        """`file` was hashed to `digest` just now, and did not change meanwhile."""
        if file.size >= _WORTH_IT and time.time_ns() - max(file.modified, file.changed) > _RACY:
            self._keeper.verify(file, digest)
