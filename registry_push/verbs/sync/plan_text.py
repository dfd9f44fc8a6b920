"""`PlanText`: the TOML of a plan, and the line on which each key stands."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from ...content.ollama.paths import read_small
from ...content.read_errors import passes, read_error, unreadable
from ...errors import InvalidPlan, NotAtSource
from ...text.toml_lines import TomlLines

# Bytes. A plan of 10,000 entries has two million.
_MOST_BYTES: Final = 16 * 1024 * 1024
ENTRIES: Final = "sync"


class PlanText(Struct, frozen=True, dict=True):
    """The `values` in the `text` of the file at `path`."""

    path: str
    text: str
    values: Mapping[str, Any]

    @classmethod
    def parse(cls, path: str, text: str) -> PlanText:
        """Return the plan in `text`. Raises `InvalidPlan`."""
        import tomllib  # takes 2 ms

        try:
            return cls(path, text, tomllib.loads(text))
        except (ValueError, RecursionError) as error:
            said = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
            hint = "correct the line; a plan is written in TOML: registry-push help migration"
            raise InvalidPlan(f"{path}: {said}", hint=hint) from error

    def where(self, *keys: str | int) -> str:
        """Return the file and, if it is found, the line that sets the innermost of `keys`, for a message."""
        line = self.line_of(*keys)
        return self.path if line is None else f"{self.path}, line {line}"

    def line_of(self, *keys: str | int) -> int | None:
        """Return the number of the line that sets `keys`: `("sync", 3, "tags")` is a key of the fourth entry.

        If that has none, return that of its table; None if that has none either.
        """
        return self._lines.line_of(keys)

    @cached_property
    def _lines(self) -> TomlLines:
        return TomlLines.of(self.text)


def read_plan_text(path: Path) -> PlanText:
    """Return the plan in the file at `path`. Raises `NotAtSource`, `Unreadable`, `Unavailable`, `InvalidPlan`."""
    return PlanText.parse(str(path), read_plan_file(path))


def read_plan_file(path: Path, *, most: int = _MOST_BYTES) -> str:
    """Return the text of a plan of any kind. Raises `NotAtSource`, `Unreadable`, `Unavailable`, `InvalidPlan`."""
    try:
        return read_small(path, most).decode("utf-8-sig")  # editors on Windows begin a file with the mark
    except (FileNotFoundError, NotADirectoryError) as error:
        hint = "check how it is spelt; to see what a plan looks like: registry-push help migration"
        raise NotAtSource(f"there is no plan {path}", hint=hint) from error
    except PermissionError as error:
        raise unreadable(path, what="the plan") from error
    except UnicodeDecodeError as error:
        raise InvalidPlan(f"{path} is not UTF-8", hint="save the plan in UTF-8") from error
    except OSError as error:
        if passes(error):
            raise read_error(error, "the plan", path=path) from error
        said = f"{path} can't be used: {error.strerror or error}"
        raise InvalidPlan(said, hint="name a file that holds a plan") from error
    except ValueError as error:
        raise InvalidPlan(f"{path} {error}", hint="divide the plan into several") from error
