"""`Converted`: a converted plan, and notes on what was not converted as it stands."""

from __future__ import annotations

from msgspec import Struct

from ...errors import UsageError, printable
from ...text.hint import Hint


class Note(Struct, frozen=True, order=True):
    """What stands on `line` of the foreign plan, under `key`, is not taken over, or means something else here."""

    line: int
    key: str
    message: str


class Converted(Struct, frozen=True):
    """A plan of `sync` as TOML, and the notes on it, by their lines."""

    text: str
    notes: tuple[Note, ...]


class Notes:
    """The notes of a conversion that is under way."""

    def __init__(self) -> None:
        self._notes: dict[Note, None] = {}
        self.unknown_keys = 0

    def add(self, line: int, key: str, message: str) -> None:
        """Add a note, once: what an alias repeats is said where it stands."""
        self._notes[Note(line, printable(key, limit=200), printable(message))] = None

    @property
    def found(self) -> tuple[Note, ...]:
        """All notes, by their lines."""
        return tuple(sorted(self._notes))


class Unconvertible(Exception):
    """A value that a plan of `sync` can't express; the message says why."""


def unusable(name: str, line: int | None, message: str, hint: str | Hint) -> UsageError:
    """Return the error about a foreign plan that can't be read at all."""
    where = name if line is None else f"{name}, line {line}"
    return UsageError(f"{where}: {message}", hint=hint)
