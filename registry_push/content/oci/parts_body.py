"""`PartsBody`: a blob that is cut, read from all of its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from ...errors import VolumeMissing, printable
from ...model.export_document import Part
from .archive import MemberBody


class PartsBody:
    """A blob that lies in parts in several archives. Implements `BlobBody`. A part may be missing: None."""

    def __init__(
        self, parts: Sequence[Part], bodies: Sequence[MemberBody | None], *, files: Sequence[str], name: str
    ) -> None:
        self._parts = parts
        self._files = files
        self._bodies = bodies
        self._name = name

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.length for part in self._parts)

    @property
    def is_whole(self) -> bool:
        """Whether every part is there."""
        return all(body is not None for body in self._bodies)

    async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
        """Yield `length` bytes from `offset`. Raises `VolumeMissing` at a part that is not there."""
        end = offset + length
        for part, body in zip(self._parts, self._bodies, strict=True):
            start, stop = max(offset, part.offset), min(end, part.offset + part.length)
            if start >= stop:
                continue
            if body is None:
                files = tuple(self._files[part.number - 1 :])  # what is read after a gap is of no use yet
                file = printable(files[0], limit=200)
                raise VolumeMissing(f"part {part.number} of {self._name} is in {file}, which is missing", files=files)
            async for piece in body.open(start - part.offset, stop - start):
                yield piece

    async def close(self) -> None:
        """Nothing is held: the files are the archives'."""
