"""A target whose tags are not moved (`--no-clobber`)."""

from __future__ import annotations

from ..errors import TagTaken
from ..model import Digest, Manifest
from .dry_run import WrappedTarget


class KeptTags(WrappedTarget, frozen=True):
    """A tag under which there is another manifest than `digest` is an error.

    It is looked at before anything is sent, and again before the tag is set: somebody else may have been quicker.
    """

    digest: Digest

    async def digest_of(self, ref: str) -> Digest | None:
        """As the wrapped target. Raises `TagTaken` if it is another manifest's."""
        found = await self.target.read_digest(ref)
        if found not in (None, self.digest):
            raise TagTaken(
                f"the tag {ref} of {self.target.name} is there already, and is {found}",
                hint="give the model another tag: --to HOST/PATH:TAG; or, to replace what is there, leave out "
                "--no-clobber",
            )
        return found

    async def read_digest(self, ref: str, *, doubt_absence: bool = True) -> Digest | None:
        """As `digest_of`."""
        return await self.digest_of(ref)

    async def put_manifest(self, manifest: Manifest, ref: str) -> None:
        """As the wrapped target, if the tag is free. Raises `TagTaken`."""
        if ":" not in ref:
            await self.digest_of(ref)
        await self.target.put_manifest(manifest, ref)
