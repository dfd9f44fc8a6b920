"""How a blob is cut into requests."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Self

from msgspec import Struct
from msgspec.structs import replace

MiB: Final = 1024 * 1024

# The first chunk, while nothing is known of the line. On loopback, chunks of 16 MiB take 1.05 of the time of one long
# PATCH (64 MiB 1.0, 5 MiB 1.2), and one is long enough to choose the next by (`throughput.py`).
FIRST_CHUNK: Final = 16 * MiB
# A smaller blob is hashed first and sent in the closing PUT: two requests instead of three. 8 MiB are hashed in 5 ms,
# and GHCR and ECR, which limit chunks, take a PUT of this size.
SINGLE_PUT: Final = 8 * MiB
# GHCR takes 4 MiB; no known registry takes less. A limit below this is a refusal.
SMALLEST_CHUNK: Final = 1 * MiB
# The shortest chunk on a slow line: the first Ctrl-C waits for the one under way, and each costs a round trip.
SLOWEST_CHUNK: Final = 64 * 1024
# R2 takes 10,000 parts, ECR 4,200; this leaves room for a short last one.
_MOST_EQUAL: Final = 9_000
_MOST_AT_ECR: Final = 4_000
# ECR takes no part after one that was shorter.
ECR_MINIMUM: Final = 5 * MiB
# If chunks adapt to the line, a rest of less than this part of a chunk is sent with the last one: one round trip less.
_WORTH_A_CHUNK: Final = 4


class WholePut(StrEnum):
    """Which blobs are sent whole in the closing PUT, without a PATCH."""

    SMALL = "small"
    """Blobs that can be sent again quickly."""
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

    `limit` is the most that the host takes in a chunk, `least` the least, but for the last chunk; `adapts`: chunks may
    adapt to the line; `is_equal`: the registry wants all chunks alike; `last_in_put`: the last of several chunks is
    sent in the closing PUT; `until`: the content that is here ends before this byte, and a chunk does too.
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
    until: int | None = None

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

        `chunk` is the user's setting, `limit` the known limit of the host; `whole` says which blobs are sent in one PUT
        there, and `one_put` that all are. `soon` is the number of bytes that the line takes in a few seconds, if known:
        longer blobs are sent in chunks.
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
        """Return the plan for one PUT, if the registry takes no PATCH."""
        return replace(self, single=True, whole=WholePut.ONLY)

    def in_chunks(self, whole: WholePut) -> Self:
        """Return the plan for chunks after all. `whole` is what this shows of the registry."""
        return replace(self, single=self.size == 0, whole=whole)

    def equal(self, chunk: int) -> Self:
        """Return the plan to continue an upload whose chunks all have `chunk` bytes."""
        return replace(self, chunk=chunk, single=False, adapts=False, is_equal=True)

    def at_ecr(self) -> Self:
        """Return the plan for Amazon's ECR: no short chunks but the last, which belongs in the PUT, and not too many.

        A limit that allows no such chunk is ignored.
        """
        least = max(ECR_MINIMUM, -(-self.size // _MOST_AT_ECR))
        limit = self.limit if self.limit and self.limit >= least else None
        return replace(self, chunk=max(self.chunk, least), limit=limit, least=least, last_in_put=True)

    def bounded(self, minimum: int | None, maximum: int | None) -> Self:
        """Return the plan with the limits named when the upload was opened (`OCI-Chunk-Min-Length`, `…-Max-Length`)."""
        if not minimum and not maximum:
            return self
        # A registry that names a minimum (R2) wants all chunks alike, so they can't adapt to the line.
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
        """Return the plan with chunks of about `chunk` bytes from now on, within the host's limits.

        They are whole MiB, or on a slow line multiples of `SLOWEST_CHUNK`.
        """
        if not self.adapts:
            return self
        unit = MiB if chunk >= MiB else SLOWEST_CHUNK
        wanted = max(SLOWEST_CHUNK, self.least, chunk // unit * unit)
        return replace(self, chunk=min(wanted, self.limit or wanted))

    def shrunk(self, refused: int) -> Self | None:
        """Return the next smaller plan after a body of `refused` bytes was too large; None if there is none.

        A refused single PUT becomes chunks of half its size; a chunk that took a short rest along, the chunk alone.
        """
        if not self.single and refused > self.chunk:
            return replace(self, limit=self.chunk)
        refused = min(self.size, self.chunk)
        chunk = max(refused // 2, SMALLEST_CHUNK, self.least)
        if chunk >= refused:
            return None
        return replace(self, chunk=chunk, single=False, limit=chunk)

    def shared(self, bodies: int) -> Self:
        """Return the length of a chunk if `bodies` are sent at once: a crash costs what is under way of all of them.

        It is unchanged if chunks adapt to the line, of which each body has its share anyhow, or have to be alike.
        """
        if self.adapts or self.is_equal or bodies < 2:
            return self
        return replace(self, chunk=max(min(self.chunk, SMALLEST_CHUNK), self.least, self.chunk // bodies))

    def span(self, offset: int) -> Span:
        """Return the chunk that begins at `offset`.

        No chunk has one byte: distribution 2 reports no byte and one byte alike as `Range: 0-0`. If one byte would be
        left over, this chunk is one shorter and the last one has two.
        """
        stop = min(offset + self.chunk, self.size)
        if self.adapts and self.size - stop < self.chunk // _WORTH_A_CHUNK:
            stop = min(self.size, offset + (self.limit or self.size))
        if self.size - stop == 1 and self.chunk > 2 and not self.is_equal:
            stop -= 1
        if self.until is not None and offset < self.until < stop:
            stop = self.until
        return Span(offset, stop)


def _whole_mib(count: int) -> int:
    return -(-count // MiB) * MiB
