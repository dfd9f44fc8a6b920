"""How a blob is cut into requests."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Self

from msgspec import Struct
from msgspec.structs import replace

MiB: Final = 1024 * 1024

# Where nothing is known of the line yet. 16 MiB cost 1.05 of what one long PATCH costs (measured on loopback; 64 MiB
# 1.0, 5 MiB 1.2) and tell enough of the line to choose the next one by (`throughput.py`).
FIRST_CHUNK: Final = 16 * MiB
# Below this a blob is hashed first and sent in the closing PUT: two requests instead of three. 8 MiB hash in 5 ms,
# and GHCR and ECR, which limit chunks, take a PUT of this size.
SINGLE_PUT: Final = 8 * MiB
# GHCR takes 4 MiB; nothing known takes less. Below it a limit is a refusal.
SMALLEST_CHUNK: Final = 1 * MiB
# On a slow line chunks are shorter than that: the first Ctrl-C waits for the one under way. Each is a round trip.
SLOWEST_CHUNK: Final = 64 * 1024
# R2 takes 10,000 parts, ECR 4,200; some room is left for a last one that is short.
_MOST_EQUAL: Final = 9_000
_MOST_AT_ECR: Final = 4_000
# ECR takes no part after one that was shorter.
ECR_MINIMUM: Final = 5 * MiB
# Where chunks follow the line, a rest of less than this part of one goes along with the last: a round trip less.
_WORTH_A_CHUNK: Final = 4


class WholePut(StrEnum):
    """Which blobs go whole in the closing PUT, without a PATCH."""

    SMALL = "small"
    """Those that are soon sent again."""
    FIRST = "first"
    """All, unless the line keeps breaking (GHCR)."""
    ONLY = "only"
    """All: no PATCH is taken (GAR, firewalls)."""
    NEVER = "never"
    """None: a PUT with a body is refused (Artifactory before 6)."""


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

    `limit` is the most that the host takes, `least` the least that it takes of all but the last; `adapts` whether
    chunks may follow the line, `is_equal` whether the registry wants all of them alike; `last_in_put` whether the last
    of several chunks goes in the closing PUT.
    """

    size: int
    chunk: int = FIRST_CHUNK
    single: bool = False
    limit: int | None = None
    adapts: bool = False
    is_equal: bool = False
    whole: WholePut = WholePut.SMALL
    least: int = 0
    last_in_put: bool = False

    @classmethod
    def for_blob(
        cls,
        size: int,
        *,
        chunk: int | None = None,
        limit: int | None = None,
        one_put: bool = False,
        whole: WholePut = WholePut.SMALL,
        soon: int | None = None,
    ) -> Self:
        """Return the plan to begin with.

        `chunk` is the user's wish, `limit` what the host is known to take; `whole` says what goes in one PUT there,
        and `one_put` that everything does. `soon` are the bytes that the line takes in a few seconds, if that is known:
        what is longer goes in chunks.
        """
        wanted = chunk or FIRST_CHUNK
        if limit:
            wanted = min(wanted, limit)
        whole = WholePut.ONLY if one_put else whole
        match whole:
            case WholePut.ONLY:
                single = True
            case WholePut.FIRST if chunk is None:
                single = True
            case WholePut.NEVER:
                single = size == 0
            case _:
                most = min(SINGLE_PUT, wanted, max(SLOWEST_CHUNK, soon) if soon and chunk is None else SINGLE_PUT)
                single = size <= most or size < 2
        return cls(size, wanted, single=single, limit=limit, adapts=chunk is None, whole=whole)

    def in_one_put(self) -> Self:
        """Return all in one PUT: the registry takes no PATCH."""
        return replace(self, single=True, whole=WholePut.ONLY)

    def in_chunks(self, whole: WholePut) -> Self:
        """In chunks after all. `whole` is what this shows of the registry."""
        return replace(self, single=self.size == 0, whole=whole)

    def equal(self, chunk: int) -> Self:
        """Go on with an upload whose chunks have `chunk` bytes each, all of them."""
        return replace(self, chunk=chunk, single=False, adapts=False, is_equal=True)

    def at_ecr(self) -> Self:
        """As Amazon's ECR takes parts: none too short but the last, which belongs in the PUT, and not too many.

        A limit that leaves no such part was none.
        """
        least = max(ECR_MINIMUM, -(-self.size // _MOST_AT_ECR))
        limit = self.limit if self.limit and self.limit >= least else None
        return replace(self, chunk=max(self.chunk, least), limit=limit, least=least, last_in_put=True)

    def bounded(self, minimum: int | None, maximum: int | None) -> Self:
        """With the limits a registry named when it opened the upload (`OCI-Chunk-Min-Length`, R2's `…-Max-Length`)."""
        if not minimum and not maximum:
            return self
        # A registry that names a least length wants all chunks alike (R2): they don't follow the line there.
        adapts, is_equal = self.adapts and not minimum, bool(minimum)
        chunk = max(self.chunk, minimum or 0, _whole_mib(-(-self.size // _MOST_EQUAL)) if minimum else 0)
        # A maximum below what any registry is known to want would make a request of every byte: it is not believed.
        if maximum and maximum >= max(minimum or 0, SMALLEST_CHUNK):
            chunk = min(chunk, maximum)
            single = self.single and self.size <= maximum
            limit = min(maximum, self.limit or maximum)
            plan = replace(self, chunk=chunk, single=single, limit=limit, adapts=adapts, is_equal=is_equal)
        else:
            plan = replace(self, chunk=chunk, adapts=adapts, is_equal=is_equal)
        # Equal chunks can't make room for a byte that would be left over: of another size none is.
        spare = is_equal and self.size % plan.chunk == 1 and plan.chunk - 1 >= max(minimum or 0, SMALLEST_CHUNK)
        return replace(plan, chunk=plan.chunk - 1) if spare else plan

    def paced(self, chunk: int) -> Self:
        """With chunks of about `chunk` bytes from now on, within what the host takes.

        They are whole MiB, or on a slow line multiples of `SLOWEST_CHUNK`.
        """
        if not self.adapts:
            return self
        unit = MiB if chunk >= MiB else SLOWEST_CHUNK
        wanted = max(SLOWEST_CHUNK, self.least, chunk // unit * unit)
        return replace(self, chunk=min(wanted, self.limit or wanted))

    def shrunk(self, refused: int) -> Self | None:
        """Return the next smaller plan after a refusal for size of a body of `refused` bytes, or None if there is
        none.

        A refused single PUT becomes chunks of half its size, a chunk with a short rest the chunk alone.
        """
        if not self.single and refused > self.chunk:
            return replace(self, limit=self.chunk)
        refused = min(self.size, self.chunk)
        chunk = max(refused // 2, SMALLEST_CHUNK, self.least)
        if chunk >= refused:
            return None
        return replace(self, chunk=chunk, single=False, limit=chunk)

    def shared(self, bodies: int) -> Self:
        """Return one chunk's length for `bodies` that go at once: what a crash costs is what is under way of all of
        them.

        Not where chunks follow the line, of which each body has its part anyhow, nor where all have to be alike.
        """
        if self.adapts or self.is_equal or bodies < 2:
            return self
        return replace(self, chunk=max(min(self.chunk, SMALLEST_CHUNK), self.least, self.chunk // bodies))

    def span(self, offset: int) -> Span:
        """Return the chunk that begins at `offset`.

        Never of one byte: distribution 2 reports empty and one byte alike as `Range: 0-0`. The byte that would be
        left over is taken along by making this chunk one shorter and the last one two long.
        """
        stop = min(offset + self.chunk, self.size)
        if self.adapts and self.size - stop < self.chunk // _WORTH_A_CHUNK:
            stop = min(self.size, offset + (self.limit or self.size))
        if self.size - stop == 1 and self.chunk > 2 and not self.is_equal:
            stop -= 1
        return Span(offset, stop)


def _whole_mib(count: int) -> int:
    return -(-count // MiB) * MiB
