"""`VerifyReport`: which models are whole, and what is broken."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from ..errors import ContentDamaged, RegistryPushError, SomeFailed
from ..model.broken_blob import BrokenBlob
from ..transfer.report import Report


class Finding(Struct, frozen=True):
    """A blob at `place` that is broken, or was and is `repaired`; and the `models` that need it."""

    place: str
    broken: BrokenBlob
    models: tuple[str, ...]
    repaired: bool = False

    @property
    def fields(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "place": self.place,
            "digest": str(self.broken.blob.digest),
            "size": self.broken.blob.size,
            "mediaType": self.broken.blob.media_type,
            "problem": self.broken.problem.value,
            "message": self.broken.message,
            "models": list(self.models),
            "repaired": self.repaired,
            "not_repaired": self.broken.unmended,
        }


class VerifyReport(Report, frozen=True):
    """The results of a verification. A model is `done` if it is whole; `findings` are the broken blobs, each once."""

    findings: tuple[Finding, ...] = ()

    @property
    def damaged(self) -> tuple[str, ...]:
        """The models that are damaged; others in `failed` could not be verified."""
        return tuple(model.model for model in self.failed if model.error.exit_code == ContentDamaged.exit_code)

    @property
    def error(self) -> RegistryPushError | None:
        """The run's error: that of a single model; for several `ContentDamaged`, if any is damaged, or `SomeFailed`."""
        damaged = self.damaged
        if not damaged or len(self.models) == 1:
            error = super().error
            if isinstance(error, SomeFailed):
                error.hint = "mend what is named above and run the same command again"
            return error
        were = "is" if len(damaged) == 1 else "are"
        return ContentDamaged(
            f"{len(damaged)} of {len(self.models)} models {were} damaged: {', '.join(damaged)}",
            hint="what mends each of them is said above",
            report=self,
        )
