"""How far an upload has come, registry by registry.

A chunk of 1,000 bytes begins at 2,000 in a blob of 10,000, unless said otherwise; `end` is what `Range: 0-<end>` says.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_push.protocol.upload.offsets import acknowledged, named_in_refusal, reconciled


@pytest.mark.parametrize(
    ("registry", "offset", "sent", "end", "expected"),
    [
        ("distribution", 2000, 3000, 2999, 3000),
        ("distribution, first chunk", 0, 1000, 999, 1000),
        ("a registry that sends no Range", 2000, 3000, None, 3000),
        ("Gitea and Forgejo, end is the length", 2000, 3000, 3000, 3000),
        ("Gitea, first chunk", 0, 1000, 1000, 1000),
        ("ECR, first chunk", 0, 1000, 999, 1000),
        ("ECR, stuck at the first chunk", 2000, 3000, 999, 3000),
        ("ECR, stuck, last chunk shorter", 9000, 9500, 999, 9500),
        ("Aliyun, relative to the chunk", 2000, 3000, 999, 3000),
        ("Aliyun, last chunk longer than what came before", 500, 3000, 2499, 3000),
        ("a registry that took half of the chunk", 2000, 3000, 2499, None),
        ("a registry that took half of the first chunk", 0, 1000, 499, None),
        ("a registry that took nothing of the first chunk", 0, 1000, 0, None),
        ("two that push into one session", 2000, 3000, 3999, None),
        ("a liar", 2000, 3000, 10**18, None),
    ],
)
def test_after_an_acknowledged_chunk(registry: str, offset: int, sent: int, end: int | None, expected: int) -> None:
    assert acknowledged(offset, sent, end) == expected, registry


@pytest.mark.parametrize(
    ("registry", "offset", "sent", "end", "expected"),
    [
        ("distribution, the cut chunk is lost", 2000, 3000, 1999, 2000),
        ("distribution 3, true offset inside a cut chunk", 2000, 3000, 2499, 2500),
        ("distribution, the answer alone was lost", 2000, 3000, 2999, 3000),
        ("distribution, an empty session reads 0-0", 0, 1000, 0, 0),
        ("distribution, emptied after 2,000 bytes", 2000, 3000, 0, 0),
        ("Quay, status one too high, nothing of the chunk", 2000, 3000, 2000, 2000),
        ("Quay, status one too high, all of the chunk", 2000, 3000, 3000, 3000),
        ("Gitea and Forgejo, status +1 before any chunk reads 0-0", 0, 1000, 0, 0),
        ("Gitea and Forgejo, status +1 after the first chunk", 1000, 1000, 1000, 1000),
        ("a status without Range: our own word counts", 2000, 3000, None, 2000),
        ("bytes lost that had been acknowledged", 2000, 3000, 999, 1000),
        ("resumed by another process, which sent on", 2000, 2000, 2999, None),
        ("two that push into one session", 2000, 3000, 3999, None),
        ("a liar", 2000, 3000, 10**18, None),
    ],
)
def test_after_trouble(registry: str, offset: int, sent: int, end: int | None, expected: int | None) -> None:
    assert reconciled(offset, sent, end) == expected, registry


@pytest.mark.parametrize(
    ("words", "offset"),
    [
        ("the next byte is 2500", 2500),
        ("the part 2000-2999 does not follow the last byte; 2500 were received", 2500),
        ("expected 2500, got 2000 to 3000", 2500),
        ("the next byte is 3000", 3000),
        ("the part 2000-2999 is no next one", None),
        ("between 2400 and 2600", None),
        ("at most 4194304 bytes", None),
        ("upload 2500-7 or v2.2500", None),
        ("", None),
    ],
)
def test_ecrs_words_name_an_offset_between_what_is_acknowledged_and_the_end(words: str, offset: int | None) -> None:
    assert named_in_refusal(words, above=2000, most=10_000, refused=3000) == offset


@pytest.mark.parametrize("kept", [1, 500, 999])
def test_a_cut_chunk_at_quay_whose_status_is_one_too_high_can_not_be_told_from_one_byte_more(kept: int) -> None:
    # What is known of one answer does not decide it. The byte in between is missed, the next PATCH is a 416, and
    # the digest in the closing PUT would refuse it: costs bandwidth, never content.
    assert reconciled(2000, 3000, 2000 + kept) in (2000 + kept, 2000 + kept + 1)


_OFFSETS = st.integers(0, 10**12)


@given(_OFFSETS, st.integers(2, 10**9), st.none() | st.integers(0, 10**19))
def test_no_answer_takes_us_beyond_what_was_sent(offset: int, length: int, end: int | None) -> None:
    sent = offset + length
    for found in (acknowledged(offset, sent, end), reconciled(offset, sent, end)):
        assert found is None or 0 <= found <= sent


@given(_OFFSETS, st.integers(2, 10**9), st.none() | st.integers(0, 10**19))
def test_p2_a_chunk_that_was_acknowledged_counts_whole_or_is_asked_for(offset: int, length: int, end: int) -> None:
    assert acknowledged(offset, offset + length, end) in (offset + length, None)


@given(_OFFSETS, st.integers(2, 10**9), st.integers(1, 10**12))
def test_p2_acknowledged_bytes_are_given_up_only_where_the_server_denies_them(
    offset: int, length: int, end: int
) -> None:
    found = reconciled(offset, offset + length, end)
    assert found is None or found >= min(offset, end + 1)
