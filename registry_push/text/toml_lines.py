"""On which line of a TOML document each key stands: `tomllib` does not say."""

from __future__ import annotations

import re
from bisect import bisect_right
from contextlib import suppress
from typing import Final

from .patterns import LazyPattern

Key = str | int
Keys = tuple[Key, ...]

# Spaces, ends of lines and comments.
_BLANK: Final = LazyPattern(r"(?:[ \t\r\n]+|#[^\n]*)*")
_NAME: Final = LazyPattern(r"""[ \t]*([A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')[ \t]*""")
# A text of several lines may end in two quotes of its own. What is no text ends where the value does.
_TEXT: Final = LazyPattern(
    r'''"""(?:[^\\]|\\.)*?""""{0,2}|\'\'\'.*?\'\'\'\'{0,2}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^,\]}#\n]+''', re.DOTALL
)


class TomlLines:
    """The lines of the keys in `text`, which is valid TOML.

    Keys are tuples, with the numbers, from 0, of those in lists: `("sync", 3, "tags")`. A dash in a key is an
    underscore here. Finding all of them takes 0.2 s for 10,000 tables.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._ends = [at for at, character in enumerate(text) if character == "\n"]
        self._at = 0
        self._offsets: dict[Keys, int] = {}
        self._lengths: dict[Keys, int] = {}  # of lists of tables

    @classmethod
    def of(cls, text: str) -> TomlLines:
        """Return the lines of `text`."""
        lines = cls(text)
        with suppress(RecursionError):  # lists in lists, a hundred deep: the lines before them are known
            lines._read()
        return lines

    def line_of(self, keys: Keys) -> int | None:
        """Return the number, from 1, of the line that sets `keys`; or its table, if that has no line; or None."""
        named = tuple(_plain(key) for key in keys)
        while named:
            if (offset := self._offsets.get(named)) is not None:
                return bisect_right(self._ends, offset - 1) + 1
            named = named[:-1]
        return None

    def _read(self) -> None:
        table: Keys = ()
        while self._skip_blank():
            start = self._at
            if self._text[start] == "[":
                table = self._header(start)
            else:
                self._pair(table)

    def _skip_blank(self) -> bool:
        """Go on to what follows; return whether anything does."""
        found = _BLANK.compiled.match(self._text, self._at)
        assert found is not None, "it matches nothing, too"
        self._at = found.end()
        return self._at < len(self._text)

    def _header(self, start: int) -> Keys:
        """Read `[a.b]` or `[[a.b]]`, and return the table that it opens."""
        is_list = self._text.startswith("[[", start)
        self._at += 2 if is_list else 1
        names, keys = self._names(), ()  # type: tuple[list[str], Keys]
        for name in names[:-1]:
            keys = self._inside((*keys, name))
            self._note(keys, start)
        keys = (*keys, names[-1])
        if is_list:
            self._note(keys, start)
            number = self._lengths.get(keys, 0)
            self._lengths[keys] = number + 1
            keys = (*keys, number)
        self._note(keys, start)
        self._at += 2 if is_list else 1
        return keys

    def _inside(self, keys: Keys) -> Keys:
        """Return `keys`, or the last of the tables in the list that has this name."""
        length = self._lengths.get(keys)
        return keys if length is None else (*keys, length - 1)

    def _pair(self, table: Keys) -> None:
        """Read `a.b = value`."""
        start, keys = self._at, table
        for name in self._names():
            keys = (*keys, name)
            self._note(keys, start)
        self._at += 1
        self._value(keys)

    def _value(self, keys: Keys) -> None:
        self._skip_blank()
        match self._text[self._at]:
            case "[":
                self._list(keys)
            case "{":
                self._table(keys)
            case _:
                self._at = self._end(_TEXT)

    def _list(self, keys: Keys) -> None:
        self._at += 1
        number = 0
        while self._skip_blank() and self._text[self._at] != "]":
            self._note((*keys, number), self._at)
            self._value((*keys, number))
            self._skip_comma()
            number += 1
        self._at += 1

    def _table(self, keys: Keys) -> None:
        self._at += 1
        while self._skip_blank() and self._text[self._at] != "}":
            self._pair(keys)
            self._skip_comma()
        self._at += 1

    def _skip_comma(self) -> None:
        if self._skip_blank() and self._text[self._at] == ",":
            self._at += 1

    def _names(self) -> list[str]:
        """Read the names of a key that dots divide."""
        names = []
        while (found := _NAME.compiled.match(self._text, self._at)) is not None:
            names.append(_spelt(found[1]))
            self._at = found.end()
            if self._text[self._at] != ".":
                break
            self._at += 1
        return names

    def _end(self, pattern: LazyPattern[str]) -> int:
        found = pattern.compiled.match(self._text, self._at)
        assert found is not None, "the text is valid TOML"
        return found.end()

    def _note(self, keys: Keys, offset: int) -> None:
        self._offsets.setdefault(keys, offset)


def _spelt(written: str) -> str:
    if written[0] not in "\"'":
        return written.replace("-", "_")
    if "\\" in written:
        import tomllib  # reads what is spelt with escapes

        (written,) = tomllib.loads(f"{written} = 0")
        return written.replace("-", "_")
    return written[1:-1].replace("-", "_")


def _plain(key: Key) -> Key:
    return key.replace("-", "_") if isinstance(key, str) else key
