"""`PartsBody`: a blob that lies in parts in several volumes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from ...errors import VolumeMissing, printable
from ...model.export_document import Part
from ..base import BlobBody, BodyInParts


class PartsBody(BodyInParts):
    """A blob whose `parts` lie in `files`. The bodies of parts that are missing are None. Implements `BlobBody`.

    `keeps`: parts after a missing one are kept for later; otherwise they have to be given again.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        bodies: Sequence[BlobBody | None],
        *,
        files: Sequence[str],
        name: str,
        keeps: bool = False,
    ) -> None:
        self._keeps = keeps
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
        """Return the error for the part that has `offset`."""
        number = next(part.number for part in self._parts if offset < part.offset + part.length)
        later = zip(self._files[number - 1 :], self._bodies[number - 1 :], strict=True)
        files = tuple(file for file, body in later if body is None or not self._keeps)
        file = printable(self._files[number - 1], limit=200)
        what = f"part {number} of {self._name} is in {file}, which is missing"
        return VolumeMissing(what, files=files, part=number)

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
        """Close the parts."""
        for body in self._bodies:
            if body is not None:
                await body.close()
