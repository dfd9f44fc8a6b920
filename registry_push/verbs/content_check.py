"""The content of an import, hashed before anything of it is written."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ..content.base import BlobBody
from ..content.hashing import Hasher
from ..content.hashing_target import BrokenBody, Findings, HashingTarget, Verified
from ..content.oci.volume_set import VolumeSet
from ..errors import BlobMissing, ContentDamaged, IntegrityError, Interrupted, printable
from ..events import BlobDone, BlobProgress, BlobStarted, Event, Placement, RunStarted, Sink
from ..model import Descriptor, Digest, Manifest
from ..model.broken_blob import BrokenBlob, described
from ..text.hint import Hint
from ..transfer.copy import Copier
from ..transfer.job import AnyReference, PartialJob
from .copy_plan import CopyPlan

_AGAIN = "carry them over again: the same export makes the same bytes, so that only these files are needed"


async def check_content(
    plan: CopyPlan,
    volumes: VolumeSet,
    held: Mapping[AnyReference, frozenset[Digest]],
    *,
    sink: Sink,
    stop: asyncio.Event,
) -> None:
    """Hash all that the jobs of `plan` need of `volumes`, but for what the target of each `held` before.

    Raises `ContentDamaged`, which names the damaged files, `Interrupted`. Cancelling is safe.
    """
    findings, hasher = Findings(), Hasher(os.cpu_count() or 1)
    at = Verified(repository=volumes.origin, is_remote=False, findings=findings, hasher=hasher, sink=sink, stop=stop)
    jobs = []
    for job in plan.jobs:
        absent = [blob.digest for blob in job.blobs if not await volumes.exists(blob)]
        jobs.append(PartialJob.of(job, held[job.target].union(absent)))
    jobs = [job for job in jobs if job.blobs]
    if not jobs:
        return
    by_target = {job.target: job for job in jobs}

    def target_of(reference: AnyReference) -> HashingTarget:
        job = by_target[reference]
        return HashingTarget(at, job.called, [blob.digest for blob in job.blobs], hint=_hint, look_again=_nothing)

    try:
        told = only_progress(sink, "checking")
        report = await Copier(lambda _: _Checked(volumes), target_of, told, stop=stop).copy(jobs)
    finally:
        hasher.close()
    stopped = [each.error for each in report.failed if isinstance(each.error, Interrupted)]
    if stopped:
        raise Interrupted("stopped before anything was written", hint="run the same command again")
    broken = list(findings.broken.values())
    if broken:
        files = [file for each in broken for file in await volumes.suspects(each.blob.digest)]
        named = printable(", ".join(dict.fromkeys(files)), limit=900)
        raise ContentDamaged(
            f"{named}: {described(broken, sum(len(job.blobs) for job in jobs))}",
            hint=f"nothing was written; {_AGAIN}",
            broken=tuple(broken),
        )
    for failed in report.failed:
        raise failed.error


class _Checked:
    """Opens what can't be opened as a body that can't be read, so that the target remembers it."""

    def __init__(self, volumes: VolumeSet) -> None:
        self._volumes = volumes

    async def open(self, blob: Descriptor) -> BlobBody:
        try:
            return await self._volumes.open(blob)
        except (BlobMissing, IntegrityError) as error:
            return BrokenBody(blob.size, error)

    async def check(self, manifest: Manifest) -> None:
        """Do nothing: every blob is read."""


def _hint(_: Sequence[BrokenBlob]) -> Hint:
    return Hint(())


async def _nothing() -> None:
    """Look at nothing again: nobody writes to what is imported."""


def only_progress(sink: Sink, phase: str) -> Sink:
    """Return a sink that passes on how far a check is, and nothing that would be taken for the command's result."""

    def told(event: Event) -> None:
        match event:
            case RunStarted():
                sink(replace(event, phase=phase))
            case BlobDone():
                sink(replace(event, placement=Placement.PRESENT, sent=0))
            case BlobStarted() | BlobProgress():
                sink(event)

    return told
