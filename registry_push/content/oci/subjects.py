"""Which manifests of a layout are about which others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ...errors import BlobMissing, IntegrityError
from ...model import Descriptor, Digest, Manifest
from ...model.manifest import MANIFEST_TYPES
from .index import LayoutIndex


class IndexReader(Protocol):
    """A layout, wherever it lies."""

    async def index(self) -> LayoutIndex:
        """Return what `index.json` says."""
        ...

    async def manifest(self, entry: Descriptor) -> Manifest:
        """Return the manifest that `entry` describes."""
        ...


async def referrers_in(layout: IndexReader) -> Mapping[Digest, tuple[Digest, ...]]:
    """Return the manifests in `index.json` by their subject. One that can't be read has none."""
    found: dict[Digest, dict[Digest, None]] = {}
    for entry in (await layout.index()).readable():
        if entry.media_type not in MANIFEST_TYPES:
            continue
        try:
            manifest = await layout.manifest(entry)
        except (BlobMissing, IntegrityError):
            continue
        if manifest.subject is not None:
            found.setdefault(manifest.subject, {})[manifest.digest] = None
    return {subject: tuple(digests) for subject, digests in found.items()}
