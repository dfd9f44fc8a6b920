"""The user's home folder, and paths that begin in it."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InvalidSettings, printable


def home_folder(variable: str | None) -> Path | None:
    """Return the user's home: `variable` (what `$HOME` says), else by the system's user database; None if neither knows
    one.

    As for docker and platformdirs, a variable that is empty or relative counts as unset.
    """
    if variable is not None and Path(variable).is_absolute():
        return Path(variable)
    try:
        import pwd
    except ImportError:  # Windows
        return None
    try:
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None
    return home if home.is_absolute() else None


def usual_home() -> Path | None:
    """Return the home of this process' user, as Python finds it; None if there is none."""
    try:
        return home_folder(str(Path.home()))
    except RuntimeError:
        return None


def expanded(text: str, home: Path | None) -> Path:
    """Return the path that `text` spells, a `~` at its beginning expanded as shells do. Raises `InvalidSettings`."""
    if text == "~" or text.startswith(("~/", f"~{os.sep}")):
        if home is None:
            raise InvalidSettings(f"{printable(text)} can't be expanded: this user has no home folder", hint="set HOME")
        return home / text[2:]
    return Path(os.path.expanduser(text))  # noqa: PTH111  # of `~somebody`; a user that is not there is no error
