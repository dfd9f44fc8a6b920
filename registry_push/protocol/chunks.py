"""How a blob is cut into requests."""

from __future__ import annotations

from typing import Final, Self

from msgspec import Struct
from msgspec.structs import replace

MiB: Final = 1024 * 1024

# Where nothing is known of the line yet. 16 MiB cost 1.05 of what one long PATCH costs (measured on loopback; 64 MiB
# 1.0, 5 MiB 1.2) and tell enough of the line to choose the next one by (`pace.py`).
FIRST_CHUNK: Final = 16 * MiB
# Below this a blob is hashed first and sent in the closing PUT: two requests instead of three. 8 MiB hash in 5 ms,
# and GHCR and ECR, which limit chunks, take a PUT of this size.
SINGLE_PUT: Final = 8 * MiB
# GHCR takes 4 MiB; nothing known takes less. Below it a limit is a refusal.
SMALLEST_CHUNK: Final = 1 * MiB
# Where chunks follow the line, a rest of less than this part of one goes along with the last: a round trip less.
_WORTH_A_CHUNK: Final = 4


class Span(Struct, frozen=True):
    """Bytes `start` up to, not including, `stop`."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """Bytes."""
        return self.stop - self.start

    @property
    def content_range(self) -> str:
        """As `Content-Range` of a chunk has it (distribution-spec: `<start>-<end>`, the end included, no unit)."""
        return f"{self.start}-{self.stop - 1}"


class ChunkPlan(Struct, frozen=True):
    """The rules for one blob of `size` bytes: chunks of `chunk` bytes, or all in the closing PUT (`single`).

    `limit` is the most that the host takes; `adapts` whether chunks may follow the line,
    `is_equal` whether the registry wants all of them alike.
    """

    size: int
    chunk: int = FIRST_CHUNK
    single: bool = False
    limit: int | None = None
    adapts: bool = False
    is_equal: bool = False

    @classmethod
    def for_blob(cls, size: int, *, chunk: int | None = None, limit: int | None = None, one_put: bool = False) -> Self:
        """The plan to begin with.

        `chunk` is the user's wish, `limit` what the host is known to take, `one_put` True for registries that take
        no chunks at all (GAR).
        """
        wanted = chunk or FIRST_CHUNK
        if limit:
            wanted = min(wanted, limit)
        single = one_put or size <= min(SINGLE_PUT, wanted) or size < 2
        return cls(size, wanted, single=single, limit=limit, adapts=chunk is None)

    def bounded(self, minimum: int | None, maximum: int | None) -> Self:
        """With the limits a registry named when it opened the upload (`OCI-Chunk-Min-Length`, R2's `…-Max-Length`)."""
        if not minimum and not maximum:
            return self
        # A registry that names a least length wants all chunks alike (R2): they don't follow the line there.
        adapts, is_equal = self.adapts and not minimum, bool(minimum)
        chunk = max(self.chunk, minimum or 0)
        # A maximum below what any registry is known to want would make a request of every byte: it is not believed.
        if maximum and maximum >= max(minimum or 0, SMALLEST_CHUNK):
            chunk = min(chunk, maximum)
            single = self.single and self.size <= maximum
            limit = min(maximum, self.limit or maximum)
            return replace(self, chunk=chunk, single=single, limit=limit, adapts=adapts, is_equal=is_equal)
        return replace(self, chunk=chunk, adapts=adapts, is_equal=is_equal)

    def paced(self, chunk: int) -> Self:
        """With chunks of about `chunk` bytes from now on, in whole MiB, within what the host takes."""
        if not self.adapts:
            return self
        wanted = max(SMALLEST_CHUNK, chunk // MiB * MiB)
        return replace(self, chunk=min(wanted, self.limit or wanted))

    def shrunk(self, refused: int) -> Self | None:
        """The next smaller plan after a refusal for size of a body of `refused` bytes, or None where there is none.

        A refused single PUT becomes chunks of half its size, a chunk with a short rest the chunk alone.
        """
        if not self.single and refused > self.chunk:
            return replace(self, limit=self.chunk)
        refused = min(self.size, self.chunk)
        chunk = max(refused // 2, SMALLEST_CHUNK)
        if chunk >= refused:
            return None
        return replace(self, chunk=chunk, single=False, limit=chunk)

    def shared(self, bodies: int) -> Self:
        """One chunk's length for `bodies` that go at once: what a crash costs is what is under way of all of them.

        Not where chunks follow the line, of which each body has its part anyhow, nor where all have to be alike.
        """
        if self.adapts or self.is_equal or bodies < 2:
            return self
        return replace(self, chunk=max(min(self.chunk, SMALLEST_CHUNK), self.chunk // bodies))

    def span(self, offset: int) -> Span:
        """The chunk that begins at `offset`.

        Never of one byte: distribution 2 reports empty and one byte alike as `Range: 0-0`. The byte that would be
        left over is taken along by making this chunk one shorter and the last one two long.
        """
        stop = min(offset + self.chunk, self.size)
        if self.adapts and self.size - stop < self.chunk // _WORTH_A_CHUNK:
            stop = min(self.size, offset + (self.limit or self.size))
        if self.size - stop == 1 and self.chunk > 2:
            stop -= 1
        return Span(offset, stop)
