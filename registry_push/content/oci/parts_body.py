"""`PartsBody`: a blob that lies in parts in several volumes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from ...errors import VolumeMissing, printable
from ...model.export_document import Part
from ..base import BodyInParts
from .archive import MemberBody


class PartsBody(BodyInParts):
    """A blob whose `parts` lie in `files`. The bodies of parts that are missing are None. Implements `BlobBody`."""

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

    def until(self, offset: int) -> int:
        """Return where the next missing part begins, from `offset` on."""
        gaps = (part for part, body in zip(self._parts, self._bodies, strict=True) if body is None)
        return next((max(offset, gap.offset) for gap in gaps if gap.offset + gap.length > offset), self.size)

    def missing(self, offset: int) -> VolumeMissing:
        """Return the error for the part that has `offset`; what is after a gap is of no use yet."""
        number = next(part.number for part in self._parts if offset < part.offset + part.length)
        files = tuple(self._files[number - 1 :])
        file = printable(files[0], limit=200)
        return VolumeMissing(f"part {number} of {self._name} is in {file}, which is missing", files=files)

    async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
        """Yield `length` bytes from `offset`. Raises `VolumeMissing` at a part that is not there."""
        end = offset + length
        for part, body in zip(self._parts, self._bodies, strict=True):
            start, stop = max(offset, part.offset), min(end, part.offset + part.length)
            if start >= stop:
                continue
            if body is None:
                raise self.missing(start)
            async for piece in body.open(start - part.offset, stop - start):
                yield piece

    async def close(self) -> None:
        """Nothing is held: the files are the archives'."""
