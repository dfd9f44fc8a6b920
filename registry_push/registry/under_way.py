"""`UnderWay`: the bodies being sent now, how long they would take to finish, and what stopping at once would cost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from ..events import Stopping
from ..protocol.cut_behaviour import CutBehaviour
from ..protocol.throughput import Throughput

if TYPE_CHECKING:
    from ..http.body.payload import SpanPayload
    from ..protocol.upload.session import UploadSession

# Seconds. A shorter measurement says more about buffers than about the line.
_TELLING: Final = 1.0


class _Body(Struct, frozen=True, eq=False):
    """A body that is one of `bodies` while its request is under way: inside `with`."""

    bodies: set[_Body]
    payload: SpanPayload
    session: UploadSession
    pace: Throughput
    began: float

    def __enter__(self) -> None:
        self.bodies.add(self)

    def __exit__(self, *_: object) -> None:
        self.bodies.discard(self)

    @property
    def left(self) -> int:
        # If the registry keeps every byte, there is no need to wait.
        return 0 if self.session.kept is CutBehaviour.EVERYTHING else self.payload.length - self.payload.sent

    def seconds(self, now: float) -> float | None:
        elapsed, sent = now - self.began, self.payload.sent
        rate = sent / elapsed if sent and elapsed > _TELLING else self.pace.rate
        return self.left / rate if rate else None

    @property
    def cost(self) -> int:
        """Bytes that have to be sent again if the body is stopped now."""
        record = self.session.record
        whole = (
            record.acknowledged(self.session.plan.size) if record and self.session.kept is CutBehaviour.NOTHING else 0
        )
        return 0 if self.session.kept is CutBehaviour.EVERYTHING else whole + self.payload.sent


class UnderWay:
    """The bodies of one run. `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bodies: set[_Body] = set()

    def body(
        self, payload: SpanPayload, session: UploadSession, pace: Throughput
    ) -> AbstractContextManager[None, None]:
        """Return a context manager that counts a body of `session` while its request is under way."""
        return _Body(self._bodies, payload, session, pace, self._clock())

    def stopping(self) -> Stopping | None:
        """Return the event about what a stop waits for; None if it waits for nothing."""
        now = self._clock()
        waited = [body for body in self._bodies if body.left]
        if not waited:
            return None
        seconds = [each for body in waited if (each := body.seconds(now)) is not None]
        return Stopping(
            sum(body.left for body in waited),
            max(seconds) if len(seconds) == len(waited) else None,
            sum(body.cost for body in waited),
            loses_uploads=any(body.session.kept is CutBehaviour.NOTHING for body in waited),
            may_lose_uploads=any(body.session.kept is CutBehaviour.UNKNOWN for body in waited),
        )
