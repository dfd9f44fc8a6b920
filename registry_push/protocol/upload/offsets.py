"""How far an upload has come: our count, checked against the server's `Range`.

Each quirk of a registry is one predicate.
"""

from __future__ import annotations

import re
from typing import Final

# A number inside a longer word, such as an upload's name, is no offset.
_NUMBER: Final = r"(?<![\w.-])[0-9]{1,19}(?![\w-])"


def acknowledged(offset: int, sent: int, range_end: int | None) -> int | None:
    """Return the offset after a chunk that was answered with success, or None: ask for the status.

    `offset` is where the chunk began, `sent` if it ended, `range_end` the last byte that the answer reports.
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
    """Return whether the session is empty: distribution reports `0-0` for it and for one byte, which we never send."""
    return range_end == 0


def _counts_one_too_many(truth: int, told: int) -> bool:
    """Return whether the end is the length, as at Quay and Gitea. (A cut that keeps exactly one byte is rarer.)"""
    return told == truth + 1


def _relative_to_chunk(offset: int, sent: int, told: int) -> bool:
    """Return whether the range counts from the chunk's start, as in Aliyun's answers to PATCH."""
    return told == sent - offset


def _stuck_at_first_chunk(offset: int, told: int) -> bool:
    """Return whether the range is that of the first chunk, as in all of ECR's answers to PATCH."""
    return 0 < told <= offset


def is_stuck_at_first_chunk(offset: int, sent: int, told: int, *, first: int) -> bool:
    """Return whether a PATCH from `offset` to `sent` was answered with the end of the `first` chunk, as by ECR.

    If chunks have one size, Aliyun's registry answers the same.
    """
    return told == first <= offset and not _relative_to_chunk(offset, sent, told)


def is_end_of_first_chunk(offset: int, told: int, *, first: int) -> bool:
    """Return whether a status reports the end of the `first` chunk, however many were acknowledged since, as ECR's."""
    return told == first < offset


def named_in_refusal(text: str, *, above: int, most: int, refused: int) -> int | None:
    """Return the true offset from the text of ECR's 416, whose Range is wrong; None if it names none, or several.

    `refused` is the end of the refused chunk: the text may name that too, or its last byte.
    """
    found = {int(number) for number in re.findall(_NUMBER, text)} - {refused - 1}
    found = {number for number in found if above < number <= most}
    if len(found) > 1:
        found -= {refused}
    return found.pop() if len(found) == 1 else None
