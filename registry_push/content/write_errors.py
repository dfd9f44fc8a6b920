"""Errors of writing local files: one table for all stores."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ..errors import RegistryPushError, Unavailable, Unwritable
from .optional_files import is_there
from .read_errors import Cause, cause_of, owner_of, shortage, words

_CLOSED: Final = frozenset({errno.EACCES, errno.EPERM})
# Something else is in the place of one of our files or folders.
_IN_THE_WAY: Final = frozenset({errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENOTEMPTY})
_FULL: Final = frozenset({errno.ENOSPC, errno.EFBIG, *([errno.EDQUOT] if hasattr(errno, "EDQUOT") else [])})


@contextmanager
def writing(path: Path, *, kept: str = "") -> Iterator[None]:
    """Translate an `OSError` of a write to `path`. `kept` says which part of the work is kept on the disk."""
    try:
        yield
    except OSError as error:
        raise write_error(error, path, kept=kept) from error


def write_error(error: OSError, path: Path, *, kept: str = "") -> RegistryPushError:
    """Return the error that `error` means for a write to `path`: `Unwritable`, `OutOfResources` or `Unavailable`."""
    message = f"{path} can't be written: {words(error)}"
    if error.errno in _CLOSED:
        return unwritable(path, path if path.is_dir() else _present(path.parent))
    if error.errno == errno.EROFS:
        return Unwritable(message, hint="mount the file system for writing, or name another folder")
    if error.errno in _IN_THE_WAY:
        return Unwritable(
            message, hint=f"see what is there, and move it away: ls -ld {shlex.quote(str(_in_the_way(path)))}"
        )
    if (short := shortage(error, f"{path} can't be written")) is not None:
        return short
    if error.errno == errno.ENOENT:  # nothing says that anything is kept
        return Unavailable(message, hint=f"{_missing(path)}run the same command again")
    also = f"; {kept}" if kept else ""
    return Unavailable(f"{message}{also}", hint=f"{_way_out(error)}, and run the same command again")


def _missing(path: Path) -> str:
    """Return what has to be done about a missing folder; nothing if only the file was deleted."""
    parent = path.parent
    return "" if is_there(parent) else f"make the folder {shlex.quote(str(parent))}, or name another, and "


def _way_out(error: OSError) -> str:
    if error.errno in _FULL:
        return "make room, or name another folder"
    if cause_of(error.errno) is Cause.PASSING:
        return "wait until the file system answers again"
    return "see what the system's log says of the disk, or name another folder"


def _in_the_way(path: Path) -> Path:
    """Return what is at `path`, or what is there of the folders above it."""
    return path if os.path.lexists(path) else _present(path)


def _present(folder: Path) -> Path:
    """Return `folder`, or the one above it that is there."""
    while not is_there(folder) and folder != folder.parent:
        folder = folder.parent
    return folder


def unwritable(path: Path, place: Path) -> Unwritable:
    """Return the error for a `path` that the folder `place` keeps us from writing, with its owner and the hint."""
    owner, hint = "another user", "run this as the user who owns it"
    with suppress(OSError):
        status = place.stat()
        owner, hint = owner_of(status)
        if os.name == "posix" and status.st_uid == os.geteuid():
            hint = f"allow it: chmod u+wx {place}"
    return Unwritable(f"{path} can't be written: {place} belongs to {owner}", hint=hint)


def check_writable(path: Path) -> None:
    """Raise `Unwritable` if this user can't create or replace the file `path`, as far as can be told without trying."""
    folder = path.absolute().parent
    for place in (*reversed(folder.parents), folder):
        if not os.path.lexists(place):
            break
        if not place.is_dir():
            raise write_error(NotADirectoryError(errno.ENOTDIR, "it is no folder"), place)
        if not os.access(place, os.X_OK):
            raise unwritable(path, place)
        folder = place
    if not os.access(folder, os.W_OK | os.X_OK):
        if _is_mounted_read_only(folder):
            raise write_error(OSError(errno.EROFS, os.strerror(errno.EROFS)), path)
        raise unwritable(path, folder)


def _is_mounted_read_only(folder: Path) -> bool:
    # Windows has neither.
    return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def free_bytes(folder: Path) -> int | None:
    """Return how many bytes this user can still write to `folder`, or where it would be; None if that is not known."""
    if not hasattr(os, "statvfs"):
        return None
    status = os.statvfs(_present(folder))
    return status.f_bavail * status.f_frsize
