"""`TagSync`: brings one tag to one target as an entry of a plan says, or finds that there is nothing to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ...beside import beside
from ...content.base import Target
from ...errors import Interrupted, PlanOutdated, RegistryPushError
from ...events import Action, BlobCounts, ModelDone, ModelFailed, RunGrew, Sink, TagSettled
from ...model import Digest, ModelName, Reference
from ...model.mapping import AnyName, Mapped
from ...model.place import RegistryPlace
from ...root_error import Origin
from ...settings import Settings
from ...transfer.copy import Copier
from ...transfer.dry_run import CheckableTarget, DryRun
from ...transfer.job import AnyJob, AnyReference
from ...transfer.kept_tags import KeptTags
from ..copy_options import CopyOptions
from ..job_reader import JobReader, called
from ..shared import Shared
from ..sources import CopySource
from ..stores import Stores
from .backup import with_backup
from .claims import Held
from .decision import Verdict, at_once, decided
from .naming import tag_of
from .plan import Entry
from .reachable import Reachable
from .tally import Counted, Tally

# Tags that are asked for at once at one target, unless it is the local store: enough to hide 50 ms behind each other.
_ASKED: Final = 16


class Pinned(Struct, frozen=True):
    """What a reviewed plan says of a tag: its manifest at the source, and what the target had. None: no such tag."""

    digest: Digest
    before: Digest | None


class Work(Struct, frozen=True):
    """One tag: `name` at the `source`, which goes to `reference`."""

    entry: Entry
    source: CopySource
    name: AnyName
    reference: AnyReference
    pinned: Pinned | None = None


class TagSync:
    """The tags of one run. `sink` gets an event for each that is settled, and those of the copies."""

    def __init__(
        self,
        stores: Stores,
        shared: Shared,
        settings: Settings,
        sink: Sink,
        held: Held,
        *,
        dry_run: bool,
        stop: asyncio.Event,
        began: datetime,
        begins: Callable[[AnyJob], None],
    ) -> None:
        self._stores = stores
        self._settings = settings
        self._sink = sink
        self._dry_run = dry_run
        self._began = began
        self._held = held
        self._asking: dict[str, asyncio.Semaphore] = {}
        self._sources: dict[AnyReference, CopySource] = {}  # of the copies under way
        self._tallies: dict[AnyReference, Tally] = {}
        self._wraps: dict[AnyReference, Callable[[CheckableTarget], CheckableTarget]] = {}
        self.reachable = Reachable(sink)
        self._copier = Copier(
            lambda job: self._sources[job.target],
            self._target,
            sink,
            journal=shared.journal,
            stop=stop,
            pauses=shared.means.transport.pauses,
            in_flight=shared.places,
            recheck=settings.recheck,
            mounts=settings.mount == "auto",
            begins=begins,
        )

    async def settle(self, work: Work, target_has: Collection[str] = ()) -> TagSettled:
        """Do what the plan says with one tag, tell of it, and return what was done; a failure is no exception.

        `target_has` are tags that the target is known to have, if it was asked. Cancelling is safe.
        """
        started = asyncio.get_running_loop().time()
        settled = await self._settled(work, target_has)
        settled = replace(settled, seconds=asyncio.get_running_loop().time() - started, dry_run=self._dry_run)
        self._sink(settled)
        return settled

    async def _settled(self, work: Work, target_has: Collection[str]) -> TagSettled:
        """Return the result. Report a failure outside of the copy itself as the model's."""
        target = self._stores.target(work.reference)
        if (down := self.reachable.down(host_of(work.name), target.origin)) is not None:  # told once already
            self._sink(ModelFailed(called(work.name), work.reference, down, begun=False))
            return self._result(work, Verdict(Action.FAILED, down.message, error=down))
        try:
            verdict = at_once(work.entry, tag_of(work.name), target_has)
            if verdict is not None:
                return self._result(work, verdict)
            return await self._compared(work, target)
        except RegistryPushError as error:
            error.of_model(work.name.short if isinstance(work.name, ModelName) else None)
            self._failed(work, error)
            self._sink(ModelFailed(called(work.name), work.reference, error, begun=not isinstance(error, Interrupted)))
            return self._result(work, Verdict(Action.FAILED, error.message, error=error))

    async def _compared(self, work: Work, target: CheckableTarget) -> TagSettled:
        digest, there = await self._digests(work, target)
        self.reachable.went_well(host_of(work.name), target.origin)
        if work.pinned is not None:
            self._check_pinned(work, work.pinned, digest, there)
        verdict = decided(work.entry, tag_of(work.name), digest, there, work.reference)
        self._held.add(
            work.reference, [digest] if there is None or verdict.action is Action.COPIED else [digest, there]
        )
        has_place = isinstance(work.reference, Reference) or not work.reference.repository.startswith("ollama:")
        options = CopyOptions(referrers=work.entry.referrers, has_place=has_place)
        looks_closer = verdict.action is Action.PRESENT and (options.looks_always or self._settings.recheck)
        if verdict.error is not None:
            raise verdict.error
        if verdict.action is not Action.COPIED and not looks_closer:
            return self._result(work, verdict, digest, there)
        return await self._copied(work, target, verdict, options, digest, there)

    async def _digests(self, work: Work, target: CheckableTarget) -> tuple[Digest, Digest | None]:
        """Return the digest at the source, and the one at the target. Asks both at once."""
        tag, entry = work.reference.tag or "", work.entry
        is_certain = entry.on_exists != "update" or entry.backup is not None or entry.tags.immutable or work.pinned
        # A registry that does not say digests in HEAD is read: else each run would copy everything again.
        asked = target.read_digest(tag, doubt_absence=bool(is_certain) or self._dry_run)
        async with self._asking.setdefault(target.origin, asyncio.Semaphore(_ASKED)), beside(asked) as there:
            digest = await work.source.digest_of(work.name)
            if digest is None:
                digest = (await work.source.resolve(work.name)).digest
            return digest, await there

    def _check_pinned(self, work: Work, pinned: Pinned, digest: Digest, there: Digest | None) -> None:
        if digest != pinned.digest:
            error = PlanOutdated(f"{work.name} is {digest} now; the plan was made with {pinned.digest}")
            error.read_at_source()
            raise error
        if there not in (pinned.before, pinned.digest):
            had = f"had {pinned.before}" if pinned.before is not None else "had no such tag"
            has = f"is {there} now" if there is not None else "is not there any more"
            raise PlanOutdated(f"{work.reference} {has}; when the plan was made, the target {had}")

    async def _copied(
        self,
        work: Work,
        target: CheckableTarget,
        verdict: Verdict,
        options: CopyOptions,
        digest: Digest,
        there: Digest | None,
    ) -> TagSettled:
        reference, name = work.reference, work.name
        before = {reference.tag or "": there}
        source = work.source
        if isinstance(name, Reference) and name.tag is not None:  # asked for one tag, it also finds cosign's tags
            source = self._stores.source(RegistryPlace(name))
        job = await JobReader(options, self._sink).job(Mapped(name, (reference,)), source, digest, before)
        if work.pinned is not None and job.manifest.digest != work.pinned.digest:
            self._check_pinned(work, work.pinned, job.manifest.digest, there)
        self._held.add(reference, [each.digest for each in job.manifests])
        backup = None
        if verdict.backs_up and there is not None and work.entry.backup is not None:
            date, time = self._began.strftime("%Y-%m-%d"), self._began.strftime("%H%M%S")
            tag = work.entry.backup.tag(tag_of(reference), date, time)
            wrapped = await with_backup(target, reference, there, tag, self._stores)
            backup = wrapped.backup_ref
            self._wraps[reference] = lambda opened: replace(wrapped, target=opened)
        elif work.entry.on_exists != "update" or work.pinned is not None:  # somebody else may be quicker
            self._wraps[reference] = lambda opened: KeptTags(opened, job.tags) if there is None else opened
        self._sources[reference] = source
        self._tallies[reference] = tally = Tally()
        self._sink(RunGrew(blobs=len(job.blobs), size=job.size))
        try:
            done = await self._copier.copy_one(job)
        finally:
            del self._sources[reference], self._tallies[reference]
            self._wraps.pop(reference, None)
        if isinstance(done, ModelFailed):
            if not isinstance(done.error, Interrupted):
                self._failed(work, done.error)
            failed = Verdict(Action.FAILED, done.error.message, error=done.error)
            settled = self._result(work, failed, job.manifest.digest, there)
            kept = backup if backup in tally.refs else None
            return replace(settled, backup=kept, bytes=tally.bytes, blobs=tally.blobs)
        return self._outcome(work, verdict, job, done, there, backup)

    def _outcome(
        self,
        work: Work,
        verdict: Verdict,
        job: AnyJob,
        done: ModelDone,
        there: Digest | None,
        backup: str | None,
    ) -> TagSettled:
        if verdict.action is Action.PRESENT and not done.is_there_already:
            what = "referrers were new" if done.referrers else "blobs were missing"
            verdict = Verdict(Action.COPIED, f"the target had the manifest; {what}")
        settled = self._result(work, verdict, job.manifest.digest, there)
        return replace(
            settled,
            backup=backup,
            bytes=done.sent,
            blobs=BlobCounts(done.uploaded, done.mounted, done.present or 0),
            referrers=done.referrers,
        )

    def _failed(self, work: Work, error: RegistryPushError) -> None:
        is_source = error.origin is Origin.SOURCE
        self.reachable.failed(host_of(work.name) if is_source else self._stores.target(work.reference).origin, error)

    def _result(
        self, work: Work, verdict: Verdict, digest: Digest | None = None, there: Digest | None = None
    ) -> TagSettled:
        return TagSettled(
            work.entry.number,
            called(work.name),
            work.reference,
            verdict.action,
            verdict.reason,
            digest=digest,
            previous=there,
            error=verdict.error,
        )

    def _target(self, reference: AnyReference) -> Target:
        opened: CheckableTarget = Counted(self._stores.target(reference), self._tallies[reference])
        if (wrap := self._wraps.get(reference)) is not None:
            opened = wrap(opened)
        return DryRun(opened) if self._dry_run else opened


def host_of(name: AnyName) -> str:
    """Return the registry that `name` is at, or what stands for the local store."""
    return name.host if isinstance(name, Reference) else "this machine"
