"""Where Ollama keeps its models, and how to open files of other people safely."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from pathlib import Path
from typing import Final

from ...errors import StoreNotFound, Unavailable, Unreadable
from ...text.hint import Setting, step
from ..read_errors import passes, read_error, unreadable

# O_NONBLOCK: opening a FIFO must not wait for its writer. Regular files don't heed it.
# O_NOFOLLOW: the path was resolved before; a link that appeared since is an attack. Windows has neither.
_FLAGS: Final[int] = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)

# What a store has in it, once Ollama has run.
_PARTS: Final = ("manifests", "blobs", "manifests-v2")


def usual_roots(home: Path | None, platform: str) -> tuple[Path, ...]:
    """Return where to look for a store by default: in `home`, if any, then, on Linux, where packages put it.

    `platform` is spelt as `sys.platform` does. Docker's image is in its root user's home.
    """
    own = () if home is None else (home / ".ollama" / "models",)
    if platform in ("win32", "darwin"):
        return own
    return (
        *own,
        Path("/usr/share/ollama/.ollama/models"),  # install.sh's service user
        Path("/var/lib/ollama/models"),  # NixOS
        Path("/var/lib/ollama"),  # Arch
    )


def root_to_write(explicit: Path | None, ollama_models: str | None, home: Path | None) -> Path:
    """As `find_root`, but for a store that is made if it is not there. Raises `StoreNotFound` without a home."""
    named = (ollama_models or "").strip().strip("\"'")
    if explicit is not None or named:
        return explicit if explicit is not None else Path(named)
    try:
        return find_root(None, None, home)
    except StoreNotFound:
        if home is None:
            raise
        return home / ".ollama" / "models"


def find_root(
    explicit: Path | None, ollama_models: str | None, home: Path | None, *, platform: str = sys.platform
) -> Path:
    """Return the folder of the store: `--models`, else `$OLLAMA_MODELS`, else the first usual place that exists.

    Raises `StoreNotFound`, which names every place, and `Unreadable` or `Unavailable` if a place can't be looked into.
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
            # A service's home is usually closed to others; a store further on may still be ours.
            blocked = blocked or error
    if blocked is not None:
        raise blocked
    raise StoreNotFound(
        f"no Ollama store in {', '.join(map(str, roots)) or 'the home folder that this user does not have'}",
        hint=step("say where it is: ", Setting("models", "DIR"), ", or OLLAMA_MODELS=DIR"),
    )


def usual_root(home: Path | None, *, platform: str = sys.platform) -> Path | None:
    """Return the folder of the store that is used when none is named; None if there is none that can be looked into."""
    try:
        return find_root(None, None, home, platform=platform)
    except (StoreNotFound, Unreadable, Unavailable):
        return None


def check_is_store(root: Path) -> None:
    """Raise `StoreNotFound` if `root` has nothing of a store in it; the hint names the folder probably meant."""
    if _has_parts(root) or not os.access(root, os.X_OK):  # one that is closed to us may be a store: its reader says so
        return
    near = store_near(root)
    raise StoreNotFound(
        f"{root} is no Ollama store: there are no manifests and no blobs in it",
        hint=step("did you mean ", Setting("models", str(near)), "?") if near is not None else None,
    )


def store_near(root: Path) -> Path | None:
    """Return the store that was probably meant by `root`, which is none; None if there is none about it."""
    places = (root / "models", root / ".ollama" / "models", root.parent)
    return next(filter(_has_parts, places), None)


def _has_parts(folder: Path) -> bool:
    return any(os.path.lexists(folder / part) for part in _PARTS)


def regular_descriptor(path: str | Path) -> int:
    """Open `path` for reading without waiting, and return its descriptor. Its last part may not be a link.

    Raises `OSError`; for what is no regular file, `IsADirectoryError` or `OSError` with a text that says so.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(f"is {kind_of(mode)}, not a file")  # noqa: TRY301  # the descriptor is closed below
    except BaseException:  # Ctrl-C too: nobody else closes it
        os.close(descriptor)
        raise
    return descriptor


def open_regular(path: str | Path) -> io.FileIO:
    """Open `path` as `regular_descriptor` does, for reading without a buffer."""
    descriptor = regular_descriptor(path)
    return io.FileIO(path, "rb", opener=lambda *_: descriptor)  # so that its name is its path


def real_folder(root: Path, folder: str) -> Path:
    """Return where `folder` of the store at `root` really is: owners link it to a bigger disk."""
    return Path(os.path.realpath(root / folder))


def inside(root: Path, path: Path) -> tuple[Path, os.stat_result]:
    """Return the regular file that `path` is or links to, inside the store at `root`.

    Raises `OSError`, without a number and with the reason if the file is none, or outside.
    """
    status = path.lstat()
    real = Path(os.path.realpath(path, strict=True))
    homes = (real_folder(root, folder) for folder in (".", *_PARTS))
    if not any(real.is_relative_to(home) for home in homes):
        raise OSError("is linked to a place outside the store")
    if stat.S_ISLNK(status.st_mode):
        status = real.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"is {kind_of(status.st_mode)}, not a file")
    return real, status


def reason_of(error: Exception) -> str:
    """Return why a file of the store is of no use, as the end of a sentence that begins with its name."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    return "is a link that leads nowhere" if error.errno in (errno.ENOENT, errno.ELOOP) else os.strerror(error.errno)


def read_small(path: Path, limit: int) -> bytes:
    """Return the content of `path`, links followed. Raises `OSError`; for more than `limit` bytes, `ValueError`."""
    with open_regular(Path(os.path.realpath(path))) as file:
        return read_bounded(file, limit)


def read_bounded(file: io.FileIO, limit: int) -> bytes:
    """Return all of `file`. Raises `ValueError` if there are more than `limit` bytes."""
    content = bytearray()
    while part := file.read(limit + 1 - len(content)):
        content += part
    if len(content) > limit:
        raise ValueError(f"has more than {limit} bytes")
    return bytes(content)


def kind_of(mode: int) -> str:
    """Return what a file that is no regular file is, for a message."""
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
    except OSError as error:
        if passes(error):
            raise read_error(error, "the store", path=place) from error
        return False
