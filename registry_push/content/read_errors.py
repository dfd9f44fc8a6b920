"""Errors of reading local files: one table for blobs, manifests, keys and settings."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path
from shlex import quote
from types import MappingProxyType
from typing import Final

from ..errors import (
    BlobCorrupt,
    BlobMissing,
    IntegrityError,
    NotAtSource,
    OutOfResources,
    RegistryPushError,
    SourceUnavailable,
    Unreadable,
)

try:
    import grp
    import pwd
except ImportError:  # Windows has neither: see `unreadable`.
    grp = pwd = None  # type: ignore[assignment]


# Groups with rights far beyond reading a store: we never propose to join them.
_POWERFUL: Final = ("root", "wheel", "sudo", "admin", "docker", "lxd", "shadow", "disk", "adm")


class Cause(Enum):
    """Why a file can't be read."""

    MISSING = "missing"
    CLOSED = "closed to us"
    SHORTAGE = "this machine is short of something"
    PASSING = "a file system that is away for now"
    DAMAGED = "the disk, or the file on it"


def _table(rows: Mapping[Cause, Iterable[str]]) -> Mapping[int, Cause]:
    # By name: each system has some of them only.
    named = {getattr(errno, name): cause for cause, names in rows.items() for name in names if hasattr(errno, name)}
    return MappingProxyType(named)


_CAUSES: Final = _table(
    {
        Cause.MISSING: ("ENOENT", "ENOTDIR", "ELOOP"),
        Cause.CLOSED: ("EACCES", "EPERM", "EKEYEXPIRED", "EKEYREVOKED", "EKEYREJECTED", "ENOKEY"),
        Cause.SHORTAGE: ("EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "EWOULDBLOCK", "ENOBUFS", "ENOLCK"),
        # Errors of NFS, CIFS, FUSE, Ceph and the like while their server can't be reached.
        Cause.PASSING: (
            "ESTALE", "ETIMEDOUT", "ETIME", "EINTR", "EBUSY", "ENOTCONN", "ESHUTDOWN", "ECONNREFUSED", "ECONNRESET",
            "ECONNABORTED", "EPIPE", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "ENETRESET", "ENOLINK",
            "ECOMM", "EREMCHG", "ERESTART", "ECANCELED", "EDEADLK", "ENONET",
        ),
    }
)  # fmt: skip

# Errors that mean a shortage in the process or the machine, whatever the call was.
_SHORTAGE_HINTS: Final[Mapping[int, str]] = MappingProxyType(
    {
        errno.EMFILE: "allow more open files: ulimit -n 4096; or send fewer blobs at once: --jobs 2",
        errno.ENFILE: "the machine has too many open files: close other programs, and run the same command again",
        errno.ENOMEM: "free some memory, or send fewer blobs at once: --jobs 2; then run the same command again",
        errno.ENOBUFS: "free some memory, or send fewer blobs at once: --jobs 2; then run the same command again",
    }
)


def cause_of(number: int | None) -> Cause:
    """Return what the error `number` means for a file that was opened, looked at or read.

    A number that no system documents for these calls counts as damage: trying again would not help.
    """
    return Cause.DAMAGED if number is None else _CAUSES.get(number, Cause.DAMAGED)


def passes(error: OSError) -> bool:
    """Return whether `error` says nothing of the file itself: the same call may succeed later."""
    return cause_of(error.errno) in (Cause.SHORTAGE, Cause.PASSING)


def shortage(error: OSError, what: str) -> OutOfResources | None:
    """Return our error if `error` means a shortage on this machine, else None.

    Not for `EAGAIN`, which is usual for sockets.
    """
    hint = _SHORTAGE_HINTS.get(error.errno or 0)
    return OutOfResources(f"{what}: {words(error)}", hint=hint) if hint is not None else None


def read_error(
    error: OSError,
    what: str,
    *,
    path: Path | None = None,
    damaged: type[IntegrityError] = BlobCorrupt,
    missing: type[NotAtSource] = BlobMissing,
) -> RegistryPushError:
    """Return the error that `error` means for `what`, which names the file.

    `damaged` and `missing` are the classes for those two causes. With `path` the message names the path, and the owner
    of a file that we may not read.
    """
    message = f"{what} can't be read: {words(error)}" + (f" ({path})" if path is not None else "")
    match cause_of(error.errno):
        case Cause.MISSING:
            return missing(message)
        case Cause.CLOSED:
            return Unreadable(message) if path is None else unreadable(path)
        case Cause.SHORTAGE:
            return OutOfResources(message, hint=_SHORTAGE_HINTS.get(error.errno or 0))
        case Cause.PASSING:
            return SourceUnavailable(message)
        case Cause.DAMAGED:
            hint = "check the disk that it is on (dmesg), then fetch the model again: ollama pull NAME"
            return damaged(message, hint=hint)


def words(error: OSError) -> str:
    """Return the system's message, without number and path."""
    if error.errno is None:
        return str(error)
    return error.strerror or os.strerror(error.errno)


def unreadable(path: Path, *, what: str = "the store", is_public: bool = False) -> Unreadable:
    """Return the error for a `path` that we may not read, with its owner and the next step.

    `is_public`: what it holds is no secret, so everybody may be let read it.
    """
    place = _blocker(path)
    owner, hint, status = "another user", "run this as the user who owns it", None
    with suppress(OSError):
        status = place.stat()
    if status is not None and pwd is not None:
        owner, hint = owner_of(status)
        if status.st_uid == os.geteuid():
            allowed = "u+rx" if stat.S_ISDIR(status.st_mode) else "u+r"
            return Unreadable(
                f"{what} can't be read: the mode of {place} keeps you, its owner, out",
                hint=f"allow it: chmod {allowed} {quote(str(place))}",
            )
        if (foreign := _foreign_below_own(place)) is not None:
            recursive = "-R " if foreign.is_dir() else ""
            return Unreadable(
                f"{what} can't be read: {place} belongs to {owner}",
                hint=f"make it yours: sudo chown {recursive}$USER {quote(str(foreign))}",
            )
        if is_public:
            allowed = "a+rx" if stat.S_ISDIR(status.st_mode) else "a+r"
            return Unreadable(
                f"{what} can't be read: {place} belongs to {owner}",
                hint=f"it is no secret, so make it readable: sudo chmod {allowed} {quote(str(place))}",
            )
        group = _group(status.st_gid)
        needed = stat.S_IRGRP | stat.S_IXGRP if stat.S_ISDIR(status.st_mode) else stat.S_IRGRP
        if group is not None and group not in _POWERFUL and status.st_mode & needed == needed:
            hint += f"; or join the group that may read it: sudo usermod -aG {group} $USER, and log in again"
    return Unreadable(f"{what} can't be read: {place} belongs to {owner}", hint=hint)


def owner_of(status: os.stat_result) -> tuple[str, str]:
    """Return the name of the owner of a file with this `status`, and the hint to run the command as that user."""
    user = _user(status.st_uid) if os.name == "posix" else None
    sudo = user if user is not None else f"'#{status.st_uid}'"  # unquoted, it would begin a comment
    return user if user is not None else f"uid {status.st_uid}", f"run it as that user: sudo -u {sudo} registry-push …"


def _foreign_below_own(place: Path) -> Path | None:
    """Return the part of `place` that is another's in a folder of this user, who is not the administrator."""
    for each in (place, *place.parents):
        with suppress(OSError):
            if each.parent.stat().st_uid == os.geteuid() != 0 and each != each.parent:
                return each
    return None


def _blocker(path: Path) -> Path:
    """Return the first part of `path`, from the top, that we may not enter or read."""
    path = path.absolute()
    for place in reversed(path.parents):
        if not os.access(place, os.X_OK):
            return place
    return path


def _user(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _group(gid: int) -> str | None:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return None
