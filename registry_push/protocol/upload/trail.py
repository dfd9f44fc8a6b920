"""`Trail`: what one session of an upload has shown so far. Pure."""

from __future__ import annotations

from .requests import UploadRecord


class Trail:
    """What is known of the chunks of one session. Bytes.

    `acknowledged` is the offset that answers to PATCH confirmed; beyond it there are only statuses. `first` and `last`
    are the lengths of the first and the latest chunk, 0 if unknown; `pieces` counts the bodies that were accepted.
    """

    def __init__(self, resume: UploadRecord | None = None, *, reach: int = 0) -> None:
        self.acknowledged = resume.offset if resume else 0
        self.reach = reach  # how far chunks may have gone: an earlier process may have sent all
        self.first = self.last = resume.chunk if resume else 0
        self.pieces = 2 if resume and resume.offset else 0  # nobody knows how many an earlier process sent
        self.unanswered: int | None = None  # where a chunk ends that had gone when its answer was lost
        self.named: int | None = None  # the offset that the words of a refusal named
        self.elsewhere: list[int] | None = None  # offsets that are still to be tried; None: nothing was refused yet
        self.is_stuck = False  # the Range in the answer is no offset
        self.one_less: int | None = None  # one byte before what a status said, where the chunk was tried again
        self.is_stale = False  # a refusal has told another address
        self.readdressed: int | None = None  # where the chunk began that was sent once more for that
        self.refusals = 0  # of the chunk under way, without a word of its offset

    def took(self, start: int, stop: int) -> None:
        """Note that a chunk was acknowledged."""
        self.first = stop if start == 0 else self.first
        self.last, self.acknowledged = stop - start, stop
        self.pieces += 1
        self.unanswered = self.named = self.elsewhere = self.one_less = None
        self.refusals = 0
