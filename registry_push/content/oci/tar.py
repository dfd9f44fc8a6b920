"""Tar headers: POSIX's and GNU's, read strictly, and written in one form. Pure.

Headers that two readers could understand in two ways are refused, and so is everything but files and folders. No image
layout needs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from ...errors import printable

BLOCK: Final = 512
ZEROS: Final = bytes(BLOCK)
END: Final = ZEROS * 2
# Bytes of the headers of an entry, at most, as they are written here.
HEADERS: Final = BLOCK * 3
# Bytes of one extended header: a path has at most 4096, and programs put a handful of attributes beside it.
MAX_EXTENDED: Final = 64 * 1024
FILE: Final = b"0"
FOLDER: Final = b"5"
PAX: Final = b"x"
PAX_GLOBAL: Final = b"g"
LONG_NAME: Final = b"L"
LONG_LINK: Final = b"K"
EXTENDED: Final = (PAX, PAX_GLOBAL, LONG_NAME, LONG_LINK)

# Bytes from which a size has too many octal digits for its field.
_TOO_LARGE: Final = 8**11
_FILES: Final = (FILE, b"\0", b"7")
_REFUSED: Final = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"S": "a sparse file",
    b"M": "a piece of a file from another volume",
}
# Pax keys which say that the content is stored in another form.
_SPARSE: Final = (b"GNU.sparse.", b"SCHILY.realsize")
_MAGICS: Final = (
    (b"\x1f\x8b", "gzip", "gunzip"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
    (b"BZh", "bzip2", "bunzip2"),
    (b"\xfd7zXZ\0", "xz", "unxz"),
)


class Header(Struct, frozen=True):
    """One entry: its name as written, its type, and how many bytes of content follow."""

    name: bytes
    kind: bytes
    size: int


class Extended(Struct, frozen=True):
    """What an extended header says of the entry after it."""

    name: bytes | None = None
    size: int | None = None

    def applied(self, header: Header) -> Header:
        """Return `header` with these changes. A file whose name ends in a slash is a folder."""
        name = self.name if self.name is not None else header.name
        kind = header.kind
        if kind in _FILES:
            kind = FOLDER if name.endswith(b"/") else FILE
        return Header(name, kind, self.size if self.size is not None else header.size)

    def and_then(self, later: Extended) -> Extended:
        """Return both joined; `later` wins."""
        name = later.name if later.name is not None else self.name
        return Extended(name, later.size if later.size is not None else self.size)


def parse_header(block: bytes) -> Header:
    """Return the header in `block`. Raises `ValueError` with words for a message."""
    try:
        is_header = _number(block[148:156]) == sum(block) - sum(block[148:156]) + 8 * ord(" ")
    except ValueError:
        is_header = False
    if not is_header:
        raise ValueError("has no tar header")
    name, prefix = _text(block[:100]), _text(block[345:500])
    if block[257:263] == b"ustar\0" and prefix:
        name = prefix + b"/" + name
    return Header(name, block[156:157], _number(block[124:136]))


def parse_extended(header: Header, content: bytes) -> Extended:
    """Return what the extended `header` with this `content` says. Raises `ValueError` with words for a message."""
    match header.kind:
        case b"L":
            return Extended(_text(content))
        case b"K":
            return Extended()
        case _:
            found = Extended()
            for key, value in _records(content):
                if key.startswith(_SPARSE):
                    raise ValueError("has a sparse file")
                if key in (b"path", b"size") and header.kind == PAX_GLOBAL:
                    raise ValueError(f"has a {key.decode()} for all of its entries")
                if key == b"path":
                    found = found.and_then(Extended(name=value))
                elif key == b"size":
                    found = found.and_then(Extended(size=_decimal(value)))
            return found


def plain_name(header: Header) -> str:
    """Return the name of an entry, without `./` before it. Raises `ValueError` for one that is refused."""
    if header.kind not in (FILE, FOLDER):
        what = _REFUSED.get(header.kind, f"an entry of the type {printable(repr(header.kind.decode('latin-1')))}")
        raise ValueError(f"has {what}, {_shown(header)}")
    parts = [part for part in header.name.split(b"/") if part not in (b"", b".")]
    if header.name.startswith(b"/") or b".." in parts or b"\0" in header.name:
        raise ValueError(f"has an entry with the path {_shown(header)}")
    if header.kind == FOLDER and header.size:
        raise ValueError(f"has a folder with content, {_shown(header)}")
    if header.kind == FILE and not parts:
        raise ValueError("has an entry without a name")
    return b"/".join(parts).decode("utf-8", "replace")


def compression(start: bytes) -> tuple[str, str] | None:
    """Return the name of the compression that content with this `start` has, and the command that undoes it."""
    return next(((name, command) for magic, name, command in _MAGICS if start.startswith(magic)), None)


def padding(size: int) -> int:
    """Return the padding between content of `size` bytes and the next header."""
    return -size % BLOCK


def entry_size(size: int) -> int:
    """Return the bytes that a file of `size` bytes takes in an archive, its headers and padding included."""
    return (BLOCK if size < _TOO_LARGE else HEADERS) + size + padding(size)


def file_header(name: str, size: int) -> bytes:
    """Return the header of a file without owner and time, readable by all. `name` has at most 100 bytes."""
    if size < _TOO_LARGE:
        return _header(name, size, FILE)
    record = b" size=%d\n" % size
    length = len(record) + 2  # a size has from 10 to 19 digits, so the length has two
    content = b"%d" % length + record
    extended = _header("././@PaxHeader", length, PAX) + content + bytes(padding(length))
    return extended + _header(name, 0, FILE)


def _header(name: str, size: int, kind: bytes) -> bytes:
    fields = (
        name.encode().ljust(100, b"\0"),
        b"0000644\0" + b"0000000\0" * 2,  # mode, uid, gid
        b"%011o\0" % size,
        b"00000000000\0",  # mtime
        b" " * 8,
        kind.ljust(101, b"\0"),  # and no target of a link
        b"ustar\x0000".ljust(72, b"\0"),  # and no names of owner and group
        b"0000000\0" * 2,
    )
    block = b"".join(fields).ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _shown(header: Header) -> str:
    return printable(repr(header.name.decode("utf-8", "replace")), limit=100)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # GNU's form of large numbers
        if field[0] & 0x40:
            raise ValueError("has an entry with a negative size")
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = _text(field).strip(b" ")
    if digits.strip(b"01234567"):
        raise ValueError("has an entry whose size is no number")
    return int(digits or b"0", 8)


def _decimal(value: bytes) -> int:
    if not value.isdigit() or len(value) > 20:
        raise ValueError("has an entry whose size is no number")
    return int(value)


def _records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the records of a pax header: `LENGTH KEY=VALUE`, and a line's end."""
    broken = "has a broken extended header"
    while content:
        digits, _, _ = content[:8].partition(b" ")
        if not digits.isdigit() or not len(digits) < int(digits) <= len(content):
            raise ValueError(broken)
        record, content = content[: int(digits)], content[int(digits) :]
        key, separator, value = record[len(digits) + 1 :].partition(b"=")
        if not separator or not key or not value.endswith(b"\n"):
            raise ValueError(broken)
        yield key, value[:-1]
