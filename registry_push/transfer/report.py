"""`Report`: how a run ended."""

from __future__ import annotations

from msgspec import Struct

from ..errors import RegistryPushError, SomeFailed
from ..events import ModelDone, ModelFailed


class Report(Struct, frozen=True):
    """The results of a run, one for each model, in the order of the request.

    `outcome` is the word for success: `pushed`, `pulled` or `copied`.
    """

    models: tuple[ModelDone | ModelFailed, ...]
    outcome: str = "pushed"

    @property
    def failed(self) -> tuple[ModelFailed, ...]:
        """The models that are not at their target."""
        return tuple(model for model in self.models if isinstance(model, ModelFailed))

    @property
    def done(self) -> tuple[ModelDone, ...]:
        """The models that are at their target."""
        return tuple(model for model in self.models if isinstance(model, ModelDone))

    @property
    def error(self) -> RegistryPushError | None:
        """The run's error: that of a single model, or `SomeFailed` for several; None if all succeeded."""
        failed = self.failed
        if not failed or len(self.models) == 1:
            return failed[0].error if failed else None
        names, was = ", ".join(model.model for model in failed), "was" if len(failed) == 1 else "were"
        return SomeFailed(
            f"{len(failed)} of {len(self.models)} models {was} not {self.outcome}: {names}",
            hint=f"mend what is named above and run the same command again: what is there is not {self.outcome} again",
            report=self,
        )
