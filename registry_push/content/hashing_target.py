"""`HashingTarget`: takes blobs to hash them, writes nothing, and remembers which are broken."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from typing import Final, Protocol, Self

from msgspec import Struct
from msgspec.structs import replace

from ..errors import BlobCorrupt, BlobMissing, ContentDamaged, IntegrityError, RegistryPushError
from ..events import Placement, Sink
from ..model import Descriptor, Digest, Manifest
from ..model.broken_blob import BrokenBlob, Problem, described
from ..pauses import unless_stopped
from ..text.hint import Hint
from .base import BlobBody, Placed, Traits
from .blocks import blocks_of
from .hashing import Hasher, RunningHash
from .local_target import LocalTarget
from .oci.archive import MemberBody
from .pouring import pour, pour_blocks
from .progress import Progress

# Bytes of a file after which progress is told: some hundredths of a second.
_STEP: Final = 32 * 1024 * 1024
# Bytes. Smaller blobs have a lane of their own.
_SMALL: Final = 1024 * 1024
# Bodies that are read at once from a registry, and models: more compete for one line.
_FROM_REGISTRY: Final = 4
_MODELS_FROM_REGISTRY: Final = 2


def at_once() -> int:
    """Return how many bodies are hashed at once: one waits for its disk while all cores hash others."""
    return (os.cpu_count() or 1) + 1


class Mender(Protocol):
    """Mends broken content."""

    async def mend(self, broken: BrokenBlob) -> BrokenBlob | int:
        """Return how many bytes it took; or `broken`, with the reason why it still is."""
        ...


class Findings:
    """What is broken at one place, and what was mended there. Several models may share a blob."""

    def __init__(self) -> None:
        self.broken: dict[Digest, BrokenBlob] = {}
        self.mended: dict[Digest, BrokenBlob] = {}

    def of(self, digests: Sequence[Digest]) -> list[BrokenBlob]:
        """Return those of `digests` that are broken."""
        return [self.broken[digest] for digest in digests if digest in self.broken]


class Verified(Struct, frozen=True, kw_only=True):
    """A place that is verified. `repository` is its name in events; `is_remote`: its content comes over a line."""

    repository: str
    is_remote: bool
    findings: Findings
    hasher: Hasher
    sink: Sink
    stop: asyncio.Event
    mender: Mender | None = None


class HashingTarget(LocalTarget):
    """One model of the place `at`: `model` is its name, `content` names its blobs and manifests. Implements `Target`.

    A broken blob keeps nothing from being hashed: it is remembered, and when all is hashed, the manifest is refused.
    Before that `look_again` is called, which raises if the model is not there any more, or another is.
    """

    def __init__(
        self,
        at: Verified,
        model: str,
        content: Sequence[Digest],
        *,
        hint: Callable[[Sequence[BrokenBlob]], Hint],
        look_again: Callable[[], Awaitable[None]],
    ) -> None:
        self._at = at
        self._model = model
        self._content = content
        self._hint = hint
        self._look_again = look_again
        self.origin = at.repository
        self.name = at.repository

    @property
    def traits(self) -> Traits:
        """How to read the place.

        A file that is not wrapped to tell its progress can be hashed from its descriptor, so this target tells of it.
        """
        if self._at.is_remote:
            bodies, models = _FROM_REGISTRY, _MODELS_FROM_REGISTRY
            return Traits(bodies=bodies, requests=bodies, small=_SMALL, models=models, is_local=True)
        return Traits(bodies=at_once(), requests=at_once(), small=_SMALL)

    async def exists(self, blob: Descriptor) -> bool:
        """Return False: nothing is known to be whole before it is hashed."""
        return False

    async def digest_of(self, ref: str) -> Digest | None:
        """Return None, as `exists`."""
        return None

    async def put(self, blob: Descriptor, body: BlobBody, *, candidates: Collection[str] = ()) -> Placed:
        """Hash the blob, mend it if it is broken and there is a mender, and remember it if it stays so.

        Raises `Interrupted`, and what reading raises but for missing and damaged content. Cancelling is safe.
        """
        broken = await self._found(blob, body)
        if broken is None:
            return Placed(Placement.UPLOADED, blob.size)
        return await _settled(self._at, broken)

    async def put_manifest(self, manifest: Manifest, ref: str) -> None:
        """Raise `ContentDamaged` if anything of the model is broken."""
        broken = self._at.findings.of(self._content)
        if broken:
            await self._look_again()
            raise ContentDamaged(
                f"{self._model} is damaged: {described(broken, len(self._content))}",
                hint=self._hint(broken),
                broken=tuple(broken),
            )

    async def _found(self, blob: Descriptor, body: BlobBody) -> BrokenBlob | None:
        """Return what is wrong with the blob; None if nothing is."""
        running = RunningHash()
        try:
            await unless_stopped(self._hash(blob, body, running), self._at.stop, f"stopped in {blob.digest.short}")
        except (BlobMissing, IntegrityError) as error:
            return broken_by(error, blob)
        if running.offset == blob.size and running.digest == blob.digest:
            return None
        what = f"{blob.kind} blob {blob.digest}"
        if running.offset != blob.size:
            return BrokenBlob(blob, Problem.SIZE, f"{what} has {running.offset} bytes, not {blob.size}")
        return BrokenBlob(blob, Problem.CONTENT, f"the content of {what} hashes to {running.digest}")

    async def _hash(self, blob: Descriptor, body: BlobBody, running: RunningHash) -> None:
        if self._at.is_remote:
            await hash_line(body, running)
            return
        progress = Progress(self._at.sink, self.name, blob, begun=None)
        progress.goes_on(0, "")
        while running.offset < body.size:
            end = min(body.size, running.offset + _STEP)
            if isinstance(body, MemberBody):
                await self._at.hasher.finish_span(body.file, body.offset, running, end=end, name=body.name)
            else:
                await self._at.hasher.finish(body, running, end=end)
            progress.moved(running.offset)


async def _settled(at: Verified, broken: BrokenBlob) -> Placed:
    if at.mender is not None:
        mended = await at.mender.mend(broken)
        if isinstance(mended, int):
            at.findings.mended[broken.blob.digest] = broken
            return Placed(Placement.REPAIRED, mended)
        broken = mended
    at.findings.broken[broken.blob.digest] = broken
    return Placed(Placement.DAMAGED)


def broken_by(error: RegistryPushError, blob: Descriptor, *, is_manifest: bool = False) -> BrokenBlob:
    """Return the blob as `error`, raised when it was read, shows it to be."""
    if isinstance(error, BlobMissing):
        problem = Problem.MISSING
    elif isinstance(error.__cause__, OSError):
        problem = Problem.UNREADABLE
    else:
        problem = Problem.SIZE if isinstance(error, BlobCorrupt) and not is_manifest else Problem.CONTENT
    return BrokenBlob(blob, problem, error.message, is_manifest)


def unmended(broken: BrokenBlob, why: str) -> BrokenBlob:
    """Return `broken`, and why it was not mended."""
    return replace(broken, unmended=why)


async def hash_line(body: BlobBody, running: RunningHash) -> None:
    """Hash what comes over a line, in threads. Raises what the body raises."""

    def take(pieces: Sequence[bytes | memoryview]) -> None:
        for piece in pieces:
            running.take(running.offset, memoryview(piece))

    if (blocks := blocks_of(body, 0, body.size)) is not None:
        await pour_blocks(blocks, body.size, take)
    else:
        await pour(body.open(0, body.size), take)


class BrokenBody(AsyncIterator[bytes]):
    """The body of a blob that can't be opened: reading it raises the reason. Implements `BlobBody`."""

    def __init__(self, size: int, error: RegistryPushError) -> None:
        self._size = size
        self._error = error

    @property
    def size(self) -> int:
        """Bytes, as they should be."""
        return max(self._size, 1)  # so that an empty blob is read too, which raises the reason

    def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
        """Return what raises the reason."""
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        raise self._error

    async def close(self) -> None:
        """Nothing is held."""
