"""Inputs: a seed, and a few changes at the level of bytes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final

from hypothesis import strategies as st

from .target import Target

_WORDS: Final = (
    *(b"\x00", b"\n", b"\r\n", b"\x1b[2J", b"\x7f", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\u0000"),
    *(b"\xe2\x80\xae", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\xd8\x9c", b"\xc2\x85", b"\xf3\xa0\x81\x81"),
    *(b"../", b"/", b"//", b"://", b":", b"@", b"#", b"?", b"%", b"%00", b"%2f", b"..", b"*", b"[", b"]", b"{", b"}"),
    *(b'"', b"'", b"\\", b",", b";", b"=", b" ", b"\t", b"-", b"+", b".", b"&"),
    *(b"0", b"-1", b"1e999", b"9" * 20, b"9" * 5000, b"0x10", b"NaN", b"Infinity", b"null", b"true", b"[]", b"{}"),
    *(b"http://", b"https://127.0.0.1/", b"169.254.169.254", b"2130706433", b"[::1]", b"localhost"),
    *(b"sha256:", b"a" * 64, b"Bearer ", b"Basic "),
)
_KINDS: Final = ("flip", "set", "insert", "delete", "repeat", "splice", "cut", "word", "word")
_WHERE: Final = 1 << 16

Change = tuple[str, int, int, bytes]


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Mutated seeds of the target; now and then any bytes at all."""
    words = st.sampled_from((*_WORDS, *target.words)) | st.binary(max_size=8)
    change = st.tuples(st.sampled_from(_KINDS), st.integers(0, _WHERE - 1), st.integers(0, _WHERE - 1), words)
    mutated = st.tuples(st.sampled_from(target.seeds), st.lists(change, max_size=6)).map(
        lambda drawn: changed(drawn[0], drawn[1], target.seeds, target.most)
    )
    return st.one_of(mutated, mutated, mutated, mutated, st.binary(max_size=64), st.text(max_size=40).map(_utf8))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def changed(data: bytes, changes: Sequence[Change], seeds: Sequence[bytes], most: int) -> bytes:
    """`data` after `changes`. Places and lengths are parts of 65536, so that they mean something in any seed."""
    for kind, where, extent, word in changes:
        at = where * (len(data) + 1) // _WHERE
        length = 1 + extent % 16 if extent < _WHERE // 2 else extent * len(data) // _WHERE
        before, span, after = data[:at], data[at : at + length], data[at + length :]
        match kind:
            case "flip":
                data = before + bytes(byte ^ (1 << extent % 8) for byte in span[:1]) + data[at + 1 :]
            case "set":
                data = before + word + after
            case "insert" | "word":
                # A word once, or so often that what is slow or large by its number shows.
                times = 1 if kind == "word" else _times(extent, len(word), most - len(data))
                data = before + word * times + data[at:]
            case "delete":
                data = before + after
            case "repeat":
                data = before + span * (1 + _times(where ^ extent, len(span), most - len(data))) + after
            case "splice":
                other = seeds[extent % len(seeds)]
                data = before + other[at * len(other) // (len(data) + 1) :]
            case _:
                data = before
        data = data[:most]
    return data


def havoc(data: bytes, target: Target, count: int) -> Iterator[bytes]:
    """`count` more inputs near to `data`, always the same: many times cheaper than to draw each."""
    dice = random.Random(data)
    words = (*_WORDS, *target.words)
    for _ in range(count):
        changes = [
            (dice.choice(_KINDS), dice.randrange(_WHERE), dice.randrange(_WHERE), dice.choice(words))
            for _ in range(dice.choice((1, 1, 2, 3)))
        ]
        yield changed(data, changes, target.seeds, target.most)


def _times(dice: int, length: int, room: int) -> int:
    """Mostly a few, sometimes as many as there is room for."""
    fits = max(room, 0) // max(length, 1)
    return fits if dice % 8 == 0 else min(fits, dice % 50)
