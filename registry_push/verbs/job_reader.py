"""`JobReader`: reads from a source all that is copied with one manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ..beside import beside
from ..errors import RemoteMismatch
from ..events import Sink, Warned
from ..model import Digest, Manifest, ModelName
from ..model.mapping import AnyName, Mapped
from ..transfer.job import AnyJob, Job, Referrer
from .copy_options import CopyOptions
from .referrers import attached_ref, referrers_of
from .sources import CopySource


class JobReader:
    """Reads manifests, the manifests that they list, and referrers as `options` want them."""

    def __init__(self, options: CopyOptions, sink: Sink) -> None:
        self._options = options
        self._sink = sink

    async def job(
        self, each: Mapped, source: CopySource, digest: Digest | None, before: Mapping[str, Digest | None] | None
    ) -> AnyJob:
        """Return the job to copy `each`; `digest` is what the source has said to have, and `before` what the target
        has under each tag, if they were asked.

        Raises `ModelNotFound`, `ManifestCorrupt`, `RemoteMismatch` and what reading raises.
        """
        manifest, about = await self._read(each, source, digest)
        if digest not in (None, manifest.digest) and await source.digest_of(each.name) != manifest.digest:
            raise RemoteMismatch(f"the source gave {manifest.digest} for {each.name}, whose digest is {digest}")
        children = await source.children(manifest)
        referrers = await self._referrers(each, source, (manifest, *children), about)
        return Job(each.name, manifest, each.references, children, referrers, before)

    async def _read(
        self, each: Mapped, source: CopySource, digest: Digest | None
    ) -> tuple[Manifest, tuple[str, ...] | None]:
        """Return the manifest, and the referrers of `digest`, if it is known and they matter. Asks for both at once."""
        if digest is None or not self._options.asks_for_referrers:
            return await source.resolve(each.name), None
        async with beside(source.about(digest)) as asking:
            manifest = await source.resolve(each.name)
            return manifest, await asking if manifest.digest == digest else None

    async def _referrers(
        self, each: Mapped, source: CopySource, manifests: Sequence[Manifest], about: tuple[str, ...] | None
    ) -> tuple[Referrer, ...]:
        """Return what is copied with the manifest; `about` is what the source has already said to be about it."""
        options = self._options
        if about is None and options.asks_for_referrers:
            about = await source.about(manifests[0].digest)
        if options.only_counts and (count := len(about or ())):
            what = f"{count} {'referrer' if count == 1 else 'referrers'} of {called(each.name)}"
            self._sink(Warned(f"{what} left behind: an Ollama store has no place for them"))
        if not options.wants_any and options.required is None:
            return ()
        found = await referrers_of(source, manifests, about or (), kind=options.kind, required=options.required)
        if not options.wants_any:
            return ()
        return tuple(replace(one, ref=attached_ref(each.references[0], one.ref)) for one in found)


def called(name: AnyName) -> str:
    """Return `name` as messages have it."""
    return name.short if isinstance(name, ModelName) else str(name)
