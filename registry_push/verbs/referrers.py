"""The referrers of what is copied: found depth-first, within bounds, each once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ..errors import IntegrityError, ModelNotFound, ProtocolViolation, RemoteMismatch
from ..model import Digest, Manifest, Reference
from ..model.referrers import kind_of
from ..text.hint import Setting, step
from ..transfer.job import AnyReference, Referrer
from .sources import CopySource

# Referrers of one manifest, and how deep they may be about each other: a signature of a bill of materials of an
# attestation is three. More is an attack, or a cycle.
_MOST: Final = 1000
_DEEPEST: Final = 4
# Bytes of all referrers of one manifest. They are held in memory until they are put; each has some hundred bytes, since
# its content is in its blobs.
_MOST_BYTES: Final = 64 * 1024 * 1024
_WITHOUT: Final = step("copy without them: ", Setting("referrers", "none"))


async def referrers_of(
    source: CopySource, manifests: Sequence[Manifest], about: Sequence[str], *, kind: str | None, required: str | None
) -> tuple[Referrer, ...]:
    """Return the referrers of `manifests` at the source, their referrers, and so on, each after its subject.

    Of those that are about `manifests` only the ones of the artifact type `kind` are taken, and all that is about them.
    `about` is what the source has said already of the first of `manifests`. `ref` of each is its name at the source.
    Raises `IntegrityError` if none has the type `required`.
    """
    walk = _Walk(source, {manifests[0].digest: about})
    for manifest in manifests:
        await walk.about(manifest.digest, 1, kind)
    if required is not None and not any(kind_of(each.manifest) == required for each in walk.found.values()):
        raise IntegrityError(
            f"there is no referrer of type {required}, which --require-referrer asks for",
            hint=step("sign it at the source first; or leave ", Setting("require_referrer"), " out"),
        )
    return tuple(walk.found.values())


class _Walk:
    def __init__(self, source: CopySource, known: Mapping[Digest, Sequence[str]]) -> None:
        self._source = source
        self._known = known
        self.found: dict[str, Referrer] = {}
        self._seen: set[Digest] = set()
        self._left = _MOST_BYTES

    async def about(self, subject: Digest, depth: int, kind: str | None) -> None:
        """Find the referrers of `subject`, which is `depth` steps from the copied manifest."""
        if subject in self._seen:
            return
        self._seen.add(subject)
        refs = self._known[subject] if subject in self._known else await self._source.about(subject)
        if refs and depth > _DEEPEST:
            raise ProtocolViolation(
                f"referrers of referrers are more than {_DEEPEST} deep, at {subject}", hint=_WITHOUT
            )
        if len(refs) > _MOST:
            raise ProtocolViolation(f"{subject} has {len(refs)} referrers; at most {_MOST} are copied", hint=_WITHOUT)
        for ref in refs:
            if ref in self.found:
                continue
            try:
                manifest = await self._source.manifest(ref)
            except ModelNotFound:  # it was deleted since it was listed
                continue
            if manifest.subject not in (None, subject):  # at the target it would be about that other one
                error = RemoteMismatch(f"{manifest.digest} is listed as about {subject}, and is about another manifest")
                error.read_at_source()
                raise error
            if kind is not None and kind_of(manifest) != kind:
                continue
            children = await self._source.children(manifest)
            self._left -= sum(len(each.raw) for each in (manifest, *children))
            if self._left < 0:
                raise ProtocolViolation(
                    f"what is about {subject} has manifests of over {_MOST_BYTES} bytes", hint=_WITHOUT
                )
            self.found[ref] = Referrer(manifest, ref, children)
            await self.about(manifest.digest, depth + 1, None)


def attached_ref(main: AnyReference, ref: str) -> str:
    """Return the ref for a referrer beside `main`: its digest, or the tag that `ref` ends in."""
    if ref.startswith("sha256:"):
        return ref
    tag = ref.rpartition(":")[2]
    model, colon, _ = (main.tag or "").rpartition(":")
    return tag if isinstance(main, Reference) or not colon else f"{model}:{tag}"
