"""Files and folders that are looked for but need not be there."""

from __future__ import annotations

import os
from pathlib import Path


def is_there(path: Path) -> bool:
    """Return whether the optional file `path` exists for this user; that it can't be read is still an error.

    A file in a folder that this user may not enter does not exist: `/etc/docker` is 0700 on ordinary hosts, and `$HOME`
    can still be root's after a change of user. Nor does a dangling link, a loop of links, or a path below a file.
    """
    return os.path.exists(path)  # noqa: PTH110  # Path.exists raises PermissionError for a closed folder, until 3.14


def is_folder(path: Path) -> bool:
    """As `is_there`, and whether it is a folder. A name that no disk can have is none: what opens it says why."""
    return os.path.isdir(path)  # noqa: PTH112  # Path.is_dir raises OSError for such a name


def names_in(folder: Path) -> list[str] | None:
    """Return the sorted names in `folder`; None if there is no such folder that this user may look into."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
        (folder / ".").stat()  # of a folder with the mode 0744 others see the names, and cannot open one
    except OSError:
        return None
    return names
