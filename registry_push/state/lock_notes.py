"""Notes in the lock file from one holder of a slot to the next: a line in a place that slots share. Pure.

A process that waited for a blob, or came just too late to wait, learns from it which repository has the blob by now. A
note that is torn or overwritten by another slot's is ignored: the blob is sent once more.
"""

from __future__ import annotations

from typing import Final

from ..text.patterns import LazyPattern

# Bytes of a place: an OCI name has 255 characters at most.
SIZE: Final = 512
# All together have 2 MiB, of which a file system keeps what was written.
_PLACES: Final = 4096
_MICROSECONDS: Final = 1_000_000
_MOST: Final = 400  # characters of a text
_NOTE: Final = LazyPattern(rb"([0-9a-f]{14}) ([0-9]{1,18}) ([!-~]{1,400})\n\0*\Z")


def place_of(slot: int) -> int:
    """Return the offset of the slot's note in the file."""
    return slot % _PLACES * SIZE


def written(slot: int, text: str, now: float) -> bytes:
    """Return the note to write; it is empty if the text is too long or no plain word.

    `now` is unix time in seconds.
    """
    is_word = 0 < len(text) <= _MOST and text.isascii() and text.isprintable() and " " not in text
    note = f"{slot:014x} {int(now * _MICROSECONDS)} {text}\n" if is_word else ""
    return note.encode().ljust(SIZE, b"\0")


def read(slot: int, content: bytes, since: float) -> str | None:
    """Return the text in `content` that was written for this slot after `since`, in unix seconds; None if none was."""
    found = _NOTE.compiled.match(content) if content[:1] > b"\0" else None
    if found is None or int(found[1], 16) != slot or int(found[2]) < since * _MICROSECONDS:
        return None
    return found[3].decode("ascii")
