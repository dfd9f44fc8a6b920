"""Types of flags whose values are paths."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import Any, Final

import click

from ..errors import InvalidSettings, KeyNotFound
from ..homes import expanded
from ..text.hint import Hint, Login, Setting, step
from ..usual_folders import home_of
from .option import EXAMINED, Option


class _File(click.Path):
    """A path. A leading `~` is expanded, which no shell does in a variable, a file or `--flag=~/…`."""

    def __init__(self) -> None:
        # click does not check that it can be read: the code that opens it explains better why not.
        super().__init__(readable=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not value:
            self.fail("the path is empty", param, ctx)
        try:
            return super().convert(expanded(value, home()) if isinstance(value, str) else value, param, ctx)
        except InvalidSettings as error:
            self.fail(f"{error}; {error.hint}", param, ctx)


class _Existing(_File):
    """A file to be read, which has to be there, even if it turns out not to be needed: who names it wants it used.

    So does skopeo with `--authfile`, but not with the files that it looks for by itself.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = super().convert(value, param, ctx)
        if not isinstance(param, Option) or ctx is None:  # a line of the file, which a flag may be set instead of
            return path
        if ctx.meta.get(EXAMINED) and param.source(ctx).kind == "file":
            return path
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise KeyNotFound(f"{param.called(ctx)} {path} is not there", hint=self._hint(param, path)) from error
        except OSError:  # see `_File.__init__`
            return path
        return path

    def _hint(self, param: Option, _: Path) -> Hint:
        return step("check ", Setting(param.key.replace("-", "_")))


class _Logins(_Existing):
    """A file of logins, which `login` can write."""

    def _hint(self, param: Option, path: Path) -> Hint:
        flags = f"--authfile {quote(str(path))}"
        return step(*super()._hint(param, path).parts, "; or log in with: ", Login(flags=flags))


FILE: Final = _File()
EXISTING: Final = _Existing()
LOGINS: Final = _Logins()


def home() -> Path | None:
    """Return the user's home folder; None if there is none."""
    return home_of(os.environ, posix=os.name == "posix")
