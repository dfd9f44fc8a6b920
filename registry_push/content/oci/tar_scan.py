"""One pass over the headers of an archive: where the files of its image layout are. No content is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from . import tar
from .tar import BLOCK, Extended, Header

# Entries. A manifest names at most 100,000 blobs; more entries than this take seconds to look at.
MAX_ENTRIES: Final = 200_000
# Bytes of all extended headers together.
_MAX_EXTENDED: Final = 64 * 1024 * 1024
_WANTED: Final = re.compile(r"(?:index\.json|oci-layout|manifest\.json|blobs/sha256/[0-9a-f]{64})\Z")

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


class DamagedArchiveError(ValueError):
    """What is wrong with an archive, in words for a message, and at which byte."""

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(what)
        self.offset = offset


def scan(read: Read, size: int) -> dict[str, Member]:
    """The files of the image layout in an archive of `size` bytes, by their names; all else is passed over.

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
    offset, extended, begun, left = 0, Extended(), None, _MAX_EXTENDED
    for _ in range(MAX_ENTRIES):
        block = read(offset, BLOCK)
        if len(block) < BLOCK:
            raise DamagedArchiveError("ends too early", offset)
        if block == tar.ZEROS:
            if begun is not None or read(offset + BLOCK, BLOCK).strip(b"\0"):
                raise DamagedArchiveError("has an end in its midst", offset)
            return
        with _located(offset):
            header = tar.parse_header(block)
        if header.kind in tar.EXTENDED:
            left -= header.size
            if header.size > tar.MAX_EXTENDED or left < 0:
                raise DamagedArchiveError(f"has an extended header of {header.size} bytes", offset)
            content = read(offset + BLOCK, header.size)
            if len(content) < header.size:
                raise DamagedArchiveError("ends too early", offset)
            with _located(offset):
                extended = extended.and_then(tar.parse_extended(header, content))
            begun = offset if begun is None and header.kind != tar.PAX_GLOBAL else begun
            offset = Member(offset, offset + BLOCK, header.size).end
            continue
        with _located(offset):
            entry = extended.applied(header)
            entry = Header(entry.name, _kind(entry), entry.size)
            name = tar.plain_name(entry)
        member = Member(begun if begun is not None else offset, offset + BLOCK, entry.size)
        if member.offset + member.size > size:
            raise DamagedArchiveError(f"ends before the {entry.size} bytes of its entry {name}", offset)
        if entry.kind == tar.FILE and _WANTED.match(name):
            yield name, member
        offset, extended, begun = member.end, Extended(), None
    raise DamagedArchiveError(f"has more than {MAX_ENTRIES} entries", offset)


def _kind(entry: Header) -> bytes:
    """What a file is whose name came in an extended header: one that ends in a slash is a folder."""
    return tar.FOLDER if entry.kind == tar.FILE and entry.name.endswith(b"/") else entry.kind


@contextmanager
def _located(offset: int) -> Iterator[None]:
    """Add the offset to a `ValueError`."""
    try:
        yield
    except ValueError as error:
        raise DamagedArchiveError(str(error), offset) from error
