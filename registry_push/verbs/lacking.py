"""What an import lacks: blobs that are not in its files, and whether the target has them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct

from ..content.base import BlobBody, Placed
from ..content.oci.volume_set import VolumeSet
from ..errors import VolumeMissing, unwrapped
from ..events import Placement
from ..model import Descriptor, Digest, Manifest
from ..transfer.dry_run import CheckableTarget, WrappedTarget
from ..transfer.job import AnyJob, AnyReference
from .copy import TargetOf

# Blobs that a target is asked for at once.
_AT_ONCE: Final = 8
# Files that a message names.
_NAMED: Final = 8


class Lack(Struct, frozen=True):
    """Of one model, the blobs that are neither here nor at the target, and those that the target `held` before.

    `absent` are in files that were not given, or a part of them is; `required` are in no volume.
    """

    absent: Mapping[Digest, tuple[str, ...]]
    required: tuple[Digest, ...]
    held: frozenset[Digest]


async def lacking_of(jobs: Sequence[AnyJob], volumes: VolumeSet, target_of: TargetOf) -> Mapping[AnyReference, Lack]:
    """Return what each of `jobs` lacks, by its target. Raises what asking the target raises."""
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def looked_at(job: AnyJob) -> Lack:
        missing = [blob for blob in job.blobs if not await volumes.exists(blob)]
        async with at_once:
            target = target_of(job.target)
            missing = [blob for blob in missing if not await target.exists(blob)]
            held = await _held(job, target)
        files = {blob.digest: await volumes.files_needed(blob.digest) for blob in missing}
        return Lack(
            {digest: found for digest, found in files.items() if found},
            tuple(digest for digest, found in files.items() if not found),
            held,
        )

    try:
        async with asyncio.TaskGroup() as group:
            tasks = {job.target: group.create_task(looked_at(job)) for job in jobs}
    except BaseExceptionGroup as error:
        raise unwrapped(error) from None
    return {target: task.result() for target, task in tasks.items()}


async def _held(job: AnyJob, target: CheckableTarget) -> frozenset[Digest]:
    """Return the blobs of `job` that are not written, since the target has them: all of them, if it has the manifest.

    A registry is not asked for each of the others.
    """
    if {await target.digest_of(reference.tag or "") for reference in job.references} == {job.manifest.digest}:
        return frozenset(blob.digest for blob in job.blobs)
    if not target.traits.is_local:
        return frozenset()
    return frozenset([blob.digest for blob in job.blobs if await target.exists(blob)])


class Incomplete(WrappedTarget, frozen=True):
    """Takes the blobs of a model that waits for volumes, and its manifest only if it has all of them after all.

    `waits` are the files that each of its blobs waits for; `tried` are the blobs of which a part was put in this run.
    """

    waits: dict[Digest, tuple[str, ...]]
    tried: dict[Digest, tuple[str, ...]]
    keep: Callable[[Digest, VolumeMissing], Awaitable[tuple[str, ...]]]

    async def put(self, blob: Descriptor, body: BlobBody, *, candidates: Collection[str] = ()) -> Placed:
        """As the wrapped target, which keeps the beginning of a blob of which a part is missing.

        What comes after that part is kept by `keep`.
        """
        if blob.digest not in self.tried:
            try:
                return await self.target.put(blob, body, candidates=candidates)
            except VolumeMissing as missing:
                self.tried[blob.digest] = await self.keep(blob.digest, missing)
        self.waits[blob.digest] = self.tried[blob.digest]
        return Placed(Placement.PARTIAL)

    async def put_manifest(self, manifest: Manifest, ref: str) -> None:
        """As the wrapped target, if all is there. Raises `VolumeMissing`."""
        there = {blob.digest for blob in manifest.blobs if blob.digest in self.waits and await self.exists(blob)}
        waits = [found for digest, found in self.waits.items() if digest not in there]
        files = tuple(sorted({file for found in waits for file in found}))
        if not files:
            await self.target.put_manifest(manifest, ref)
            return
        named = ", ".join(files[:_NAMED]) + (", …" if len(files) > _NAMED else "")
        raise VolumeMissing(f"{named} {'is' if len(files) == 1 else 'are'} missing", files=files)
