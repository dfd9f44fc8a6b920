"""`OllamaTarget`: one model in an Ollama store, written safely beside a running Ollama."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

from msgspec.structs import replace

from ...errors import (
    BlobCorrupt,
    IntegrityError,
    ManifestRefused,
    NotAtSource,
    printable,
)
from ...events import Placement
from ...model import Descriptor, Digest, Manifest, ModelName
from ...pauses import unless_stopped
from ..base import BlobBody, Placed
from ..blocks import blocks_of
from ..body import opened
from ..local_target import LocalTarget
from ..pouring import closed, pour_blocks
from ..threads import in_thread
from .files import StoreFiles
from .fresh import FreshBlobs
from .partial import BlobHeldError, PartialBlob, remove_stale
from .source import OllamaStore

# Bytes that are collected for a thread to write and hash, so that the switch to it costs nothing in comparison. As much
# again arrives meanwhile, so a body takes twice this memory.
_BATCH: Final = 1024 * 1024
# Seconds between looks at another process's blob; waiting in the kernel could not be cancelled.
_LOOK_AGAIN: Final = 0.25
# How often a manifest's blobs may be deleted meanwhile (`ollama rm`) before it is no accident.
_LOSSES: Final = 3
# The next step after wrong content, which is not kept.
_TRY_AGAIN: Final = "run the same command again; if it ends so again, the source or a proxy before it is damaged"


class OllamaTarget(LocalTarget):
    """The model `name` in the store at `root`, with any tag; the tag of `name` is ignored. Implements `Target`.

    The store is created if there is none. Blobs that are put or found are noted in `fresh`, if given. When `stop` is
    set, the bytes received of a blob are kept, and the next put of it, by any process, fetches only the rest.
    """

    def __init__(
        self,
        root: Path,
        name: ModelName,
        *,
        fresh: FreshBlobs | None = None,
        stop: asyncio.Event | None = None,
        sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
    ) -> None:
        self.root = root
        self._model = name
        self._files = StoreFiles(root)
        self._fresh = fresh
        self._stop = stop
        self._sleep = sleep
        self._is_ready = False
        self._putting: WeakValueDictionary[Digest, asyncio.Lock] = WeakValueDictionary()
        self._losses: Counter[str] = Counter()

    @property
    def origin(self) -> str:
        """The store, as places are written."""
        return f"ollama:{self.root}"

    @property
    def name(self) -> str:
        """The model's name as Ollama shows it, without a tag."""
        return self._model.short.rpartition(":")[0]

    async def exists(self, blob: Descriptor) -> bool:
        """Return whether the blob is here, in its full size; if so, set its time, so that Ollama keeps it.

        Raises `Unreadable`.
        """
        if not await in_thread(self._files.has, blob.digest, blob.size):
            return False
        self._note(blob.digest)
        return True

    async def put(self, blob: Descriptor, body: BlobBody, *, candidates: Collection[str] = ()) -> Placed:
        """Put the blob here, hashed on arrival. Continue what an earlier put has left.

        If that part turns out to be wrong, the whole blob is fetched once more. Raises `BlobCorrupt`, `Unwritable`,
        `Unavailable` if the disk is full, `Interrupted`, and what the body raises. Cancelling is safe.
        """
        if body.size != blob.size:
            raise BlobCorrupt(
                f"the content received for {blob.digest} has {body.size} bytes, not {blob.size}", hint=_TRY_AGAIN
            )
        async with self._putting.setdefault(blob.digest, asyncio.Lock()):
            partial = await self._claim(blob)
            if partial is None:
                self._note(blob.digest)
                return Placed(Placement.PRESENT)
            try:
                sent = await self._fill_unless_stopped(partial, blob, body)
            except BaseException:
                # To its end, even if the caller is cancelled once more.
                await asyncio.shield(in_thread(partial.close))
                raise
        self._note(blob.digest)
        return Placed(Placement.UPLOADED, sent)

    async def put_manifest(self, manifest: Manifest, ref: str) -> None:
        """Put the manifest's bytes under the tag `ref`; under its own digest they become a blob, as lists want it.

        Raises `ManifestRefused` if content that it names is not here, or is deleted at the same moment; the fourth
        time, `IntegrityError`. Raises `InvalidName` for a tag that Ollama does not allow.
        """
        if ref == str(manifest.digest):
            await self._refuse_without_blobs(manifest, ref)
            await in_thread(self._files.put_blob, manifest.raw, manifest.digest)
            self._note(manifest.digest)
            return
        name = replace(self._model, tag=ref)
        await self._make_ready()
        await self._refuse_without_blobs(manifest, ref)
        # Shielded: a cancelled call must not leave a manifest whose blobs were not checked.
        missing = await asyncio.shield(in_thread(self._put_whole, manifest, name))
        if missing:
            raise self._refusal(missing, ref)
        self._losses.pop(ref, None)

    async def digest_of(self, ref: str) -> Digest | None:
        """Return the digest of the manifest under the tag `ref`; None if there is none or its content is missing.

        Raises `Unreadable`.
        """
        return await in_thread(self._whole, replace(self._model, tag=ref))

    # ── blobs ─────────────────────────────────────────────────────────────────────────────────────

    async def _claim(self, blob: Descriptor) -> PartialBlob | None:
        """Return the blob's partial content, locked; None if the blob is here, perhaps from a process we waited for."""
        while True:
            if not self._is_ready and await self.exists(blob):
                return None
            await self._make_ready()
            with suppress(BlobHeldError):
                return await opened(lambda: self._claimed(blob))
            waiting = "stopped while another process was fetching the same blob"
            await unless_stopped(self._sleep(_LOOK_AGAIN), self._stop, waiting)

    def _claimed(self, blob: Descriptor) -> PartialBlob | None:
        if self._files.has(blob.digest, blob.size):
            return None
        partial = PartialBlob.claim(self._files, blob)
        try:
            if not self._files.has(blob.digest, blob.size):
                partial.hash_on()
                return partial
        except BaseException:
            partial.close()
            raise
        partial.close()  # the blob has come between the look and the lock
        return None

    async def _make_ready(self) -> None:
        if not self._is_ready:
            await in_thread(self._files.check, self._model)
            await in_thread(remove_stale, self._files)
            self._is_ready = True

    async def _fill_unless_stopped(self, partial: PartialBlob, blob: Descriptor, body: BlobBody) -> int:
        """As `_fill`. A stop does not wait for a source that sends nothing."""
        sent = 0

        async def fill() -> None:
            nonlocal sent
            sent = await self._fill(partial, blob, body)

        await unless_stopped(fill(), self._stop, f"stopped in {blob.digest.short}; what has come of it is kept")
        return sent

    async def _fill(self, partial: PartialBlob, blob: Descriptor, body: BlobBody) -> int:
        """Fetch what is missing and make it the blob. Returns how many bytes were fetched."""
        while partial.is_behind:
            await in_thread(partial.hash_on)
        kept, sent = partial.size, 0
        while True:
            sent += await self._receive(partial, blob, body)
            if partial.digest == blob.digest:
                break
            digest = partial.digest
            await in_thread(partial.empty)
            if not kept:
                raise BlobCorrupt(f"the content received for {blob.digest} has the digest {digest}", hint=_TRY_AGAIN)
            kept = 0  # the kept part may be wrong, and not the new one
        if partial.is_open:
            await in_thread(partial.commit)
        return sent

    async def _receive(self, partial: PartialBlob, blob: Descriptor, body: BlobBody) -> int:
        """Fetch all that `partial` lacks. What has come when this fails is kept."""
        start = partial.size
        left = blob.size - start
        if not left:
            return 0
        if (blocks := blocks_of(body, start, left)) is not None:
            partial.begin_appending()
            await pour_blocks(blocks, left, partial.append, partial.hash, partial.commit_if_right)
            return left
        batch: list[bytes] = []
        size, turn = 0, None
        pieces = body.open(start, left)
        try:
            async for piece in pieces:
                left -= len(piece)
                if left < 0:
                    raise BlobCorrupt(
                        f"the content received for {blob.digest} has more than {blob.size} bytes", hint=_TRY_AGAIN
                    )
                batch.append(piece)
                size += len(piece)
                if size >= _BATCH:
                    if turn is not None:
                        await turn
                    partial.add(batch)
                    batch, size = [], 0
                    turn = asyncio.ensure_future(in_thread(partial.drain))
            if turn is not None:
                await turn
        finally:
            partial.add(batch)
            if turn is not None:
                turn.cancel()
                await asyncio.gather(turn, return_exceptions=True)
            await closed(pieces)
        await in_thread(partial.drain)
        if partial.size != blob.size:
            what = f"the content received for {blob.digest} ended at byte {partial.size} of {blob.size}"
            raise BlobCorrupt(what, hint=_TRY_AGAIN)
        return blob.size - start

    def _note(self, digest: Digest) -> None:
        if self._fresh is not None:
            self._fresh.note(digest)

    # ── manifests ─────────────────────────────────────────────────────────────────────────────────

    def _put_whole(self, manifest: Manifest, name: ModelName) -> list[Digest]:
        """Put the manifest and return what is missing of it; if anything is, the manifest does not stay."""
        written = self._files.put_manifest(manifest, name)
        missing = self._files.missing(manifest)
        if missing:
            self._files.remove(written)
        return missing

    async def _refuse_without_blobs(self, manifest: Manifest, ref: str) -> None:
        if missing := await in_thread(self._files.missing, manifest):
            raise self._refusal(missing, ref)

    def _refusal(self, missing: list[Digest], ref: str) -> ManifestRefused | IntegrityError:
        what = f"the manifest of {self.name}:{printable(ref)} names what is not in {self.root}"
        shown = ", ".join(map(str, missing))
        self._losses[ref] += 1
        if self._losses[ref] <= _LOSSES:
            return ManifestRefused(f"{what}: {shown}", lacks_blobs=True)
        return IntegrityError(
            f"{what}, although it was put there {_LOSSES} times: {shown}",
            hint="something deletes it: wait until no ollama rm, no clean-up and no other pull runs, then try again",
        )

    def _whole(self, name: ModelName) -> Digest | None:
        store = OllamaStore(self.root)
        with suppress(NotAtSource, IntegrityError):
            manifest = store.read_manifest(name)
            for each in (manifest, *manifest.children(store.blobs.read_child)):
                store.blobs.check(each)
            return manifest.digest
        return None
