"""Files that a run of `sync` writes: checked before it begins, and written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ...content.write_errors import check_writable, unwritable, write_error
from ...errors import UsageError, quoted

# Those of this process, which a path such as /dev/stdout names.
_OUTPUTS = (1, 2)


def check_output(path: Path, what: str) -> None:
    """Raise `UsageError` or `Unwritable` if `path`, the file of `what`, can't be written, as far as can be told."""
    status = _status(path, what)
    if _own_output(status) is not None:
        return
    if status is None or stat.S_ISREG(status.st_mode):
        real = Path(os.path.realpath(path))
        if not real.parent.is_dir():
            raise UsageError(
                f"{what} {path} can't be written: its folder is not there",
                hint="make the folder, or name another file",
            )
        check_writable(real)
    elif stat.S_ISDIR(status.st_mode):
        raise UsageError(f"{what} {path} can't be written: it is a folder", hint="name a file in it")
    elif not os.access(path, os.W_OK):
        raise unwritable(path, path)
    elif stat.S_ISCHR(status.st_mode):
        try:
            descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
            with os.fdopen(descriptor, "wb", buffering=0) as device:
                device.write(b"")  # /dev/full refuses even that
        except OSError as error:
            raise UsageError(
                f"{what} {path} can't be written: {error.strerror}", hint="name a file, or another device"
            ) from error


def check_apart(files: Mapping[str, Path | None]) -> None:
    """Raise `UsageError` if two of `files`, by what they are, are one: what was in it would be lost."""
    seen: list[tuple[str, Path]] = []
    for what, path in files.items():
        if path is None:
            continue
        for other, before in seen:
            if _is_same(path, before):
                raise UsageError(f"{other} and {what} are the same file, {path}", hint="give each a file of its own")
        seen.append((what, path))


def write_whole(path: Path, text: str) -> None:
    """Write `text` into the file at `path`, whole or not at all. Raises `Unwritable`, `Unavailable`.

    A file that was there is replaced, and its permissions stay; a link is followed. A device or a pipe is written into.
    """
    try:
        status = _status(path, "the file")
        descriptor = _own_output(status)
        if descriptor is not None:  # to replace its file would take it away from what is printed
            _write(os.dup(descriptor), text)
        elif status is not None and not stat.S_ISREG(status.st_mode):
            _write(os.open(path, os.O_WRONLY), text)
        else:
            _replace(Path(os.path.realpath(path)), text, status)
    except OSError as error:
        raise write_error(error, path) from error


def _replace(path: Path, text: str, status: os.stat_result | None) -> None:
    # No name that can be foreseen, and exclusive: in a folder like /tmp others can't put a link in its place.
    partial = path.with_name(f".registry-push.{secrets.token_hex(8)}.partial")
    mode = 0o666 if status is None else 0o600  # a new file gets what the umask leaves
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        _write(descriptor, text)
        if status is not None:
            partial.chmod(stat.S_IMODE(status.st_mode))
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def _write(descriptor: int, text: str) -> None:
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _status(path: Path, what: str) -> os.stat_result | None:
    """Return what is at `path`; None if nothing is. Raises `UsageError`, `Unwritable`, `Unavailable`."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:  # a zero byte
        raise UsageError(f"{what} {quoted(str(path))} has no possible name", hint="name another file") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UsageError(
                f"{what} {quoted(str(path))} can't be written: its name is too long", hint="name another file"
            ) from error
        raise write_error(error, path) from error


def _own_output(status: os.stat_result | None) -> int | None:
    """Return which of this process's outputs the file is, if it is one."""
    for descriptor in _OUTPUTS:
        with suppress(OSError):
            if status is not None and os.path.samestat(os.fstat(descriptor), status):
                return descriptor
    return None


def _is_same(one: Path, other: Path) -> bool:
    """Return whether both are one file; what is no file of the disk, such as /dev/null, can take both."""
    with suppress(OSError, ValueError):
        return one.samefile(other) and one.is_file()
    return os.path.realpath(one) == os.path.realpath(other)
