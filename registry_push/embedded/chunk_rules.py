"""Which chunks a registry accepts, and what it answers, with the quirks of real ones."""

from __future__ import annotations

from enum import Enum, auto

from aiohttp import web

from .answers import Code, RefusedRequest
from .quirks import EqualChunks, Quirks
from .sessions import Session


class RangeReply(Enum):
    """The kind of answer with a Range."""

    CHUNK = auto()
    STATUS = auto()
    REFUSAL = auto()


class ChunkRules:
    """The rules of one registry. Sessions remember the sizes of their chunks."""

    def __init__(self, quirks: Quirks, min_chunk: int | None) -> None:
        self._quirks = quirks
        self._equal = quirks.equal_chunks
        self._min = self._equal.min if self._equal is not None else min_chunk

    @property
    def announced(self) -> dict[str, str]:
        """The headers that tell a client how long chunks may be."""
        told = {"OCI-Chunk-Min-Length": str(self._min)} if self._min is not None else {}
        return told | ({"OCI-Chunk-Max-Length": str(self._equal.max)} if self._equal is not None else {})

    @property
    def announced_with_status(self) -> dict[str, str]:
        """The same headers in a status answer: only serverless-registry repeats them there."""
        return self.announced if self._equal is not None else {}

    def range(self, session: Session, told: RangeReply) -> str | None:
        """Return the Range of an answer: `0-<last byte>`; for an empty session `0-0`, as distribution says it."""
        size = session.spool.size
        if self._equal is not None and not size and told is not RangeReply.CHUNK:
            return "0--1"
        if self._quirks.range_sticks and session.chunks:
            return f"0-{session.chunks[0] - 1}"
        added = {
            RangeReply.CHUNK: 0,
            RangeReply.STATUS: self._quirks.status_adds,
            RangeReply.REFUSAL: self._quirks.refusal_adds,
        }[told]
        return None if added is None else f"0-{max(size - 1 + added, 0)}"

    def check_chunk(self, request: web.Request, session: Session, where: dict[str, str]) -> None:
        """Raise `RefusedRequest` for a chunk that is not accepted. `where`: the headers of a 416."""
        size = request.content_length
        if session.chunks and session.chunks[-1] < self._quirks.min_part:
            raise RefusedRequest(Code.BLOB_UPLOAD_INVALID, f"layer part smaller than {self._quirks.min_part} bytes")
        if self._equal is None:
            return
        if size is None or len(session.chunks) >= self._equal.max_parts:
            raise RefusedRequest(Code.INTERNAL_ERROR)
        if size > self._equal.max:
            raise RefusedRequest(Code.TOO_LARGE, f"at most {self._equal.max} bytes a request")
        if not _fits(size, session.chunks, self._equal):
            raise RefusedRequest(Code.RANGE_INVALID, "chunks of one size are wanted", headers=where)

    def check_closing(self, request: web.Request, session: Session) -> None:
        """Raise `RefusedRequest` for a closing PUT that is not accepted."""
        has_body = bool(request.content_length) or (request.content_length is None and request.body_exists)
        if self._quirks.last_in_put and len(session.chunks) > 1 and not has_body:
            raise RefusedRequest(Code.BLOB_UPLOAD_INVALID, "the last part belongs in the PUT")
        if self._equal is not None and session.chunks and (has_body or not _joins(session.chunks)):
            raise RefusedRequest(Code.INTERNAL_ERROR)

    def refuses_whole(self, request: web.Request, session: Session) -> int | None:
        """Return the error status for a PUT of a whole blob, or None if it is accepted."""
        return self._quirks.refuses_whole_put if request.content_length and not session.spool.size else None


def _fits(size: int, chunks: list[int], equal: EqualChunks) -> bool:
    """Return whether serverless-registry accepts the chunk: as long as those before, or shorter and the last."""
    if not chunks:
        return True
    return size < chunks[-1] or (size == chunks[-1] and _joins([*chunks, size]) and size >= equal.min)


def _joins(chunks: list[int]) -> bool:
    """Return whether R2 joins parts of these sizes."""
    return all(size == chunks[0] for size in chunks[:-1]) and chunks[-1] <= chunks[0]
