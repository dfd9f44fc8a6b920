"""`Verification`: settles that a body's content is the blob's, before anything of it is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..errors import BlobCorrupt
from ..model import Descriptor
from ..stores.base import BlobBody, FileIdentity, LocalFile
from ..stores.hashing import Hasher, RunningHash, is_hashed_at_once
from .trust import Trust


class Verification:
    """The hash of one body under way: taken for granted, made beside the sending, or by what reads it to be sent.

    Its tasks are of `group`, which a wrong content therefore ends.
    """

    def __init__(
        self, group: asyncio.TaskGroup, blob: Descriptor, body: BlobBody, hasher: Hasher, trust: Trust
    ) -> None:
        self._group = group
        self._blob = blob
        self._body = body
        self._hasher = hasher
        self._trust = trust
        self._file = body.opened_as if isinstance(body, LocalFile) else None
        self._ends: Sequence[int] = ()
        self._running = RunningHash()
        self._is_right = False  # hashed along, and found to be the blob
        self._is_trusted: bool | None = None  # without being hashed; None: not looked at yet
        self._hashing: asyncio.Task[None] | None = None  # beside the sending

    @property
    def md5s(self) -> tuple[bytes, ...]:
        """Of the parts, when it is settled."""
        return self._running.md5s

    def along(self, offset: int) -> RunningHash | None:
        """What is to take the content from `offset` on, as it is read to be sent; so it is read once.

        None where it need not be hashed, or is hashed beside the sending: what comes before `offset` was not read.
        """
        if self._hashing is not None or self._running.offset == self._blob.size or self._trusted():
            return None
        if offset <= self._running.offset and isinstance(self._body, LocalFile):
            return self._running
        if not is_hashed_at_once(self._body):
            self.hash_beside()
        return None

    def may_settle_along(self, start: int) -> bool:
        """Whether all of the content may be hashed as it is sent in the request that commits it, from `start` on.

        Then `check` has to be called between its last byte's being hashed and being sent.
        """
        if start or self._running.offset or self.along(0) is None:
            return False
        self._running = RunningHash()  # of this request alone: an earlier one's thread may end its piece just now
        return True

    def check(self) -> None:
        """Raises `BlobCorrupt` where what was taken along, all of it and once, is not the blob. In any thread.

        What the file has become meanwhile does not matter: these bytes are the ones that are sent.
        """
        if self._running.digest != self._blob.digest:
            raise self._corrupt(self._running)
        self._is_right = True

    def remember(self) -> None:
        """Notes what was taken along and is right, so that another push need not hash it."""
        if self._is_right and self._file is not None and self._file == self._identity():
            self._trust.note(self._file, self._blob.digest)

    def hash_beside(self, ends: Sequence[int] = ()) -> None:
        """Hashes beside the sending, in a thread of its own; with the md5 of the parts that end at `ends`."""
        if ends:
            self._ends, self._running = ends, RunningHash(ends)
        elif self._hashing is not None or self._trusted():
            return
        self._hashing = self._group.create_task(self._hash())

    def distrust(self) -> None:
        """What was taken for granted is hashed after all: the registry has refused it, or lost it."""
        if self._is_trusted:
            self._is_trusted = False
            self.hash_beside()

    async def settle(self) -> None:
        """Returns when the content, as it is now, is the blob's. Raises `BlobCorrupt` and what reading raises."""
        if self._hashing is not None:
            await self._hashing
        elif not self._trusted():
            await self._hash()
        now = self._identity()
        if now != self._file:  # changed, or only touched: who knows what was sent of it
            self._file, self._running, self._is_trusted, self._hashing = now, RunningHash(self._ends), None, None
            if not self._trusted():
                await self._hash()

    def _trusted(self) -> bool:
        if self._is_trusted is None:
            self._is_trusted = not self._ends and self._trust.holds(self._file, self._blob.digest)
        return self._is_trusted

    async def _hash(self) -> None:
        running, file = self._running, self._file
        await self._hasher.finish(self._body, running)
        if running.digest != self._blob.digest:
            raise self._corrupt(running)
        if file is not None and file == self._identity():
            self._trust.note(file, running.digest)

    def _corrupt(self, running: RunningHash) -> BlobCorrupt:
        return BlobCorrupt(
            f"the content of {self._blob.digest} hashes to {running.digest}: nothing of it was committed"
        )

    def _identity(self) -> FileIdentity | None:
        return self._body.identity if isinstance(self._body, LocalFile) else None
