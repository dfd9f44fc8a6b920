"""`ReferrerIndex`: the list of referrers that a registry does not keep itself, as an index under a tag.

The tag is made of the subject's digest (distribution-spec 1.1, "Pushing Manifests with Subject" and "Referrers Tag
Schema").
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import ManifestCorrupt, ModelNotFound
from ..model import Digest, Manifest
from ..model.manifest import OCI_INDEX
from ..model.referrers import fallback_tag, is_fallback, with_referrer, with_what_is_there
from .referrer_list import read_index

if TYPE_CHECKING:
    from .repository import Repository

Put = Callable[[Manifest, str], Coroutine[Any, Any, object]]


class ReferrerIndex:
    """The indexes of `repository`. `put` puts a manifest as it is; `lock` is held while one is read and written."""

    def __init__(self, repository: Repository, put: Put, lock: asyncio.Lock) -> None:
        self._repository = repository
        self._put = put
        self._lock = lock
        self._listed: dict[Digest, frozenset[Digest]] = {}  # by what they are about, as it was when it was asked for

    def keeps(self, tag: str) -> bool:
        """Return whether `tag` is that of an index."""
        return is_fallback(tag)

    async def lists(self, referrer: Manifest) -> bool:
        """Return whether the registry lists `referrer`, or else the index does."""
        subject = referrer.subject
        if subject is None:
            return True
        if subject not in self._listed:
            found = await self._repository.referrers(subject)
            if found is None:
                with suppress(ModelNotFound, ManifestCorrupt):
                    found = read_index(await self._repository.resolve(fallback_tag(subject)), subject)
            self._listed[subject] = frozenset(each.digest for each in found or ())
        return referrer.digest in self._listed[subject]

    async def put(self, index: Manifest, tag: str) -> None:
        """Put `index` under `tag`, with the entries that the registry's index has."""
        async with self._lock:
            raw, there = index.raw, await self._repository.digest_of(tag)
            if there not in (None, index.digest):
                with suppress(ModelNotFound, ManifestCorrupt):
                    raw = with_what_is_there(raw, (await self._repository.resolve(tag)).raw)
            await self._put(Manifest.parse(raw, media_type=index.media_type), tag)

    async def add(self, manifest: Manifest, subject: Digest) -> None:
        """Add `manifest` to the index of what is about `subject`."""
        tag = fallback_tag(subject)
        async with self._lock:
            try:
                before = (await self._repository.resolve(tag)).raw
            except ModelNotFound:
                before = None
            index = with_referrer(before, manifest)
            if index is not None:
                await self._put(Manifest.parse(index, media_type=OCI_INDEX), tag)
