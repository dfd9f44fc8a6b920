"""Where Ollama keeps its models, and how files of other people are opened without harm."""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path
from typing import Final

from ..errors import StoreNotFound, Unreadable

try:
    import grp
    import pwd
except ImportError:  # Windows has neither: see `unreadable`.
    grp = pwd = None  # type: ignore[assignment]

# O_NONBLOCK: opening a FIFO must not wait for its writer. Regular files don't heed it.
# O_NOFOLLOW: the path was resolved before; a link that appears since is somebody's trick. Windows has neither.
_FLAGS: Final[int] = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)


def usual_roots(home: Path, platform: str) -> tuple[Path, ...]:
    """Where a store is looked for when nobody says: `home`, then, on Linux, what its packages use.

    `platform` is spelt as `sys.platform` does. Docker's image is in its root user's home.
    """
    own = home / ".ollama" / "models"
    if platform in ("win32", "darwin"):
        return (own,)
    return (
        own,
        Path("/usr/share/ollama/.ollama/models"),  # install.sh's service user
        Path("/var/lib/ollama/models"),  # NixOS
        Path("/var/lib/ollama"),  # Arch
    )


def find_root(explicit: Path | None, ollama_models: str | None, home: Path, *, platform: str = sys.platform) -> Path:
    """The folder of the store: `--models`, else `$OLLAMA_MODELS`, else the first usual place that exists.

    Raises `StoreNotFound`, which names every place, and `Unreadable` where a place can't be looked into.
    """
    # envconfig.Var in Ollama strips spaces, then quotes, so that a quoted value in a unit file works.
    named = (ollama_models or "").strip().strip("\"'")
    if explicit is not None or named:
        place, by = (explicit, "--models") if explicit is not None else (Path(named), "OLLAMA_MODELS")
        if not _is_folder(place):
            raise StoreNotFound(f"{place} is no folder ({by})", hint="name the folder that holds manifests and blobs")
        return place
    roots, blocked = usual_roots(home, platform), None
    for root in roots:
        try:
            if _is_folder(root):
                return root
        except Unreadable as error:
            # A service's home is closed to others more often than not; a store further on may still be ours.
            blocked = blocked or error
    if blocked is not None:
        raise blocked
    raise StoreNotFound(
        f"no Ollama store in {', '.join(map(str, roots))}",
        hint="say where it is: --models DIR, or OLLAMA_MODELS=DIR",
    )


def unreadable(path: Path, *, what: str = "the store") -> Unreadable:
    """The error for a `path` that the system would not let us read; says whose it is and what to do."""
    place = _blocker(path)
    hint = "run this as the user who owns it"
    owner = "another user"
    try:
        status = place.stat()
    except OSError:
        status = None
    if status is not None and pwd is not None:
        user, group = _user(status.st_uid), _group(status.st_gid)
        owner = user if user is not None else f"uid {status.st_uid}"
        hint = f"run it as that user: sudo -u {user if user is not None else f'#{status.st_uid}'} registry-push …"
        needed = stat.S_IRGRP | stat.S_IXGRP if stat.S_ISDIR(status.st_mode) else stat.S_IRGRP
        if group is not None and status.st_mode & needed == needed:
            hint += f"; or join the group that may read it: sudo usermod -aG {group} $USER, and log in again"
    return Unreadable(f"{what} can't be read: {place} belongs to {owner}", hint=hint)


def open_regular(path: Path) -> io.FileIO:
    """`path`, open for reading without a buffer; never waits. Its last part may not be a link.

    Raises `OSError`; for what is no regular file, `IsADirectoryError` or `OSError` with a text that says so.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(f"is {kind_of(mode)}, not a file")  # noqa: TRY301  # the descriptor is closed below
        return io.FileIO(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_small(path: Path, limit: int) -> bytes:
    """The content of `path`, links followed. Raises `OSError`; for more than `limit` bytes, `ValueError`."""
    with open_regular(Path(os.path.realpath(path))) as file:
        return read_bounded(file, limit)


def read_bounded(file: io.FileIO, limit: int) -> bytes:
    """All of `file`. Raises `ValueError` if there are more than `limit` bytes."""
    content = bytearray()
    while part := file.read(limit + 1 - len(content)):
        content += part
    if len(content) > limit:
        raise ValueError(f"has more than {limit} bytes")
    return bytes(content)


def kind_of(mode: int) -> str:
    """What a file that is no regular file is, for a message."""
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a device or socket"


def _is_folder(place: Path) -> bool:
    try:
        return stat.S_ISDIR(place.stat().st_mode)
    except PermissionError as error:
        raise unreadable(place) from error
    except OSError:
        return False


def _blocker(path: Path) -> Path:
    """The first part of `path`, from the top, that is closed to us."""
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
