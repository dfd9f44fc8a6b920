"""Import: what was exported, from its files or folders into any place."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ..content.oci.kept_parts import KeptParts
from ..content.oci.volume_set import VolumeSet
from ..content.ollama.files import WORK
from ..content.optional_files import is_folder, is_there
from ..content.read_errors import read_error
from ..content.threads import in_thread
from ..content.write_errors import check_writable, free_bytes
from ..errors import (
    BlobMissing,
    ContentDamaged,
    IntegrityError,
    InvalidName,
    StoreNotFound,
    Unavailable,
    UsageError,
    VolumeMissing,
    printable,
    quoted,
)
from ..events import BlobDone, Event, ModelFailed, Placement, Sink, Warned, ignore
from ..model import Digest, Manifest, ModelName
from ..model.mapping import AnyName, CopyTarget, parse_copy_target
from ..model.place import (
    ArchivePlace,
    LayoutPlace,
    OllamaPlace,
    SourcePlace,
    parse_place,
)
from ..settings import Settings
from ..state.copy_details import CopyDetails
from ..text.hint import Command, step
from ..text.sizes import size as shown
from ..transfer.dry_run import CheckableTarget
from ..transfer.job import AnyJob, AnyReference, PartialJob
from ..transfer.report import Report
from .content_check import check_content
from .copy import TargetOf, Variant, copy_each
from .copy_options import CopyOptions
from .copy_plan import CopyPlan
from .lacking import Incomplete, Lack, lacking_of
from .sources import CopySource, LayoutSource
from .stores import Stores, local_store
from .verify_plan import is_damage

_TAR: Final = ".tar"
# Digests that a message names; `--json` has all.
_NAMED: Final = 5


class Import(Struct, frozen=True):
    """How an import ended: the report, without models that are not complete yet, and which files those wait for."""

    report: Report
    missing: Mapping[str, tuple[str, ...]]


async def import_models(
    files: Sequence[str],
    to: str,
    *,
    partial: bool = False,
    check: bool = True,
    referrers: str | None = None,
    dry_run: bool = False,
    settings: Settings | None = None,
    sink: Sink = ignore,
    stop: asyncio.Event | None = None,
) -> Import:
    """Import all that is in the archives, volumes or folders `files`, which are read as one, to the place `to`.

    Before anything is written, missing volumes are named, and blobs that an export has left out and the target lacks
    (`BlobMissing`); and with `check`, all content is hashed (`ContentDamaged`). With `partial`, volumes may be missing:
    what is in the others is written, and models appear with the last one that they need. Raises as `copy` besides.
    Cancelling is safe: copied content is kept, and a model appears when all of it is there.
    """
    settings, stop = settings or Settings(), stop or asyncio.Event()
    target = parse_copy_target(to)
    places = import_places(files)
    options = CopyOptions.of((), referrers, None, target)
    work = _Importing(target, settings, sink, stop, partial=partial, check=check)
    variant = Variant(
        "import",
        sources=work.sources,
        before=work.before,
        target=work.target,
        details=CopyDetails(partial=partial, check=check),
    )
    report = await copy_each(
        places, target, options, variant=variant, dry_run=dry_run, settings=settings, sink=work.tell, stop=stop
    )
    if not dry_run:
        await work.clean()
    missing = {each.model: each.error.files for each in report.failed if isinstance(each.error, VolumeMissing)}
    models = tuple(each for each in report.models if each.model not in missing)
    return Import(replace(report, models=models), dict(sorted(missing.items())))


def import_places(files: Sequence[str]) -> list[LayoutPlace | ArchivePlace]:
    """Return the archives and folders that `files` name: paths, or places as copy takes them.

    A folder without a layout stands for the archives in it. Raises `UsageError`, `StoreNotFound`.
    """
    if not files:
        raise UsageError("name what to import", hint="an archive, its volumes, or a folder: registry-push import FILE…")
    found: list[LayoutPlace | ArchivePlace] = []
    for text in files:
        if text.startswith(("oci:", "oci-archive:")):
            place = parse_place(text)
            assert isinstance(place, LayoutPlace | ArchivePlace), "it has one of their prefixes"
            if place.ref is not None:
                raise UsageError(
                    f"{quoted(text)} names one manifest, and an import takes all",
                    hint=step("for one of them: ", Command("copy SRC DST")),
                )
            found.append(place)
        else:
            found += _places_at(text)
    return list(dict.fromkeys(found))


def _places_at(text: str) -> Iterable[LayoutPlace | ArchivePlace]:
    path = Path(text)
    if not is_folder(path):
        return [ArchivePlace(text, None)]
    if is_there(path / "index.json"):
        return [LayoutPlace(text, None)]
    try:
        archives = sorted(str(each) for each in path.iterdir() if each.name.endswith(_TAR))
    except OSError as error:
        raise read_error(error, text, path=path) from error
    if not archives:
        raise StoreNotFound(
            f"{text} has no index.json and no archive", hint="name the folder that was exported, or that holds archives"
        )
    return [ArchivePlace(each, None) for each in archives]


class _Source(LayoutSource):
    """The volumes. What is not in them is not missed here: the target is asked for it before anything is written."""

    def __init__(self, volumes: VolumeSet, *, partial: bool) -> None:
        super().__init__(volumes, volumes.origin, None)
        self._volumes = volumes
        self._partial = partial
        self.check = self._check_sizes

    async def names(self) -> tuple[AnyName, ...]:
        """As `LayoutSource.names`. Raises `BlobMissing` if volumes are missing, unless they may be."""
        if not self._partial:
            await self._volumes.refuse_incomplete()
        return await super().names()

    async def _check_sizes(self, manifest: Manifest) -> None:
        await in_thread(self._volumes.check_sizes, manifest.blobs)


class _Importing:
    """What one import checks before it writes, and what it waits for."""

    def __init__(
        self, to: CopyTarget, settings: Settings, sink: Sink, stop: asyncio.Event, *, partial: bool, check: bool
    ) -> None:
        self._to = to
        self._settings = settings
        self._sink = sink
        self._stop = stop
        self._partial = partial
        self._checks = check
        self._volumes: VolumeSet | None = None
        self._waiting: dict[AnyReference, dict[Digest, tuple[str, ...]]] = {}
        self._useless: set[Digest] = set()  # blobs of which no kept part is needed any more
        self._blobs: dict[str, frozenset[Digest]] = {}
        self._tried: dict[Digest, tuple[str, ...]] = {}
        self._shorts: dict[str, str] = {}  # what each model was called where it was exported

    def sources(self, stores: Stores, places: Sequence[SourcePlace]) -> Sequence[CopySource]:
        """Open all of `places` as one."""
        files = [place for place in places if isinstance(place, LayoutPlace | ArchivePlace)]
        self._volumes = stores.volumes(files)
        self._volumes.kept = self._kept()
        return [_Source(self._volumes, partial=self._partial)]

    def _kept(self) -> KeptParts | None:
        """Return where parts are kept that come before their turn; None for a target that has no disk here."""
        match self._to:
            case OllamaPlace():
                return KeptParts(local_store(self._settings) / WORK / "parts")
            case LayoutPlace(path):
                return KeptParts(Path(path) / ".parts")
            case _:
                return None

    async def clean(self) -> None:
        """Remove the parts of blobs that are at the target now, or that were not right."""
        assert self._volumes is not None, "it is open"
        if self._volumes.kept is not None:
            await in_thread(self._volumes.kept.forget, self._useless)

    async def before(self, plan: CopyPlan, target_of: TargetOf) -> None:
        """Check all that can be known before anything is written."""
        volumes = self._volumes
        assert volumes is not None, "it is open"
        for settled in plan.settled:
            if isinstance(settled, ModelFailed) and is_damage(settled.error):
                raise settled.error
        self._shorts = {job.called: _exported_as(job.name) for job in plan.jobs}
        self._blobs = {job.called: frozenset(blob.digest for blob in job.blobs) for job in plan.jobs}
        lacking = await lacking_of(plan.jobs, volumes, target_of)
        self._refuse_required(plan.jobs, lacking)
        if self._checks:
            held = {target: lack.held for target, lack in lacking.items()}
            try:
                await check_content(plan, volumes, held=held, sink=self._sink, stop=self._stop)
            except ContentDamaged as error:
                self._useless |= {each.blob.digest for each in error.broken}
                await self.clean()
                raise
        await self._check_disk(plan.jobs, target_of)
        for n, job in enumerate(plan.jobs):
            if absent := lacking[job.target].absent:
                plan.jobs[n] = PartialJob.of(job, frozenset(await self._never([*absent])))
                self._waiting[job.target] = dict(absent)

    def target(self, reference: AnyReference, target: CheckableTarget) -> CheckableTarget:
        """Return the target, which takes no manifest of a model that is not complete."""
        waits = self._waiting.get(reference)
        if waits is None:
            return target
        assert self._volumes is not None, "it is open"
        return Incomplete(target, waits, self._tried, self._volumes.keep)

    def tell(self, event: Event) -> None:
        """Pass events on; that a model waits for volumes is no failure."""
        if isinstance(event, ModelFailed) and isinstance(event.error, VolumeMissing):
            event = Warned(f"{self._shorts.get(event.model, event.model)} is not complete yet: {event.error.message}")
        if isinstance(event, BlobDone) and event.placement is not Placement.PARTIAL:
            self._useless.add(event.blob.digest)
        if isinstance(event, ModelFailed) and isinstance(event.error, IntegrityError):  # perhaps what was kept is wrong
            self._useless |= self._blobs.get(event.model, frozenset())
        self._sink(event)

    def _refuse_required(self, jobs: Sequence[AnyJob], lacking: Mapping[AnyReference, Lack]) -> None:
        """Raise `BlobMissing` for what no volume brings, and the target lacks."""
        models = {job.name: lacking[job.target].required for job in jobs if lacking[job.target].required}
        if not models:
            return
        digests = list(dict.fromkeys(digest for each in models.values() for digest in each))
        named = ", ".join(map(str, digests[:_NAMED])) + (
            f" and {len(digests) - _NAMED} more" if digests[_NAMED:] else ""
        )
        names = printable(" ".join(map(_exported_as, models)), limit=400)
        count = "1 blob that was" if len(digests) == 1 else f"{len(digests)} blobs that were"
        raise BlobMissing(
            f"the target lacks {count} left out of the export, which was made for a target that has them: {named}",
            hint=step(
                "on the other side, export without --since, or since an inventory that was made here now: ",
                Command(f"export {names} --to FILE.tar"),
            ),
        )

    async def _check_disk(self, jobs: Sequence[AnyJob], target_of: TargetOf) -> None:
        """Raise `Unavailable` if the disk of a local target has too little room, `Unwritable` if it takes nothing."""
        match self._to:
            case OllamaPlace():
                folder = local_store(self._settings)
                any_blob = folder / "blobs" / "any"
            case LayoutPlace(path):
                folder = Path(path)
                any_blob = folder / "blobs" / "sha256" / "any"
            case _:
                return
        blobs = {blob: job for job in jobs for blob in job.blobs}
        needed = sum([blob.size for blob, job in blobs.items() if not await target_of(job.target).exists(blob)])
        if not needed:
            return
        await in_thread(check_writable, any_blob)
        free = await in_thread(free_bytes, folder)
        if free is not None and free < needed:
            raise Unavailable(
                f"{folder} has room for {shown(free)}, and {shown(needed)} are to be written",
                hint="make room, or name another place; nothing was written",
            )

    async def _never(self, digests: Sequence[Digest]) -> Sequence[Digest]:
        """Return those of `digests` of which there is not even a part."""
        assert self._volumes is not None, "it is open"
        return [digest for digest in digests if not await in_thread(self._volumes.has_part, digest)]


def _exported_as(name: AnyName) -> str:
    """Return what the model is called where it was exported."""
    called = name.short if isinstance(name, ModelName) else name.tag or str(name.digest)
    try:
        return ModelName.parse(called).short
    except InvalidName:
        return called
