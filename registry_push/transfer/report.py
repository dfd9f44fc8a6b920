"""`Report`: how a run ended."""

from __future__ import annotations

from msgspec import Struct

from ..errors import Interrupted, RegistryPushError, SomeFailed
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

    def refuse_interrupted(self, kept: str) -> None:
        """Raise `Interrupted` if nothing has failed but by being stopped; `kept` says what is not lost."""
        failed = self.failed
        if not failed or not all(isinstance(model.error, Interrupted) for model in failed):
            return
        if len(self.models) == 1:
            raise failed[0].error
        left = sum(not model.begun for model in failed)
        counts = ((len(failed) - left, "broken off"), (left, "not begun"))
        facts = [f"{len(self.done)} of {len(self.models)} models {self.outcome}"]
        facts += [f"{count} {what}" for count, what in counts if count]
        raise Interrupted(f"stopped: {', '.join(facts)}; {kept}")

    @property
    def error(self) -> RegistryPushError | None:
        """The run's error: that of a single model, or `SomeFailed` for several; None if all succeeded."""
        failed = self.failed
        if not failed or len(self.models) == 1:
            return failed[0].error if failed else None
        names = ", ".join(model.model for model in failed if model.begun)
        if left := sum(not model.begun for model in failed):
            names += f"; {left} {'was' if left == 1 else 'were'} not begun"
        was = "was" if len(failed) == 1 else "were"
        return SomeFailed(
            f"{len(failed)} of {len(self.models)} models {was} not {self.outcome}: {names}",
            hint=f"mend what is named above and run the same command again: what is there is not {self.outcome} again",
            report=self,
        )
