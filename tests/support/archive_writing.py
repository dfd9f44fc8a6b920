"""A small archive for tests of writing, and bodies that break off or keep count."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from registry_push.content.body import BytesBody
from registry_push.content.oci.archive_writer import OCIArchiveWriter
from registry_push.content.partial_file import WORTH_KEEPING
from registry_push.errors import ConnectionLost
from registry_push.model import Manifest

from .layouts import BLOB, HELLO, described, manifest

BIG = bytes(range(256)) * (WORTH_KEEPING // 256) + b"and the rest"
BIG_BLOB = described(BIG)
BOTH = manifest(layers=[BIG_BLOB, BLOB])
EXPECTED = [(BOTH, "both")]


class Failing(BytesBody):
    """Content that breaks off before the byte `until`."""

    def __init__(self, content: bytes, *, until: int = WORTH_KEEPING - 1) -> None:
        super().__init__(content)
        self._until = until

    async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
        yield self.content[offset : self._until]
        raise ConnectionLost("the line broke")


class Counted(BytesBody):
    """Content that keeps what is asked of it."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.asked: list[tuple[int, int]] = []

    async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
        self.asked.append((offset, length))
        yield self.content[offset : offset + length]


class Unread(BytesBody):
    """Content that nobody may read."""

    def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
        raise AssertionError(f"{length} bytes from {offset} are read")


async def write(path: Path, *, names: Iterable[str] = ("both",), expected: bool = True) -> bytes:
    """Write an archive with both blobs, and return its bytes."""
    async with OCIArchiveWriter(path) as writer:
        if expected:
            writer.expect([(BOTH, name) for name in names])
        await writer.put(BIG_BLOB, BytesBody(BIG))
        await writer.put(BLOB, BytesBody(HELLO))
        for name in names:
            await writer.put_manifest(BOTH, name)
        await writer.finish()
    return path.read_bytes()


async def left(path: Path, *, expected: Iterable[tuple[Manifest, str]] = EXPECTED, small: bool = False) -> None:
    """Leave an archive that has the large blob, and the small one if it is asked for, and a piece of another."""
    async with OCIArchiveWriter(path) as writer:
        writer.expect(expected)
        await writer.put(BIG_BLOB, BytesBody(BIG))
        if small:
            await writer.put(BLOB, BytesBody(HELLO))
        with pytest.raises(ConnectionLost):
            await writer.put(described(BIG[::-1]), Failing(BIG[::-1]))
