"""`HashCache`: which files need not be hashed again."""

from __future__ import annotations

import time
from typing import Final

from ..content.base import FileIdentity
from ..model import Digest
from ..protocol.upload.chunks import SINGLE_PUT
from ..settings import Verify
from .keeper import Keeper

# Nanoseconds. A file that changed this recently may change again without a new time, since a file system's clock moves
# in steps (git calls such an entry racy).
_RACY: Final = 2 * 10**9


class HashCache:
    """Knows from `--verify` and the keeper which files were hashed and are unchanged since. Nothing here waits.

    Of files that fit in one request nothing is noted: they are hashed each time, see `Verification`.
    """

    def __init__(self, mode: Verify, keeper: Keeper) -> None:
        self._mode = mode
        self._keeper = keeper

    @property
    def is_blind(self) -> bool:
        """Whether nothing is hashed here, but only by the registry (`--verify never`)."""
        return self._mode == "never"

    @property
    def rereads(self) -> bool:
        """Whether all content is read and hashed (`--verify always`)."""
        return self._mode == "always"

    def holds(self, file: FileIdentity | None, digest: Digest) -> bool:
        """Return whether `file` may be assumed to be the blob `digest` without reading it; None if it is no file.

        The registry hashes it in any case.
        """
        if self._mode != "changed":
            return self._mode == "never"
        return file is not None and file.size > SINGLE_PUT and self._keeper.verified(file) == digest

    def note(self, file: FileIdentity, digest: Digest) -> None:
        """Note that `file` has just been hashed to `digest`, and did not change meanwhile."""
        if file.size > SINGLE_PUT and time.time_ns() - max(file.modified, file.changed) > _RACY:
            self._keeper.verify(file, digest)
