"""One pass over the headers of an archive: where the files of its image layout are. No content is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from ...errors import printable
from . import tar
from .tar import BLOCK, Extended, Header

# Entries. A manifest names at most 100,000 blobs; to parse more entries than this takes seconds.
MAX_ENTRIES: Final = 200_000
# Bytes of all extended headers together.
_MAX_EXTENDED: Final = 64 * 1024 * 1024
_WANTED: Final = re.compile(
    r"(?:index\.json|oci-layout|manifest\.json|registry-push\.json|blobs/sha256/[0-9a-f]{64}(?:\.part-[0-9]{3,5})?)\Z"
)

Read = Callable[[int, int], bytes]


class Member(Struct, frozen=True):
    """A file in an archive: where its header and its content begin, and the content's bytes."""

    header: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """Where the next header begins."""
        return self.offset + self.size + tar.padding(self.size)


class Room(Struct, frozen=True):
    """Bytes of an archive that hold content, or a part of it."""

    path: Path
    offset: int
    size: int


class DamagedArchiveError(ValueError):
    """What is wrong with an archive, in words for a message, and at which byte."""

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(what)
        self.offset = offset


def scan(read: Read, size: int) -> dict[str, Member]:
    """Return the files of the image layout in an archive of `size` bytes, by their names; skip all others.

    `read` returns the bytes at an offset, at most so many. Raises `DamagedArchiveError`, also for an archive without
    its end, and what `read` raises.
    """
    found: dict[str, Member] = {}
    for name, member in members(read, size):
        if name in found:
            raise DamagedArchiveError(f"has two entries {name}", member.header)
        found[name] = member
    return found


def members(read: Read, size: int) -> Iterator[tuple[str, Member]]:
    """As `scan`, one file after the other, in the archive's order."""
    reader = _Reader(read, size)
    for _ in range(MAX_ENTRIES):
        try:
            entry = reader.next_entry()
        except ValueError as error:
            raise DamagedArchiveError(str(error), reader.offset) from error
        if entry is None:
            return
        if entry[1] is not None:
            yield entry[0], entry[1]
    raise DamagedArchiveError(f"has more than {MAX_ENTRIES} entries", reader.offset)


class _Reader:
    """Goes from header to header. `offset` is that of the next one."""

    def __init__(self, read: Read, size: int) -> None:
        self.offset = 0
        self._read = read
        self._size = size
        self._extended = Extended()
        self._begun: int | None = None  # where the extended headers of the next entry begin
        self._left = _MAX_EXTENDED

    def next_entry(self) -> tuple[str, Member | None] | None:
        """Return the name of the next entry, and the file if it is one that is wanted; None at the end.

        Raises `ValueError` for what is wrong at `offset`.
        """
        block = self._read(self.offset, BLOCK)
        if len(block) < BLOCK:
            raise ValueError("ends too early")
        if block == tar.ZEROS:
            if self._begun is not None or self._read(self.offset + BLOCK, BLOCK).strip(b"\0"):
                raise ValueError("has an end in its midst")
            return None
        header = tar.parse_header(block)
        if header.kind in tar.EXTENDED:
            self._extend(header)
            return "", None
        entry = self._extended.applied(header)
        name = tar.plain_name(entry)
        offset = self.offset + BLOCK
        if offset + entry.size > self._size:
            raise ValueError(f"ends before the {entry.size} bytes of its entry {printable(name, limit=100)}")
        member = Member(self._begun if self._begun is not None else self.offset, offset, entry.size)
        self.offset, self._extended, self._begun = member.end, Extended(), None
        return name, member if entry.kind == tar.FILE and _WANTED.match(name) else None

    def _extend(self, header: Header) -> None:
        self._left -= header.size
        if header.size > tar.MAX_EXTENDED or self._left < 0:
            raise ValueError(f"has an extended header of {header.size} bytes")
        content = self._read(self.offset + BLOCK, header.size)  # if it is cut off, the next header is missing
        self._extended = self._extended.and_then(tar.parse_extended(header, content))
        if self._begun is None and header.kind != tar.PAX_GLOBAL:
            self._begun = self.offset
        self.offset += BLOCK + header.size + tar.padding(header.size)
