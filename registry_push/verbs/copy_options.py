"""`CopyOptions`: what is copied besides a manifest and its content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self

from msgspec import Struct

from ..errors import UsageError, quoted
from ..model.mapping import CopyTarget
from ..model.place import OllamaPlace
from ..text.hint import Setting, step

ALL: Final = "all"
NONE: Final = "none"
# In hints.
_ARTIFACT_TYPE: Final = "an artifact type, such as application/vnd.dev.sigstore.bundle.v0.3+json"


class CopyOptions(Struct, frozen=True):
    """`tags` are set beside the main one. `referrers` says which of them are copied: all, none, or those of one
    artifact type; None: all, with a manifest that is new at the target, but not into an Ollama store, which can't hold
    them. Nothing is copied without a referrer of the type `required`. `has_place`: the target is no Ollama store.
    """

    tags: tuple[str, ...] = ()
    referrers: str | None = None
    required: str | None = None
    has_place: bool = True

    @classmethod
    def of(cls, tags: Sequence[str], referrers: str | None, required: str | None, to: CopyTarget) -> Self:
        """Return the options, checked. Raises `UsageError`."""
        if referrers not in (None, ALL, NONE) and "/" not in (referrers or ""):
            raise UsageError(
                f"{quoted(referrers or '')} is no kind of referrer", hint=f"write all, none, or {_ARTIFACT_TYPE}"
            )
        if required is not None and "/" not in required:
            raise UsageError(f"{quoted(required)} is no artifact type", hint=f"write {_ARTIFACT_TYPE}")
        if isinstance(to, OllamaPlace) and referrers not in (None, NONE):
            raise UsageError(
                "an Ollama store has no place for referrers", hint=step("leave ", Setting("referrers"), " out")
            )
        return cls(tuple(tags), referrers, required, has_place=not isinstance(to, OllamaPlace))

    @property
    def kind(self) -> str | None:
        """The artifact type that referrers must have; None for any."""
        return self.referrers if self.referrers not in (None, ALL, NONE) else None

    @property
    def wants_any(self) -> bool:
        """Whether any referrers are copied."""
        return self.has_place and self.referrers != NONE

    @property
    def only_counts(self) -> bool:
        """Whether referrers are not copied although the user has not said so."""
        return not self.has_place and self.referrers is None

    @property
    def asks_for_referrers(self) -> bool:
        """Whether the source is asked for referrers at all."""
        return self.wants_any or self.only_counts or self.required is not None

    @property
    def looks_always(self) -> bool:
        """Whether to look for referrers even if the manifest is at the target: the user has asked for them."""
        return self.referrers not in (None, NONE) or self.required is not None
