"""`WithBackup`: a target that keeps what a tag was before it is moved."""

from __future__ import annotations

from typing import Final

from ...errors import RemoteMismatch, TagTaken
from ...model import Digest, Manifest
from ...model.place import LayoutPlace, RegistryPlace
from ...transfer.dry_run import CheckableTarget, WrappedTarget
from ...transfer.job import AnyReference
from ..stores import Stores

# Backups of one tag with the same name.
_MOST: Final = 100


class WithBackup(WrappedTarget, frozen=True):
    """Puts `backup` under `backup_ref` before another manifest is put under `ref`."""

    ref: str
    backup: Manifest
    backup_ref: str

    async def put_manifest(self, manifest: Manifest, ref: str) -> None:
        """As the wrapped target, after the backup."""
        if ref == self.ref:
            await self.target.put_manifest(self.backup, self.backup_ref)
        await self.target.put_manifest(manifest, ref)


async def with_backup(
    target: CheckableTarget, reference: AnyReference, previous: Digest, backup_tag: str, stores: Stores
) -> WithBackup:
    """Return `target`, which will keep the manifest `previous`, now under `reference`, as `backup_tag`.

    If that tag has another manifest, a number is added. Raises `RemoteMismatch` if the target was changed meanwhile,
    `TagTaken` if there are too many backups, `InvalidName` for a tag that no registry takes.
    """
    reference.at(tag=backup_tag)  # raises for one that is too long
    if reference.host:
        source = stores.source(RegistryPlace(reference))  # type: ignore[arg-type]
    else:
        source = stores.source(LayoutPlace(reference.repository.removeprefix("oci:"), reference.tag))
    manifest = await source.resolve(reference)
    if manifest.digest != previous:
        raise RemoteMismatch(f"{reference} was {previous}, and is {manifest.digest} now: somebody else moves it too")
    path, colon, _ = (reference.tag or "").rpartition(":")
    for number in range(1, _MOST + 1):
        numbered = backup_tag if number == 1 else f"{backup_tag}-{number}"
        ref = numbered if reference.host else f"{path}{colon}{numbered}"
        if await target.read_digest(ref) in (None, previous):
            return WithBackup(target, reference.tag or "", manifest, ref)
    raise TagTaken(
        f"{reference} has {_MOST} backups called {backup_tag}", hint="put {time} into the name of the backup"
    )
