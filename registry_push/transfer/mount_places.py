"""`MountPlaces`: the repositories from which a target can mount the blobs of one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ..content.base import Target
from ..errors import UsageError
from ..events import Placement
from ..model import Descriptor, Digest, ModelName, Reference, UploadKey
from ..state.journal import Journal
from .context import Context

# Bytes. Sending a smaller blob is as fast as mounting it; templates and parameters have some hundred bytes.
_WORTH_REMEMBERING: Final = 4096


class MountPlaces:
    """Where `blobs` are at the registry of `target`, as this run, others and earlier ones have seen."""

    def __init__(self, context: Context, blobs: Sequence[Descriptor], target: Target) -> None:
        self._context = context
        self._target = target
        self._large = [blob.digest for blob in blobs if blob.size >= _WORTH_REMEMBERING]
        self._known: dict[Digest, list[str]] | None = None  # by earlier runs, once that was asked
        self._mounts = context.mounts and target.traits.mounts

    def holders(self, blob: Descriptor) -> list[str]:
        """Return the other repositories in which a run has just seen the blob, the latest last.

        If this process has seen none: the one into which another has put it since this run began, or where earlier runs
        have seen it.
        """
        run, target = self._context, self._target
        seen = [name for name in run.holders.blob(target.origin, blob.digest).holders if name != target.name]
        if seen or run.journal is None or not self._mounts:
            return seen
        elsewhere = run.journal.placed_in(UploadKey(target.origin, target.name, blob.digest), run.began)
        if elsewhere is None and blob.size >= _WORTH_REMEMBERING:
            return self._known_places(run.journal).get(blob.digest, [])[::-1]
        return [elsewhere] if elsewhere is not None else []

    def candidates(self, blob: Descriptor, holders: list[str]) -> list[str]:
        """Return the repositories to mount from: the last of `holders`, else where the blob's model came from."""
        if not self._mounts:
            return []
        if holders:
            return holders[-1:] if self._context.holders.mounts(self._target.origin) else []
        if blob.from_model is None:
            return []
        try:
            reference = Reference.for_model(ModelName.parse(blob.from_model))
        except UsageError:  # a local path, as `ollama create` writes it, which the registry must not learn
            return []
        return [reference.repository] if reference.repository != self._target.name else []

    def refused(self, holder: str, blob: Descriptor) -> None:
        """Note that the blob could not be mounted from `holder`."""
        self._context.holders.mount_refused(self._target.origin)
        if self._context.journal is not None:
            self._context.journal.places.forget(self._target.origin, holder, blob.digest)

    def remember(self, placements: Mapping[Digest, Placement]) -> None:
        """Note where the large blobs are, if any was put there: later models can have them mounted."""
        is_news = any(placements[digest] is not Placement.PRESENT for digest in self._large)
        if is_news and self._target.traits.mounts and self._context.journal is not None:
            self._context.journal.places.remember(self._target.origin, self._target.name, self._large)

    def _known_places(self, journal: Journal) -> dict[Digest, list[str]]:
        if self._known is None:
            self._known = journal.places.of(self._target.origin, self._large, but=self._target.name)
        return self._known
