"""Copies one model: its blobs, several at once, then its manifest."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

from ..beside import beside
from ..content.base import Placed, Target, Traits
from ..content.progress import Progress
from ..errors import Interrupted, ManifestRefused, RegistryPushError, Unavailable, unwrapped
from ..events import BlobDone, BlobWaiting, ManifestPushed, ModelDone, Placement, Retrying, TagSet, Warned
from ..model import Descriptor, Digest, UploadKey
from ..state.locks import Held, slot_of
from .context import BlobSource, Context
from .job import AnyJob, Referrer
from .mount_places import MountPlaces

Step = Callable[[], Awaitable[None]]
# Of a blob that was not put there by us, or not all of it.
_NOT_PLACED: Final = (Placement.PRESENT, Placement.PARTIAL)


async def _nothing() -> None:
    """Put nothing."""


class ModelCopy:
    """The copy of one model of a run to `target`."""

    def __init__(self, context: Context, model: AnyJob, target: Target) -> None:
        self.context = context
        self.model = model
        self.target = target
        self.placements: dict[Digest, Placement] = {}
        self.sent = 0
        self._begun: set[Digest] = set()  # large blobs whose turn has come, or that need none
        self._mounts = MountPlaces(context, model.blobs, target)

    async def check(self) -> None:
        """Raise as `Checker.check` for all of the model."""
        for manifest in self.model.manifests:
            await self._source.check(manifest)

    async def copy_blob(self, blob: Descriptor) -> None:
        """Copy one blob of the model before it is run. Raises `Interrupted` if the run is stopped."""
        await self._work(iter([blob]))
        if blob.digest not in self.placements:
            raise Interrupted("stopped before all of it was there")

    async def run(self) -> ModelDone:
        """Copy the model and return the result. Cancelling is safe: the manifest is put after its blobs."""
        await self.check()
        before = await self._look()
        there = frozenset(tag for tag, digest in before.items() if digest == self.model.manifest.digest)
        new = [each for each in self.model.referrers if await self._is_new(each)]
        if len(there) == len(self.model.references) and not new and not self.context.recheck:
            # A registry accepts a manifest only with all its blobs, and keeps them while a manifest names them. So one
            # request is enough, instead of one for each blob, as in regctl.
            self._all_present()
        else:
            self.context.begins(self.model)
            await self._copy_blobs()
        assert len(self.placements) == len(self.model.blobs), "the manifest goes after all of its blobs"
        if not there:
            await self._put_children()
        if new:
            # The tags come last: to a later run they mean that all of this is there.
            if len(there) < len(self.model.references):
                await self._put_manifest(str(self.model.manifest.digest))
            for referrer in new:
                await self._put_referrer(referrer)
        await self._put_tags(there, before)
        self._mounts.remember(self.placements)
        counts = Counter(self.placements.values())
        return ModelDone(
            self.model.called,
            self.model.target,
            self.model.manifest.digest,
            uploaded=counts[Placement.UPLOADED],
            mounted=counts[Placement.MOUNTED],
            present=counts[Placement.PRESENT],
            sent=self.sent,
            tags=tuple(TagSet(tag, digest) for tag, digest in before.items()),
            referrers=len(new),
            repaired=counts[Placement.REPAIRED],
        )

    @property
    def _source(self) -> BlobSource:
        return self.context.source_of(self.model)

    async def _copy_blobs(self) -> None:
        # Two lanes, so that small blobs never wait behind big ones; the biggest first, so that it does not start last.
        traits = self.target.traits
        blobs = sorted(self.model.blobs, key=lambda blob: -blob.size)
        large = [blob for blob in blobs if blob.size > traits.small]
        try:
            async with asyncio.TaskGroup() as beside:
                asking = beside.create_task(self._ask_ahead(large[: traits.bodies - 1 : -1], traits))
                async with asyncio.TaskGroup() as group:
                    for lane, workers in (
                        (large, traits.bodies + traits.opened_ahead),
                        (blobs[len(large) :], traits.requests),
                    ):
                        turns = iter(lane)
                        for _ in range(workers):
                            group.create_task(self._work(turns))
                asking.cancel()  # every blob has had its turn
        except BaseExceptionGroup as error:
            raise unwrapped(error) from None
        if self.context.stop.is_set():
            raise Interrupted("stopped before it was done")

    async def _work(self, lane: Iterator[Descriptor]) -> None:
        for blob in lane:
            if self.context.stop.is_set():
                return
            if blob.digest in self._begun:
                continue
            self._begun.add(blob.digest)
            try:
                async with self.context.holders.blob(self.target.origin, blob.digest).lock, self._held(blob):
                    placed = await self._place(blob)
                    if placed.placement not in _NOT_PLACED and self.context.journal is not None:
                        self.context.journal.note_placed(self._key(blob))
            except Interrupted:
                return  # the others finish their chunks too
            self._count(blob, placed)

    async def _ask_ahead(self, last_first: Sequence[Descriptor], traits: Traits) -> None:
        """Find blobs that are there before their turn to be sent; with one request if the last one is missing.

        Does nothing if answers are fast. With 100 blobs that are all there, eight jobs and 50 ms, it saves a third of
        the time.
        """
        if not traits.asks_ahead:
            return
        blobs = iter(last_first)
        for blob in blobs:
            if await self._is_there(blob):
                async with asyncio.TaskGroup() as group:
                    for _ in range(traits.requests):
                        group.create_task(self._ask(blobs))
            return

    async def _ask(self, blobs: Iterator[Descriptor]) -> None:
        for blob in blobs:
            if not await self._is_there(blob):
                return

    async def _is_there(self, blob: Descriptor) -> bool:
        """Return whether a blob whose turn has not come is there; then it needs none.

        This needs no lock. A blob that is missing, or could not be asked for, is asked for again in its turn: another
        run may have sent it by then, and errors are raised there.
        """
        if self.context.stop.is_set() or blob.digest in self._begun:
            return False
        try:
            if not await self.target.exists(blob):
                return False
        except RegistryPushError:
            return False
        if blob.digest not in self._begun:
            self._begun.add(blob.digest)
            self._present(blob)
        return True

    def _held(self, blob: Descriptor) -> AbstractAsyncContextManager[None]:
        """Exclude other runs and processes that send the same blob; when one has sent it, it is found at the target."""

        def waiting() -> None:
            self.context.sink(BlobWaiting(self.target.name, blob))

        if self.context.journal is None:
            return Held(slot_of(self.target.origin, blob.digest), None, waiting, self.context.stop)
        return self.context.journal.held(self._key(blob), waiting, self.context.stop)

    def _key(self, blob: Descriptor) -> UploadKey:
        return UploadKey(self.target.origin, self.target.name, blob.digest)

    async def _place(self, blob: Descriptor) -> Placed:
        run, name = self.context, self.target.name
        holders = self._mounts.holders(blob)
        candidates = self._mounts.candidates(blob, holders)
        if run.holders.is_confirmed(self.target.origin, name, blob.digest):
            return Placed(Placement.PRESENT)
        traits = self.target.traits
        if blob.size <= traits.small and not candidates and traits.mounts_itself and run.mounts:
            candidates = [name]  # if the blob is there it is mounted, else a session is opened at once
        elif await self.target.exists(blob):
            run.holders.confirm(self.target.origin, name, blob.digest)
            return Placed(Placement.PRESENT)
        placed = await self._send(blob, candidates)
        if placed.placement is Placement.MOUNTED:
            run.holders.mounts_again(self.target.origin)
        elif holders and candidates == holders[-1:]:
            self._mounts.refused(holders[-1], blob)
        return placed

    async def _send(self, blob: Descriptor, candidates: Collection[str]) -> Placed:
        body = await self._source.open(blob)
        if self.target.traits.is_local:
            from .watched import Watched  # uploaders tell their progress themselves

            body = Watched(body, Progress(self.context.sink, self.target.name, blob, begun=None))
        try:
            placed = await self.target.put(blob, body, candidates=candidates)
        finally:
            await body.close()
        if placed.placement is not Placement.PARTIAL:
            self.context.holders.confirm(self.target.origin, self.target.name, blob.digest)
        return placed

    def _count(self, blob: Descriptor, placed: Placed) -> None:
        self.placements[blob.digest] = placed.placement
        self.sent += placed.sent
        self.context.sink(BlobDone(self.target.name, blob, placed.placement, placed.sent))

    async def _look(self) -> dict[str, Digest | None]:
        """Return the digest that the target has under each of the tags. Meanwhile it prepares for the blobs."""
        self.target.expect_blobs(len(self.model.blobs))
        if self.model.before is not None:
            return dict(self.model.before)
        tags = [reference.tag or "" for reference in self.model.references]
        async with beside(self.target.prepare()):
            return {tag: await self.target.digest_of(tag) for tag in tags}

    def _all_present(self) -> None:
        for blob in self.model.blobs:
            self._present(blob)

    def _present(self, blob: Descriptor) -> None:
        self.context.holders.confirm(self.target.origin, self.target.name, blob.digest)
        self._count(blob, Placed(Placement.PRESENT))

    async def _put_manifest(self, ref: str) -> None:
        await self._put(partial(self.target.put_manifest, self.model.manifest, ref), self._put_children)
        self.context.holders.mounts_again(self.target.origin)

    async def _put_tags(self, there: frozenset[str], before: Mapping[str, Digest | None]) -> None:
        for reference in self.model.references:
            tag = reference.tag or ""
            sent = tag not in there
            if sent:
                await self._put_manifest(tag)
            self.context.sink(ManifestPushed(reference, self.model.manifest.digest, sent=sent, previous=before[tag]))

    async def _put_children(self) -> None:
        for child in self.model.children:
            await self._put(partial(self.target.put_manifest, child, str(child.digest)), _nothing)

    async def _is_new(self, referrer: Referrer) -> bool:
        there = await self.target.digest_of(referrer.ref) == referrer.manifest.digest
        return not there or not await self.target.lists(referrer.manifest)

    async def _put_referrer(self, referrer: Referrer) -> None:
        for manifest, ref in (
            *((child, str(child.digest)) for child in referrer.children),
            (referrer.manifest, referrer.ref),
        ):
            await self._put(partial(self.target.put_manifest, manifest, ref), _nothing)

    async def _put(self, put: Step, put_named: Step) -> None:
        """Put a manifest; `put_named` puts those that it lists. If the registry lacks blobs, check them again.

        Registries whose servers lag behind each other report missing blobs for a while, although they have confirmed
        them; others have lost one meanwhile. Raises `Unavailable` when all tries are over. A target on this machine
        gets no pauses, and bounds the tries itself.
        """
        run, budget = self.context, self.context.pauses.budget()
        while True:
            try:
                return await put()
            except ManifestRefused as refused:
                if not refused.lacks_blobs:
                    raise
                if self.target.traits.is_local:
                    await self._send_missing()
                    await put_named()
                    continue
                pause = budget.spend()
                if pause is None:
                    raise Unavailable(refused.message, hint=refused.next_step, url=refused.url) from refused
                run.sink(Retrying(f"the manifest of {self.target.name}", refused.message, pause))
            await self._send_missing()
            await put_named()
            await run.pauses.rest(pause, run.stop)

    async def _send_missing(self) -> None:
        """Ask for every blob once more, and send those that the registry has lost."""
        blobs = iter(self.model.blobs)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.target.traits.bodies):
                    group.create_task(self._look_again(blobs))
        except BaseExceptionGroup as error:
            raise unwrapped(error) from None

    async def _look_again(self, blobs: Iterator[Descriptor]) -> None:
        run, name = self.context, self.target.name
        for blob in blobs:
            async with run.holders.blob(self.target.origin, blob.digest).lock, self._held(blob):
                if await self.target.exists(blob):
                    continue
                run.holders.lost(self.target.origin, name, blob.digest)
                run.sink(Warned(f"{name} has lost {blob.digest.short}; it is sent again"))
                placed = await self._send(blob, ())  # without a mount, which may be what was lost
            self._count(blob, placed)
