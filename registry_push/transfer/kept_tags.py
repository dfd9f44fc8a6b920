"""A target whose tags are not moved (`--no-clobber`)."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import TagTaken
from ..model import Digest, Manifest
from ..text.hint import Setting, step
from .dry_run import WrappedTarget


class KeptTags(WrappedTarget, frozen=True):
    """Refuses to move a tag: it is an error if it names another manifest than in `digests`.

    The tag is checked before anything is sent, and again before it is set: somebody else may have been quicker.
    """

    digests: Mapping[str, Digest]  # by tag

    async def digest_of(self, ref: str) -> Digest | None:
        """As the wrapped target. Raises `TagTaken` if it is another manifest's."""
        if ref not in self.digests:
            return await self.target.digest_of(ref)
        found = await self.target.read_digest(ref)
        if found not in (None, self.digests[ref]):
            raise TagTaken(
                f"the tag {ref} of {self.target.name} is there already, and is {found}",
                hint=step(
                    "give the model another tag: ",
                    Setting("to", "HOST/PATH:TAG"),
                    "; or, to replace what is there, leave out ",
                    Setting("no_clobber"),
                ),
            )
        return found

    async def read_digest(self, ref: str, *, doubt_absence: bool = True) -> Digest | None:
        """As `digest_of`."""
        return await self.digest_of(ref)

    async def put_manifest(self, manifest: Manifest, ref: str) -> None:
        """As the wrapped target, if the tag is free. Raises `TagTaken`."""
        if ref in self.digests:
            await self.digest_of(ref)
        await self.target.put_manifest(manifest, ref)
