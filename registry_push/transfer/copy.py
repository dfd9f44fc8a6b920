"""Copies models from one store to others: all blobs of a model first, its manifest last."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import Protocol

from msgspec import Struct, field

from ..errors import Interrupted, RegistryPushError, SomeFailed, UsageError, unwrapped
from ..events import (
    BlobDone,
    ManifestPushed,
    ModelDone,
    ModelFailed,
    ModelStarted,
    Placement,
    RunStarted,
    Sink,
    Warned,
)
from ..model import Descriptor, Digest, HTTPOrigin, Manifest, ModelName, Reference
from ..protocol.chunks import SINGLE_PUT
from ..registry.keeper import UploadKey
from ..stores.base import BlobBody, Mounter, Placed, Target
from .journal import Journal
from .places import Place, Places
from .plan import PlannedModel, total

# Requests without a body wait for the server, not for the line; on a line of 50 ms, 32 of them in flight are what
# it takes to keep eight bodies coming. At a registry that answers at once they are connections for nothing: over TLS
# 24 fewer of them are 12 MB and 8 % of the CPU of 400 blobs.
_REQUESTS_PER_JOB = 4
_REQUESTS_PER_JOB_NEAR = 2
# Seconds: what answers sooner is in the same building.
_NEAR = 0.01
# Models under way at once: enough to hide the round trips at a model's end, few enough to follow on a screen.
_MODELS_AT_ONCE = 4
# From so many blobs on, two requests are well spent on finding out how to spare one for each.
_MANY = 32


class BlobSource(Protocol):
    """What is copied from."""

    async def open(self, blob: Descriptor) -> BlobBody:
        """As `Source.open`."""
        ...

    async def check(self, manifest: Manifest) -> None:
        """Raises where the source can see, content unread, that blobs of `manifest` are missing or damaged."""
        ...


class ModelTarget(Target, Mounter, Protocol):
    """What is copied to: one repository."""

    @property
    def name(self) -> str:
        """The repository's name, by which others at the same registry mount from it."""
        ...

    async def digest_of(self, tag: str) -> Digest | None:
        """The digest of the manifest under `tag`; None if there is none or the target can't tell."""
        ...

    async def put_by_digest(self, manifest: Manifest) -> None:
        """Puts a manifest without a tag."""
        ...

    @property
    def mounts_itself(self) -> bool:
        """Whether a blob that may be here can be mounted from here: one request in place of two where it is not."""
        ...

    async def try_mounting_itself(self, blob: Descriptor) -> None:
        """Finds out, by a blob that is here."""
        ...

    @property
    def round_trip(self) -> float | None:
        """Seconds that the quickest answer took; None where nothing was asked yet."""
        ...

    async def open_connections(self, count: int) -> None:
        """Opens `count` connections for what is asked next."""
        ...


class Report(Struct, frozen=True):
    """How a run ended, a model each, in the order they were asked for."""

    models: tuple[ModelDone | ModelFailed, ...]

    @property
    def failed(self) -> tuple[ModelFailed, ...]:
        """The models that are not at their target."""
        return tuple(model for model in self.models if isinstance(model, ModelFailed))

    @property
    def done(self) -> tuple[ModelDone, ...]:
        """The models that are at their target."""
        return tuple(model for model in self.models if isinstance(model, ModelDone))

    @property
    def error(self) -> RegistryPushError | None:
        """What the run failed of: the one model's error, `SomeFailed` for a run of several; None if all is well."""
        failed = self.failed
        if not failed or len(self.models) == 1:
            return failed[0].error if failed else None
        return SomeFailed(
            f"{len(failed)} of {len(self.models)} models failed; the first because: {failed[0].error.message}",
            hint="mend what is named above and run the same command again: what is there is not sent twice",
        )


class Copier(Struct):
    """One run. `target_of` opens a repository; `origin_of` says at which registry it is."""

    source: BlobSource
    target_of: Callable[[Reference], ModelTarget]
    origin_of: Callable[[Reference], HTTPOrigin]
    sink: Sink
    jobs: int
    journal: Journal | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    recheck: bool = False
    places: Places = field(default_factory=Places)
    _places: dict[tuple[HTTPOrigin, Digest], Place] = field(default_factory=dict)  # those that this run needs
    _confirmed: set[tuple[HTTPOrigin, str, Digest]] = field(default_factory=set)
    opened: set[HTTPOrigin] = field(default_factory=set)  # where connections were opened ahead

    async def copy(self, models: Sequence[PlannedModel]) -> Report:
        """Copies every model; one that fails does not keep the others back.

        Cancelling is safe: what the targets acknowledged stays there, and no manifest is put early.
        """
        blobs, size = total(models)
        self.sink(RunStarted(len(models), blobs, size))
        at_once = asyncio.Semaphore(_MODELS_AT_ONCE)

        async def copied(model: PlannedModel) -> ModelDone | ModelFailed:
            async with at_once:
                event = await self._copied(model)
            self.sink(event)
            return event

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(copied(model)) for model in models]
        except BaseExceptionGroup as error:
            raise unwrapped(error) from None
        return Report(tuple(task.result() for task in tasks))

    async def _copied(self, model: PlannedModel) -> ModelDone | ModelFailed:
        self.sink(ModelStarted(model.name.short, model.target, len(model.blobs), model.size))
        copy = _ModelCopy(self, model, self.target_of(model.target), self.origin_of(model.target))
        try:
            return await copy.run()
        except RegistryPushError as error:
            return ModelFailed(model.name.short, model.target, error)

    def place(self, origin: HTTPOrigin, digest: Digest) -> Place:
        """What is known of `digest` at `origin`, kept until the run ends."""
        return self._places.setdefault((origin, digest), self.places.at(origin, digest))

    def is_confirmed(self, origin: HTTPOrigin, repository: str, digest: Digest) -> bool:
        """Whether this run has seen the blob in `repository`. What others saw may be gone: it is asked for."""
        return (origin, repository, digest) in self._confirmed

    def confirm(self, origin: HTTPOrigin, repository: str, digest: Digest) -> None:
        """The blob is in `repository`."""
        self._confirmed.add((origin, repository, digest))
        self.place(origin, digest).holders[repository] = None


class _ModelCopy(Struct):
    run_of: Copier
    model: PlannedModel
    target: ModelTarget
    origin: HTTPOrigin
    placements: Counter[Placement] = field(default_factory=Counter)
    sent: int = 0
    _tried: bool = False

    async def run(self) -> ModelDone:
        for manifest in (self.model.manifest, *self.model.children):
            await self.run_of.source.check(manifest)
        there = await self._look()
        if len(there) == len(self.model.references) and not self.run_of.recheck:
            # A registry takes a manifest only with all its blobs, and keeps those that one names: one request instead
            # of one for each blob, as regctl has it.
            self._all_present()
        else:
            await self._copy_blobs()
        assert self.placements.total() == len(self.model.blobs), "the manifest goes behind all of its blobs (P1)"
        await self._put_manifests(there)
        return ModelDone(
            self.model.name.short,
            self.model.target,
            self.model.manifest.digest,
            uploaded=self.placements[Placement.UPLOADED],
            mounted=self.placements[Placement.MOUNTED],
            present=self.placements[Placement.PRESENT],
            sent=self.sent,
        )

    async def _copy_blobs(self) -> None:
        # Two lanes, so that small blobs never wait behind big ones; the biggest first, so that the last to end is
        # not the last to begin.
        blobs = sorted(self.model.blobs, key=lambda blob: -blob.size)
        large = iter([blob for blob in blobs if blob.size > SINGLE_PUT])
        small = iter([blob for blob in blobs if blob.size <= SINGLE_PUT])
        jobs, requests = self._jobs, _REQUESTS_PER_JOB_NEAR if self._is_near else _REQUESTS_PER_JOB
        try:
            async with asyncio.TaskGroup() as group:
                for lane in [large] * jobs + [small] * (jobs * (requests - 1)):
                    group.create_task(self._work(lane))
        except BaseExceptionGroup as error:
            raise unwrapped(error) from None
        if self.run_of.stop.is_set():
            raise Interrupted(f"{self.model.name.short} was stopped before all of it was sent")

    async def _work(self, lane: Iterator[Descriptor]) -> None:
        for blob in lane:
            if self.run_of.stop.is_set():
                return
            try:
                async with self.run_of.place(self.origin, blob.digest).lock, self._held(blob):
                    placed = await self._place(blob)
            except Interrupted:
                return  # the others finish their chunks too
            if placed.placement is Placement.UPLOADED:
                await self._try_mounting(blob)
            self.placements[placed.placement] += 1
            self.sent += placed.sent
            self.run_of.sink(BlobDone(self.target.name, blob, placed.placement, placed.sent))

    async def _try_mounting(self, blob: Descriptor) -> None:
        """Once, where many blobs are still to come."""
        if self._tried or len(self.model.blobs) < _MANY:
            return
        self._tried = True
        with suppress(RegistryPushError):  # then it goes on as it did
            await self.target.try_mounting_itself(blob)

    def _held(self, blob: Descriptor) -> AbstractAsyncContextManager[None]:
        """Keeps other processes from sending the same blob; when one has sent it, it is found there."""
        if self.run_of.journal is None:
            return nullcontext()
        key = UploadKey(str(self.origin), self.target.name, blob.digest)

        def waiting() -> None:
            self.run_of.sink(Warned(f"another process is sending {blob.digest.short}; waiting for it"))

        return self.run_of.journal.held(key, waiting)

    async def _place(self, blob: Descriptor) -> Placed:
        run, name = self.run_of, self.target.name
        candidates = self._mount_candidates(blob)
        if run.is_confirmed(self.origin, name, blob.digest):
            return Placed(Placement.PRESENT)
        if blob.size <= SINGLE_PUT and not candidates and self.target.mounts_itself:
            candidates = [name]  # what is there is mounted, for what is not a session is open at once
        elif await self.target.exists(blob):
            run.confirm(self.origin, name, blob.digest)
            return Placed(Placement.PRESENT)
        body = await run.source.open(blob)
        try:
            placed = await self.target.mount(blob, body, candidates)
        finally:
            await body.close()
        run.confirm(self.origin, name, blob.digest)
        return placed

    @property
    def _jobs(self) -> int:
        """How many bodies go at once. One thread encrypts: where no line is waited for, three of eight keep it busy.

        400 blobs to a registry near by took the same time with three as with four, and 50 MB in place of 52; with two
        1.04 of it.
        """
        jobs = self.run_of.jobs
        return max(min(jobs, 2), jobs * 3 // 8) if self._is_near and self.origin.scheme == "https" else jobs

    @property
    def _is_near(self) -> bool:
        return self.target.round_trip is not None and self.target.round_trip < _NEAR

    def _mount_candidates(self, blob: Descriptor) -> list[str]:
        """Where at this registry the blob may be had: where a run has just seen it, else where its model came from."""
        seen = [name for name in self.run_of.place(self.origin, blob.digest).holders if name != self.target.name]
        if seen:
            return [seen[-1]]
        if blob.from_model is None:
            return []
        try:
            reference = Reference.for_model(ModelName.parse(blob.from_model))
        except UsageError:  # a local path, as `ollama create` writes it: none of the registry's business
            return []
        return [reference.repository] if reference.repository != self.target.name else []

    async def _look(self) -> frozenset[str]:
        """As `_tags_there`. Meanwhile, connections are opened for the blobs."""
        try:
            async with asyncio.TaskGroup() as group:
                opening = group.create_task(self._open_connections())
                there = await self._tags_there()
                opening.cancel()
        except BaseExceptionGroup as error:
            raise unwrapped(error) from None
        return there

    async def _open_connections(self) -> None:
        """One for each body, to a registry that is far: their round trips pass beside the first answer's.

        Five small blobs at 50 ms took 0.93 of the time so, over TLS 0.87.
        """
        await asyncio.sleep(_NEAR)
        if self.origin not in self.run_of.opened:
            self.run_of.opened.add(self.origin)
            await self.target.open_connections(min(self.run_of.jobs, len(self.model.blobs)) - 1)

    async def _tags_there(self) -> frozenset[str]:
        """The tags under which the target has this very manifest."""
        tags = [reference.tag or "" for reference in self.model.references]
        return frozenset([tag for tag in tags if await self.target.digest_of(tag) == self.model.manifest.digest])

    def _all_present(self) -> None:
        for blob in self.model.blobs:
            self.placements[Placement.PRESENT] += 1
            self.run_of.confirm(self.origin, self.target.name, blob.digest)
            self.run_of.sink(BlobDone(self.target.name, blob, Placement.PRESENT, 0))

    async def _put_manifests(self, there: frozenset[str]) -> None:
        if not there:
            for child in self.model.children:
                await self.target.put_by_digest(child)
        for reference in self.model.references:
            tag = reference.tag or ""
            if tag not in there:
                await self.target.tag(self.model.manifest, tag)
            self.run_of.sink(ManifestPushed(reference, self.model.manifest.digest, sent=tag not in there))
