"""How long a commit may continue after the client that waited for it has given up. Pure.

A registry that joins, copies or hashes a large blob can need longer than the gateway before it waits. The gateway
then answers 504, or cuts the line, while the registry continues; often its session is gone at once, and the blob
appears minutes later. To send the closing PUT again, or all of the blob, would be to do twice what is being done.
"""

from __future__ import annotations

from typing import Final

from ..response import Kind, RegistryResponse
from .requests import UploadRecord

# Bytes a second. A registry checks, hashes or copies a blob before it answers the last byte; the slowest stores seen
# move 50 MB/s.
SLOWEST_COMMIT: Final = 50e6
# Seconds, for a small blob too: a registry that exceeds a gateway's timeout, 30 to 60 s, is slow anyhow.
_LEAST: Final = 60.0
# Seconds between two looks: soon at first, then as rarely as a registry in trouble is asked.
_FIRST_LOOK: Final = 1.0
_LONGEST_LOOK: Final = 30.0
# Answers that say that nothing was done, or that come from the registry itself. Others can be a gateway's.
_NOT_BEGUN: Final = (425, 429)
_OWN_WORDS: Final = (500, 503)


class LateCommit:
    """A closing PUT whose outcome is unknown: when to look for the blob, and for how long."""

    def __init__(self, patience: float, *, words: str = "", patience_if_gone: float | None = None) -> None:
        """Wait for `patience` seconds, or `patience_if_gone` if the session is gone; `words` say why it is unknown."""
        self.was_asked = False  # whether the session's status was asked for
        self.session_is_gone = False  # because of the commit, or for another reason
        self._patience = patience
        self._if_gone = patience if patience_if_gone is None else patience_if_gone
        self._words = words
        self._waited = 0.0
        self._next = _FIRST_LOOK

    @classmethod
    def after(cls, answer: RegistryResponse, size: int, *, is_torn: bool, words: str) -> LateCommit:
        """Return the commit that may still be under way after `answer` to the PUT; None if it is settled.

        No registry makes a blob of an incomplete body.
        """
        is_doubtful = answer.kind in (Kind.LOST, Kind.BUSY, Kind.ACCEPTED) and answer.status not in _NOT_BEGUN
        patience = max(_LEAST, size / SLOWEST_COMMIT) if is_doubtful and not is_torn else 0.0
        # A registry's own refusal settles the PUT, unless the session is gone too.
        return cls(0.0 if answer.status in _OWN_WORDS else patience, words=words, patience_if_gone=patience)

    @classmethod
    def of(cls, record: UploadRecord | None, size: int) -> LateCommit | None:
        """Return the commit that another process may have sent, if it had sent the whole upload."""
        if record is None or record.part or record.direct or record.offset < size:
            return None
        return cls(0.0, patience_if_gone=_LEAST)

    @property
    def left(self) -> float:
        """The remaining seconds in which the blob is looked for."""
        return max(0.0, self._patience - self._waited)

    @property
    def is_over(self) -> bool:
        """Whether the time to look for the blob is over."""
        return self.left <= 0

    def gone(self) -> None:
        """Note that the session is gone."""
        self.was_asked = self.session_is_gone = True
        self._patience = self._if_gone

    def pause(self) -> float:
        """Return the seconds until the next request."""
        pause = min(self._next, self.left)
        self._waited += pause
        self._next = min(2 * self._next, _LONGEST_LOOK)
        return pause

    @property
    def in_words(self) -> str:
        """What is being waited for, for a message."""
        because = f" ({self._words})" if self._words else ""
        return f"the registry may still be storing the blob{because}: looking for it for {self.left:.0f} s more"

    @property
    def outcome(self) -> str:
        """The outcome, for a message."""
        return f"{self._words}, and the blob did not appear" if self._words else "the blob did not appear"
