"""`FewerErrors`: of failures with the same cause, the first few are reported; a registry that is down has thousands."""

from __future__ import annotations

from collections import Counter
from typing import Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from ...errors import Interrupted, RegistryPushError
from ...events import Event, ModelDone, ModelFailed, Sink, Warned

# Errors with the same cause that are reported in full.
_TOLD: Final = 3


class FewerErrors:
    """A sink before `sink`. Programs have every failure in the `tag_settled` events.

    What a copy tells of a tag that was there already, or was stopped, is left out: the run tells that itself.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._causes: Counter[str] = Counter()

    def __call__(self, event: Event) -> None:
        match event:
            case ModelDone() if event.is_there_already:
                return
            case ModelFailed(error=Interrupted()):
                return
            case ModelFailed(begun=True, error=error):
                if error.next_step is not None:
                    error.next_step = error.next_step.without_login_flags()
                cause = _cause(error)
                self._causes[cause] += 1
                if self._causes[cause] > _TOLD:
                    event = replace(event, begun=False)
            case _:
                pass
        self._sink(event)

    def close(self) -> None:
        """Tell how many more failures there were of each kind."""
        for cause, count in self._causes.items():
            if count > _TOLD:
                what = "1 more failure" if count == _TOLD + 1 else f"{count - _TOLD:,} more failures"
                self._sink(Warned(f"{what} of the same kind: {cause}", "to see them all, add --report FILE"))


def _cause(error: RegistryPushError) -> str:
    """Return what two errors have in common if their cause is the same: their kind, and where it was."""
    where = urlsplit(error.url).netloc if error.url else ""
    return f"{type(error).__name__} at {where}" if where else type(error).__name__
