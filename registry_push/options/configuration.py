"""`Configuration`: the values in `config.toml`, and the line on which each stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from ..content.optional_files import is_there
from ..errors import InvalidSettings, NotAtSource
from ..text.patterns import LazyPattern
from ..usual_folders import usual_config

# Bytes. A configuration has a few lines; this bounds what a wrong file can make us parse.
_MAX_CONFIG: Final = 256 * 1024
# Lines that look as if they set a key; for each, all lines before it are parsed. A file written by a person has one.
_MOST_CANDIDATES: Final = 16
# The line in an error of tomllib, and a table of a host that is not in quotes.
_AT_LINE: Final = LazyPattern(r"\(at line ([0-9]+),")
_UNQUOTED: Final = LazyPattern(r"""[ \t]*\[[ \t]*["']?host["']?\.([A-Za-z0-9._-]+:[0-9]+)[ \t]*\]""")


class Configuration(Struct, frozen=True):
    """The values of the file at `path`, whose content is `text`."""

    path: Path
    text: str
    values: Mapping[str, Any]

    def where(self, key: str) -> str:
        """Return the file, and the line that sets `key` in it, for a message."""
        line = self.line_of(key)
        return str(self.path) if line is None else f"{self.path}, line {line}"

    def line_of(self, key: str) -> int | None:
        """Return the number of the line that sets `key`; None if it is not found, as one that is spelt with escapes."""
        import tomllib

        sets = re.compile(rf"[ \t]*\[{{0,2}}[ \t]*[\"']?{re.escape(key)}[\"']?[ \t]*[=.\]]")
        lines = self.text.split("\n")
        candidates = [number for number, line in enumerate(lines) if sets.match(line)]
        for number in candidates[:_MOST_CANDIDATES]:
            try:
                before = tomllib.loads("\n".join(lines[:number]))
            except ValueError:  # it is inside a text of several lines
                continue
            if key not in before:
                return number + 1
        return None


def read_configuration(named: Path | None) -> Configuration | None:
    """Return the configuration in the file that is `named`, else in the usual one; None if there is none.

    Raises `NotAtSource`, `Unreadable`, `Unavailable` and `InvalidSettings`.
    """
    file = named or usual_config()
    if file is None or (named is None and not is_there(file)):
        return None
    import tomllib  # takes 2 ms

    from ..content.ollama.paths import read_small
    from ..content.read_errors import passes, read_error, unreadable

    text = ""
    try:
        text = read_small(file, _MAX_CONFIG).decode("utf-8-sig")  # editors on Windows begin a file with the mark
        return Configuration(file, text, tomllib.loads(text))
    except (FileNotFoundError, NotADirectoryError) as error:
        if named is not None:
            raise NotAtSource(f"the configuration file {file} is not there", hint="check --config") from error
        return None
    except PermissionError as error:
        raise unreadable(file, what="the configuration file") from error
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, OSError) and passes(error):
            raise read_error(error, "the configuration file", path=file) from error
        raise InvalidSettings(
            f"the configuration file {file} can't be used: {error}",
            hint=_unquoted(text, str(error)) or "correct the file",
        ) from error


def _unquoted(text: str, said: str) -> str | None:
    """Return what to do about the commonest slip, `[host.127.0.0.1:5000]`, if that is the line where TOML stops."""
    if (at := _AT_LINE.compiled.search(said)) is None:
        return None
    found = _UNQUOTED.compiled.match(text.split("\n")[int(at[1]) - 1])
    return f'put the host in quotes: [host."{found[1]}"]' if found is not None else None
