"""The files of the state folder: private to their owner, and never something that somebody else has put there.

The folder belongs to us or to root. A file in it is a regular one of ours, with mode 0600: no symbolic link is
followed, no FIFO and no device is opened. On Windows, whose access lists say all that, nothing is checked.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

_IS_POSIX: Final = os.name == "posix"
_MODE: Final = 0o600
_OTHERS: Final = 0o077
# O_NONBLOCK: what opens a FIFO or a device must not wait for its other end.
_OPEN: Final = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class NotPrivate(OSError):
    """A folder or file that somebody else may have created."""


def private_folder(path: Path) -> None:
    """Make the folder if there is none. Raises `NotPrivate` if it is another user's, and what `mkdir` raises."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if _IS_POSIX and (owner := path.stat().st_uid) not in (os.geteuid(), 0):
        raise NotPrivate(f"the folder belongs to another user (uid {owner})")


def exposed(folder: Path) -> Path | None:
    """Return the folder, or the first one above it, in which others may replace what is there; None if there is none.

    Those with the sticky bit, such as /tmp, are none: only the owner may replace a file there. Above the folder, the
    group does not count: with a umask of 002, as Debian and Fedora have it, each user's group is his own.
    """
    if not _IS_POSIX:
        return None
    inner, *outer = (folder.resolve(), *folder.resolve().parents)
    for path, bits in ((inner, stat.S_IWOTH | stat.S_IWGRP), *((each, stat.S_IWOTH) for each in outer)):
        mode = path.stat().st_mode
        if mode & bits and not mode & stat.S_ISVTX:
            return path
    return None


def check_private(path: Path) -> os.stat_result | None:
    """Set the mode of the file at `path` to 0600 and return its status; None if there is none. Raises `NotPrivate`.

    The file is opened only if its mode changes: closing a file releases all locks that the process has on it.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    _judge(path, found)
    if _IS_POSIX and found.st_mode & _OTHERS:
        opened = os.open(path, _OPEN)
        try:
            _judge(path, os.fstat(opened))
            os.fchmod(opened, _MODE)
        finally:
            os.close(opened)
    return found


def make_private(path: Path) -> os.stat_result:
    """As `check_private`, but create an empty file if there is none."""
    while (found := check_private(path)) is None:
        try:
            os.close(os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, _MODE))
        except FileExistsError:  # another process has made it meanwhile
            continue
    return found


def open_private(path: Path) -> int:
    """Return the descriptor of a file of ours, made if there is none. Raises `NotPrivate`."""
    made = make_private(path)
    opened = os.open(path, _OPEN)
    try:
        check_same(path, made)
    except BaseException:
        os.close(opened)
        raise
    return opened


def check_same(path: Path, before: os.stat_result) -> None:
    """Raise `NotPrivate` if there is another file at `path` by now than when it was judged."""
    now = path.lstat()
    if (now.st_dev, now.st_ino) != (before.st_dev, before.st_ino):
        raise NotPrivate(f"{path.name} was replaced while it was opened")


def _judge(path: Path, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise NotPrivate(f"{path.name} is a symbolic link")
    if not stat.S_ISREG(found.st_mode):
        raise NotPrivate(f"{path.name} is no regular file")
    if _IS_POSIX and found.st_uid != os.geteuid():
        raise NotPrivate(f"{path.name} belongs to another user (uid {found.st_uid})")
