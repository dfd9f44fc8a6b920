"""The rows of POST, which the tables of both dialects have: a mount and a new session are asked for alike. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ..response import Kind
from .machine import Key, Row, row
from .opening_steps import OpeningSteps
from .states import State


def post_rows(*, begun: frozenset[State], old: State) -> Iterator[tuple[Key, Row[OpeningSteps]]]:
    """Generate them: a new session leads to `begun`, and `old` is where the old one is tried once more."""
    for state in (State.NEW, State.GONE, State.FRESH):
        yield (state, Kind.CREATED), row(OpeningSteps.mounted, State.CONFIRMING, State.DONE, State.FAILED)
        yield (state, Kind.MISSING), row(OpeningSteps.without_mount, state, State.FAILED)
        # Harbor: 401 for a mount from a project that does not exist
        yield (state, Kind.EXPIRED), row(OpeningSteps.without_mount, state, State.FAILED)
        yield (state, Kind.INVALID), row(OpeningSteps.without_mount, state, State.FAILED)
        yield (state, Kind.REFUSED), row(OpeningSteps.without_mount, state, State.FAILED)
    for state in (State.NEW, State.GONE):
        yield (state, Kind.ACCEPTED), row(OpeningSteps.opened, begun)
        yield (state, Kind.BUSY), row(OpeningSteps.again, state, State.FAILED)
        yield (state, Kind.LOST), row(OpeningSteps.again, state, State.FAILED)
    # After all tries of a session. There is one fresh session, and the old one is tried once more when that is open.
    yield (State.FRESH, Kind.ACCEPTED), row(OpeningSteps.opened_beside, State.CONFIRMING, old, begun)
    yield (State.FRESH, Kind.BUSY), row(OpeningSteps.unavailable, State.FAILED)
    yield (State.FRESH, Kind.LOST), row(OpeningSteps.unavailable, State.FAILED)
