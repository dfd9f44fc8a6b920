"""The words for flags in messages and hints that a program gets: its own arguments, and fields of `Settings`. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from .hint import NamedPart, Setting, for_the_command

# Arguments of the library's functions, by the flags that say the same.
_ARGUMENTS: Final[Mapping[str, str]] = {
    "as": "name",
    "tag": "tags",
    **{name: name for name in ("to", "dry_run", "referrers", "require_referrer", "repair")},
}
# Fields of `Settings` whose flags have other names.
_FIELDS: Final[Mapping[str, str]] = {
    "allow_realm": "allow_realms",
    "allow_address": "allow_addresses",
    "password_stdin": "password",
}
# Not within a path or a name that a user has given.
_FLAG: Final = r"(?<![^\s(])--([a-z]+(?:-[a-z]+)*)(?![\w/-])"


class LibraryWords:
    """Puts hints and messages into a program's words.

    `fields` are the names of the fields of `Settings`, `switches` those that are true or false.
    """

    def __init__(self, fields: Collection[str], switches: Collection[str]) -> None:
        self._fields = fields
        self._switches = switches

    def part(self, part: NamedPart) -> str:
        """Return a part of a hint. What only the command has stays as it is typed there."""
        if not isinstance(part, Setting):
            return for_the_command(part)
        value = f'"{part.value}"' if part.value else None
        if (argument := _ARGUMENTS.get(part.name)) is not None:
            return f"{argument}={value or '…'}"
        name = _FIELDS.get(part.name, part.name)
        if name not in self._fields:
            return f"{for_the_command(part)} of the command"
        if value is None and name in self._switches:
            value = "True"
        return f"Settings({name}={value})" if value is not None else f"Settings.{name}"

    def text(self, text: str) -> str:
        """Return `text` with the flags in it named as a program does."""
        return re.sub(_FLAG, self._named, text)

    def _named(self, flag: re.Match[str]) -> str:
        name = flag[1].replace("-", "_")
        if (argument := _ARGUMENTS.get(name)) is not None:
            return f"{argument}="
        name = _FIELDS.get(name, name)
        return f"Settings.{name}" if name in self._fields else flag[0]
