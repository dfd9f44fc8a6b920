"""How far an upload has come: our word against the server's `Range`.

Each quirk of a registry is one predicate.
"""

from __future__ import annotations

import re
from typing import Final

# No number of a longer text is an offset; each is apart from other words, such as an upload's name.
_NUMBER: Final = r"(?<![\w.-])[0-9]{1,19}(?![\w-])"


def acknowledged(offset: int, sent: int, range_end: int | None) -> int | None:
    """Return the offset after a chunk that was answered with success, or None: ask for the status.

    `offset` is where the chunk began, `sent` if it ended, `range_end` the last byte that the answer names.
    """
    if range_end is None:
        return sent
    told = range_end + 1
    if told == sent or _counts_one_too_many(sent, told) or _relative_to_chunk(offset, sent, told):
        return sent
    return sent if _stuck_at_first_chunk(offset, told) else None


def reconciled(offset: int, sent: int, range_end: int | None) -> int | None:
    """Return the offset to continue from after a failure, by a status answer; None if this session can't be ours.

    Acknowledged bytes are sent again only if the server denies having them.
    """
    if range_end is None:
        return offset
    told = 0 if _empty(range_end) else range_end + 1
    if _counts_one_too_many(offset, told):
        return offset
    if _counts_one_too_many(sent, told):
        return sent
    return told if told <= sent else None


def _empty(range_end: int) -> bool:
    """distribution: an empty session and one of one byte both read `0-0`; we never send one byte."""
    return range_end == 0


def _counts_one_too_many(truth: int, told: int) -> bool:
    """Quay, Gitea: the end is the length. A cut that keeps exactly one byte is rarer than these two."""
    return told == truth + 1


def _relative_to_chunk(offset: int, sent: int, told: int) -> bool:
    """Aliyun: the range of a PATCH's answer counts from the chunk's start."""
    return told == sent - offset


def _stuck_at_first_chunk(offset: int, told: int) -> bool:
    """ECR: every PATCH is answered with the range of the first one."""
    return 0 < told <= offset


def is_stuck_at_first_chunk(offset: int, sent: int, told: int, *, first: int) -> bool:
    """ECR, in the answer to a PATCH that went from `offset` to `sent`: the end of the `first` chunk, again.

    Of chunks of one size Aliyun's registry tells the same.
    """
    return told == first <= offset and not _relative_to_chunk(offset, sent, told)


def is_end_of_first_chunk(offset: int, told: int, *, first: int) -> bool:
    """ECR, in a status: no offset, but the end of the `first` chunk, however many were acknowledged since."""
    return told == first < offset


def named_in_refusal(text: str, *, above: int, most: int, refused: int) -> int | None:
    """ECR: the words of a 416 name the true offset, where its Range does not. None if they name none, or several.

    `refused` is where the chunk ended that was refused: they may name that too, or its last byte.
    """
    found = {int(number) for number in re.findall(_NUMBER, text)} - {refused - 1}
    found = {number for number in found if above < number <= most}
    if len(found) > 1:
        found -= {refused}
    return found.pop() if len(found) == 1 else None
