"""A file that gets its name when it is finished, unless something is there."""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path

from ...errors import UsageError


def move_to_new(path: Path, target: Path) -> None:
    """Rename a file. Raises `FileExistsError` if there is something at `target`, which `rename` would replace.

    Where a file can't have two names, such as on FAT, something that is made at this very moment is replaced.
    """
    try:
        os.link(path, target)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        path.rename(target)
    else:
        path.unlink()


def refuse_existing(path: Path) -> None:
    """Raise `UsageError` if there is something at `path`."""
    if os.path.lexists(path):
        raise UsageError(f"{path} is there already, and nothing is added to an archive", hint=other_name(path))


def other_name(path: Path) -> str:
    """Return the next step if something is at `path`."""
    hint = "name another file"
    if path.is_file() or path.is_symlink():
        hint += f"; or, if it is not needed any more, remove it: rm {shlex.quote(str(path))}"
    return hint
