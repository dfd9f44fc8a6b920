"""`Folder`: an open folder, written by name, safe from others who replace files or folders meanwhile."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from msgspec import Struct

_HAS_DESCRIPTORS: Final = hasattr(os, "O_DIRECTORY") and os.open in os.supports_dir_fd  # Windows opens no folders
_FOLDER_FLAGS: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
# O_NOFOLLOW: a link instead of a file could lead out of the store. O_NONBLOCK: don't wait for a FIFO.
_FILE_FLAGS: Final = (
    os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
)
FILE_MODE: Final = 0o644  # as Ollama writes blobs: its service and its users both read them
_FOLDER_MODE: Final = 0o755


class Owner(Struct, frozen=True):
    """The user and group that a new file is given to."""

    uid: int
    gid: int


class Folder:
    """An open folder. Its methods block on the disk and raise `OSError`; names are single parts of a path.

    Names are looked up in the open folder itself (openat), so that nobody who may write above it can make us write
    elsewhere. `owner` gets what is created here; None: it stays ours.
    """

    def __init__(self, path: Path, descriptor: int | None, owner: Owner | None, home: Path) -> None:
        self.path = path
        self.owner = owner
        self._descriptor = descriptor
        self._home = home  # links must lead into it

    @classmethod
    def at(cls, path: Path, owner: Owner | None, home: Path | None = None) -> Self:
        """Open `path`, links followed. Links in it lead into `home`, if given, else into itself."""
        descriptor = os.open(path, _FOLDER_FLAGS) if _HAS_DESCRIPTORS else None
        if descriptor is None and not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        return cls(path, descriptor, owner, home if home is not None else Path(os.path.realpath(path)))

    @classmethod
    def made(cls, path: Path, owner: Owner | None) -> Self:
        """Open `path`, and make it and the folders above it if they are missing. Links are followed."""
        try:
            return cls.at(path, owner)
        except FileNotFoundError:
            if path == path.parent:
                raise
        with cls.made(path.parent, owner) as parent:
            parent.make(path.name)
        return cls.at(path, owner)

    def child(self, name: str) -> Folder:
        """Open the folder `name` in this one, and make it if it is missing. A link out of the store is refused."""
        try:
            return self._child(name)
        except FileNotFoundError:
            self.make(name)
        return self._child(name)

    def make(self, name: str) -> None:
        """Make the folder `name`; nothing if it is there."""
        try:
            os.mkdir(self._at(name), _FOLDER_MODE, dir_fd=self._descriptor)
        except FileExistsError:
            return
        with self._child(name) as made:
            made.adopt(made._descriptor, _FOLDER_MODE)
        self.sync()

    def create(self, name: str) -> int:
        """Return the descriptor of the new file `name`. Raises `FileExistsError`."""
        flags = _FILE_FLAGS | os.O_CREAT | os.O_EXCL
        descriptor = os.open(self._at(name), flags, FILE_MODE, dir_fd=self._descriptor)
        try:
            self.adopt(descriptor, FILE_MODE)
        except BaseException:  # Ctrl-C too: nobody else closes it
            os.close(descriptor)
            raise
        return descriptor

    def open(self, name: str) -> int:
        """Return the descriptor of the file `name`, which may be no link and have no second name."""
        descriptor = os.open(self._at(name), _FILE_FLAGS, dir_fd=self._descriptor)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            os.close(descriptor)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.path / name))
        return descriptor

    def write(self, name: str, content: bytes) -> None:
        """Write the new file `name` and sync it to the disk."""
        descriptor = self.create(name)
        try:
            write_all(descriptor, content, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def replace(self, name: str, folder: Folder, new: str) -> None:
        """Move the file or link `name` to `new` in `folder`, atomically, and sync the name to the disk."""
        os.replace(self._at(name), folder._at(new), src_dir_fd=self._descriptor, dst_dir_fd=folder._descriptor)
        folder.sync()

    def link(self, name: str, to: str) -> None:
        """Make the symbolic link `name` that leads to `to`."""
        os.symlink(to, self._at(name), dir_fd=self._descriptor)
        if self.owner is not None:
            os.chown(self._at(name), *self._ids(), dir_fd=self._descriptor, follow_symlinks=False)

    def unlink(self, name: str) -> None:
        """Remove the file or link `name`, if it is there."""
        try:
            os.unlink(self._at(name), dir_fd=self._descriptor)
        except FileNotFoundError:
            return

    def status(self, name: str) -> os.stat_result | None:
        """Look at `name`, a link unfollowed; None if there is nothing."""
        try:
            return os.stat(self._at(name), dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def spelling(self, name: str) -> str:
        """Return how `name` is spelt here: as it is if it is there or new, else as the first that differs in case."""
        if self.status(name) is not None:
            return name
        return min((each for each in self.names() if each.lower() == name.lower()), default=name)

    def names(self) -> list[str]:
        """Return the names of what is in here."""
        with os.scandir(self._descriptor if self._descriptor is not None else self.path) as found:
            return [entry.name for entry in found]

    def sync(self) -> None:
        """Sync the names in here to the disk. Windows does so itself."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    @property
    def device(self) -> int:
        """The number of the file system."""
        return (os.fstat(self._descriptor) if self._descriptor is not None else self.path.stat()).st_dev

    def adopt(self, descriptor: int | None, mode: int) -> None:
        """Give the new file or folder `descriptor` its mode, whatever the umask, and its owner."""
        if descriptor is not None and hasattr(os, "fchmod"):
            os.fchmod(descriptor, mode)
            if self.owner is not None:
                os.fchown(descriptor, *self._ids())

    def close(self) -> None:
        """Close it."""
        if self._descriptor is not None:
            os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ids(self) -> tuple[int, int]:
        assert self.owner is not None
        return self.owner.uid, self.owner.gid

    def _at(self, name: str) -> str:
        assert name not in ("", ".", "..") and "/" not in name, "names are parts, parsed before they come here"
        return name if self._descriptor is not None else str(self.path / name)

    def _child(self, name: str) -> Folder:
        path = self.path / name
        status = self.status(name)
        if status is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        if stat.S_ISLNK(status.st_mode):
            path = Path(os.path.realpath(path))
            if not path.is_relative_to(self._home):
                raise OSError(errno.ELOOP, "it is a link out of the store", str(path))
            return Folder.at(path, self.owner, self._home)
        if self._descriptor is None:
            return Folder.at(path, self.owner, self._home)
        descriptor = os.open(name, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=self._descriptor)
        return Folder(path, descriptor, self.owner, self._home)


def write_all(descriptor: int, content: bytes | memoryview, offset: int) -> None:
    """Write all of `content` at `offset`."""
    rest = memoryview(content)
    while rest:
        count = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[count:], offset + count
