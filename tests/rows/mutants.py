"""The upload's table with one row changed in memory: what a slip of the pen could make of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, MutableMapping
from typing import Final, cast
from unittest.mock import patch

from msgspec import Struct

from registry_push.protocol.response import Kind
from registry_push.protocol.upload import table
from registry_push.protocol.upload.states import State
from registry_push.protocol.upload.table import Key, Row, Step

from .talk import Taking

# Rows for which another step does the same, with the reason.
EQUIVALENT: Final[Mapping[tuple[State, Kind, str], str]] = {
    (State.FRESH, Kind.LOST, "opened_beside"): "without an answer no session is open, which is unavailable there too",
    (State.UNCERTAIN, Kind.EXPIRED, "ask_later"): "the status is the request that is sent again",
    (State.UNCERTAIN, Kind.BUSY, "ask_later"): "the status is the request that is sent again",
}


class Mutant(Struct, frozen=True):
    """The table without the row of `key`, or with another `step` in it that may lead anywhere."""

    key: Key
    step: Step | None = None

    def __str__(self) -> str:
        what = f"({self.key[0].name}, {self.key[1].name})"
        return f"{what} deleted" if self.step is None else f"{what} with {self.step.__name__}"

    def survives(self, scenarios: Collection[Taking]) -> bool:
        """Whether all scenarios pass although the table is this."""
        rows = cast(MutableMapping[Key, Row], table.ROWS)
        with patch.dict(rows):
            if self.step is None:
                del rows[self.key]
            else:
                rows[self.key] = Row(self.step, frozenset(State))
            # Those of the row first: they are there to fail.
            return all(_passes(each) for each in sorted(scenarios, key=lambda each: each.key != self.key))


def _passes(scenario: Taking) -> bool:
    try:
        scenario.run()
    except Exception:
        return False
    return True


def deletions() -> Iterator[Mutant]:
    """Each row deleted."""
    return (Mutant(key) for key in list(table.ROWS))


def swaps() -> Iterator[Mutant]:
    """Each row with each step of the table that is not its own, but for those that do the same."""
    steps = {row.step.__name__: row.step for row in table.ROWS.values()}
    for key, row in list(table.ROWS.items()):
        for name, step in steps.items():
            if step is not row.step and (*key, name) not in EQUIVALENT:
                yield Mutant(key, step)
