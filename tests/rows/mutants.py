"""The upload's tables with one row changed in memory: what a slip of the pen could make of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping
from typing import Any, Final, TypeAlias, cast
from unittest.mock import patch

from msgspec import Struct

from registry_push.protocol.response import Kind
from registry_push.protocol.upload.machine import Key, Row
from registry_push.protocol.upload.states import Event, State

from .talk import Table, Taking

Step: TypeAlias = Callable[..., None]

# Rows for which another step does the same, with the reason.
EQUIVALENT: Final[Mapping[tuple[Table, State, Kind | Event, str], str]] = {
    (Table.OCI, State.FRESH, Kind.LOST, "opened_beside"): (
        "without an answer no session is open, which is unavailable there too"
    ),
    (Table.OLLAMA, State.FRESH, Kind.LOST, "opened_beside"): (
        "without an answer no session is open, which is unavailable there too"
    ),
    (Table.OLLAMA, State.COMMITTING, Kind.EXPIRED, "not_there"): (
        "no commit is in doubt then, so the same PUT is sent again there too"
    ),
    (Table.OCI, State.MOUNTING, Kind.BUSY, "chunk_invalid"): "no chunk was refused yet, and the first is asked about",
    (Table.OCI, State.MOUNTING, Kind.LOST, "chunk_invalid"): "no chunk was refused yet, and the first is asked about",
    (Table.OCI, State.UNCERTAIN, Kind.EXPIRED, "ask_later"): "the status is the request that is sent again",
    (Table.OCI, State.UNCERTAIN, Kind.BUSY, "ask_later"): "the status is the request that is sent again",
}


class Mutant(Struct, frozen=True):
    """A table without the row of `key`, or with another `step` in it that may lead anywhere."""

    table: Table
    key: Key
    step: Step | None = None

    def __str__(self) -> str:
        what = f"{self.table.value}: ({self.key[0].name}, {self.key[1].name})"
        return f"{what} deleted" if self.step is None else f"{what} with {self.step.__name__}"

    def survives(self, scenarios: Collection[Taking]) -> bool:
        """Whether all scenarios pass although the table is this."""
        rows = cast(MutableMapping[Key, Row[Any]], self.table.rows)
        own = (self.table, self.key)
        with patch.dict(rows):
            if self.step is None:
                del rows[self.key]
            else:
                rows[self.key] = Row(self.step, frozenset(State))
            # Those of the row first: they are there to fail.
            return all(_passes(each) for each in sorted(scenarios, key=lambda each: (each.table, each.key) != own))


def _passes(scenario: Taking) -> bool:
    try:
        scenario.run()
    except Exception:
        return False
    return True


def deletions() -> Iterator[Mutant]:
    """Each row deleted."""
    return (Mutant(table, key) for table in Table for key in list(table.rows))


def swaps() -> Iterator[Mutant]:
    """Each row with each step of its table that is not its own, but for those that do the same."""
    for table in Table:
        steps = {row.step.__name__: row.step for row in table.rows.values()}
        for key, row in list(table.rows.items()):
            for name, step in steps.items():
                if step is not row.step and (table, *key, name) not in EQUIVALENT:
                    yield Mutant(table, key, step)
