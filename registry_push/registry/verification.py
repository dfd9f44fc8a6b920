"""`Verification`: makes sure that a body's content is the blob's, before it is committed.

The bytes that were *sent* must be the ones that were hashed. There are two proofs. Either all of them were hashed in
the buffer from which they were sent, then or before; or the file had the same identity from before it was hashed until
after the registry's last answer. Without either, content that is right now may have been different while it was sent,
and a registry that does not verify would store that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from ..content.base import BlobBody, FileIdentity, LocalFile
from ..content.body import BytesBody, hint_for_damaged
from ..content.hashing import Hasher, RunningHash, is_hashed_at_once
from ..errors import BlobCorrupt, SourceChanged
from ..model import Descriptor
from ..protocol.upload.chunks import SINGLE_PUT, Span
from .hash_cache import HashCache


class InDoubt(SourceChanged):
    """The file was changed or touched while it was sent, so it is unknown what was sent: send it once more."""


class Verification:
    """The hash of one body: trusted from earlier, computed in parallel with sending, or by the reader that sends it.

    Its tasks are in `group`, which wrong content therefore ends. `exact`: trust nothing, and hash bytes as they are
    sent if possible, so that even a file that is touched all the time can be sent. With small files it is always so:
    that costs little, and one that is written through a memory map has no new time.
    """

    def __init__(
        self,
        group: asyncio.TaskGroup,
        blob: Descriptor,
        body: BlobBody,
        hasher: Hasher,
        trust: HashCache,
        *,
        exact: bool = False,
    ) -> None:
        self._group = group
        self._blob = blob
        self._body = body
        self._hasher = hasher
        self._trust = trust
        self._local = body if isinstance(body, LocalFile) else None
        self._is_small = self._local is not None and 0 < blob.size <= SINGLE_PUT and not trust.is_blind
        self.is_exact = exact or self._is_small
        self._file = (self._local.identity if exact else self._local.opened_as) if self._local else None
        self._ends: Sequence[int] = ()
        self._running = RunningHash()
        self._sent: list[RunningHash] = []  # what went before `_running`: the registry may have kept it after all
        self._is_right = False  # hashed, and found to be the blob
        self._is_trusted: bool | None = None  # trusted without being hashed; None: not checked yet
        self._hashing: asyncio.Task[None] | None = None  # in parallel with sending
        self._next = 0  # the end of the span that was sent last
        self._is_seen = True  # all that was sent was hashed while it was sent
        self._is_unsettled = False  # something was sent since the hash was settled
        self._has_begun = False  # something was sent at all

    @property
    def md5s(self) -> tuple[bytes, ...]:
        """Of the parts, when it is settled."""
        return self._running.md5s

    def sending(self, span: Span) -> RunningHash | None:
        """Note that `span` is sent now, and return what is to take it as it is read, as `along`."""
        if self.is_exact and span.start == 0:
            self._begin_anew()
        running = self.along(span.start)
        # A cancelled reader may still finish its piece, and would hash instead of this one.
        is_next = running is not None and span.start == self._next == running.offset
        self._is_seen = self._is_seen and is_next
        self._next, self._is_unsettled, self._has_begun = span.stop, True, True
        return running

    def along(self, offset: int) -> RunningHash | None:
        """Return the hash to feed with the content from `offset` on while it is sent, so that it is read only once.

        None if it need not be hashed, or is hashed in parallel, since the bytes before `offset` were not read.
        """
        if self._hashing is not None or self._running.offset == self._blob.size or self._trusted():
            return None
        if offset <= self._running.offset and not isinstance(self._body, BytesBody):
            return self._running
        if self.is_streamed and self._ends:
            return None  # parts that another process has sent: `settle` reads the whole for their hashes
        if self.is_streamed and not self._trust.rereads:
            # Bytes that an earlier process has sent are not fetched again to be hashed: the registry checks the digest.
            self._is_trusted = True
        elif not is_hashed_at_once(self._body):
            self.hash_beside()
        return None

    def may_settle_along(self, start: int) -> bool:
        """Return whether all content from `start` on may be hashed while it is sent in the request that commits it.

        Then `check` has to be called after the last byte is hashed, and before it is sent.
        """
        if self.is_exact:
            if start == 0:
                self._begin_anew()
            return self.along(start) is not None and self._is_seen and start == self._next == self._running.offset
        if start or self._running.offset or self.along(0) is None:
            return False
        self._begin_anew()
        return True

    async def go_back(self, start: int) -> None:
        """Prepare to send once more from `start`, where content is hashed as it is sent.

        What was sent before `start` was hashed with bytes behind it, so the file is read again up to the last of them.
        So it is with all that went before: a registry may first say that it has kept less, and then that it has more.
        Raises `InDoubt` if they are not the same any more, and what reading raises.
        """
        if not self.is_exact or self._local is None or self._hashing is not None or not start:
            return
        if start != self._running.offset:
            before, all_sent = RunningHash(self._ends), [each.copy() for each in (*self._sent, self._running)]
            await self._hasher.finish(self._body, before, end=start)
            for sent in all_sent:
                again = before.copy() if sent.offset > start else RunningHash()
                await self._hasher.finish(self._body, again, end=sent.offset)
                if again.digest != sent.digest:
                    raise InDoubt(f"the file of {self._blob.digest} was changed while it was sent")
            self._sent = [max(all_sent, key=lambda sent: sent.offset)]  # the others are beginnings of it
            self._running = before
        else:
            self._running = self._running.copy()  # a reader that was cancelled may still feed the other one
        self._next = start

    def check(self, running: RunningHash) -> None:
        """Raise `BlobCorrupt` if `running`, fed with all of the content, does not have the blob's digest.

        May run in any thread. Later changes of the file don't matter: these bytes are the ones that are sent.
        """
        if running.digest != self._blob.digest:
            raise self._corrupt(running)
        self._is_right = self._is_right or running is self._running

    def check_file(self) -> None:
        """Raise `InDoubt` if the file has changed since it was hashed, and is not hashed while it is sent."""
        if self._local is None or self._trust.is_blind or self._is_proved:
            return
        if self._local.identity != self._file:
            raise InDoubt(f"the file of {self._blob.digest} was changed or touched while it was sent")

    def remember(self) -> None:
        """Note the verified hash, so that another push need not compute it."""
        if self._is_right and self._file is not None and self._file == self._identity():
            self._trust.note(self._file, self._blob.digest)

    def hash_beside(self, ends: Sequence[int] = ()) -> None:
        """Start to hash in parallel with sending, with the md5 of the parts that end at `ends`."""
        if ends:
            self._ends, self._running = ends, RunningHash(ends)
            if self.goes_in_order:
                return
        elif self._hashing is not None or self._trusted():
            return
        self._hashing = self._group.create_task(self._hash())

    def distrust(self) -> None:
        """Hash content that was trusted so far, since the registry has refused or lost it."""
        if self._is_trusted:
            self._is_trusted = False
            self.hash_beside()

    async def settle(self) -> None:
        """Return as soon as it is sure that the content is the blob's, and that it is what was sent.

        Raises `BlobCorrupt`, `InDoubt`, and what reading raises.
        """
        if self._hashing is not None:
            await self._hashing
        elif not self._trusted():
            await self._hash()
        now = self._identity()
        if now != self._file and not self._has_begun:  # changed, or only touched: it counts as it is now
            self._file, self._running, self._is_trusted, self._hashing = now, RunningHash(self._ends), None, None
            if not self._trusted():
                await self._hash()
        else:
            self.check_file()
        self._is_unsettled = False

    async def confirm(self) -> None:
        """Check once more after the commit. Raises `InDoubt` if bytes sent since `settle` may be different.

        Raises `SourceChanged` if the sent bytes are right, but the file no longer is: that is no success either.
        """
        if self._is_unsettled:
            self.check_file()
        if self._is_small and self._has_begun and self._identity() != self._file:
            digest = await self._hasher.sha256(self._body)
            if digest != self._blob.digest:
                raise SourceChanged(
                    f"the file of {self._blob.digest} was changed while it was sent; its content hashes to {digest} now"
                )

    @property
    def goes_in_order(self) -> bool:
        """Whether parts have to be sent one after the other, since they are hashed then."""
        return self.is_streamed or self._is_small

    @property
    def is_streamed(self) -> bool:
        """Whether the content is read over a line."""
        return self._local is None and not isinstance(self._body, BytesBody)

    @property
    def _is_proved(self) -> bool:
        return self._is_seen and self._has_begun and self._is_right

    def _begin_anew(self) -> None:
        """Start again: bytes sent before don't count, and an earlier request's thread may still be hashing."""
        self._sent += [self._running] if self._running.offset else []
        self._running, self._next, self._is_seen, self._is_right = RunningHash(self._ends), 0, True, False

    def _trusted(self) -> bool:
        if self._is_trusted is None:
            is_to_be_hashed = self._ends or (self.is_exact and not self._trust.is_blind)
            self._is_trusted = not is_to_be_hashed and self._trust.holds(self._file, self._blob.digest)
        return self._is_trusted

    async def _hash(self) -> None:
        running, file = self._running, self._file
        was_taken_along = running.offset == self._blob.size and self._hashing is None
        await self._hasher.finish(self._body, running)
        if running.digest != self._blob.digest:
            raise self._corrupt(running)
        self._is_right = self._is_right or was_taken_along
        if file is not None and file == self._identity():
            self._trust.note(file, running.digest)

    def _corrupt(self, running: RunningHash) -> BlobCorrupt:
        path: str | Path | None = None
        if self._local is not None:
            path = str(self._local.file.name)
        elif isinstance(self._body, BytesBody):
            path = self._body.path
        return BlobCorrupt(
            f"the content of {self._blob.digest} hashes to {running.digest}: nothing of it was committed",
            hint=hint_for_damaged(path) if path is not None else None,
        )

    def _identity(self) -> FileIdentity | None:
        return self._local.identity if self._local is not None else None
