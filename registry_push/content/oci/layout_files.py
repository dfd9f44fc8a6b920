"""`LayoutFiles`: what is read of an image layout folder: its index, its manifests, the files of its blobs."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ...errors import ArchiveCorrupt, BlobCorrupt, BlobMissing, ManifestCorrupt, StoreNotFound, Unreadable
from ...model import Digest
from ...model.export_document import EXPORT_FILE, MAX_EXPORT_BYTES, ExportDocument
from ...model.manifest import MAX_MANIFEST_BYTES
from ..ollama.paths import open_regular, read_bounded, regular_descriptor
from ..read_errors import read_error
from ..small_files import read_small_file
from ..threads import in_thread
from .index import LayoutIndex
from .reader import COPY_AGAIN

# Device, inode, size, and the times of the last changes of content and of status.
_Stamp = tuple[int, int, int, int, int]
# Seconds. Two changes in so short a time may leave a file with the same time: FAT counts in steps of two seconds.
_TICK: Final = 2.0


def blob_path(folder: Path, digest: Digest) -> Path:
    """Return where the layout in `folder` has the blob `digest`, or would have it."""
    return folder / "blobs" / "sha256" / digest.hex


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


class LayoutFiles:
    """The files of the layout in the folder `path`. Links are followed inside it only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last: tuple[_Stamp, LayoutIndex] | None = None

    def inside(self, path: Path) -> Path:
        """Return where `path` really is. Raises `Unreadable` if that is outside the layout."""
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(os.path.realpath(self.path)):
            raise Unreadable(f"{path} is a link out of the layout", hint="put the content itself there")
        return real

    def descriptor(self, path: Path) -> int:
        """Open a file of the layout. Raises `OSError`, `ValueError` if it is none, `Unreadable` if it is outside."""
        return regular_descriptor(self.inside(path))

    async def index(self) -> LayoutIndex:
        """Return what `index.json` says, parsed again only if the file is another than at the last time.

        Raises `StoreNotFound`, `ManifestCorrupt`, `Unreadable`.
        """
        with self._explaining_index():
            stamp = await in_thread(self._stamp)  # before the content: a file that is replaced meanwhile is read again
            if self._last is not None and self._last[0] == stamp:
                return self._last[1]
            index = LayoutIndex.parse(await read_small_file(self._index_path, MAX_MANIFEST_BYTES, self.descriptor))
        self._last = (stamp, index) if stamp is not None else None
        return index

    def _stamp(self) -> _Stamp | None:
        """Return what is different once `index.json` is written; None if it was written just now, and may be again.

        None too if it can't be looked at: who reads it finds out why.
        """
        try:
            status = self.inside(self._index_path).stat()
        except OSError:
            return None
        if time.time() - status.st_mtime < _TICK:
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    async def manifest(self, digest: Digest) -> bytes:
        """Return the bytes of a manifest. Raises `BlobMissing`, `BlobCorrupt`, `ManifestCorrupt`, `Unreadable`."""
        path = blob_path(self.path, digest)
        with self._explaining_manifest(digest):
            return await read_small_file(path, MAX_MANIFEST_BYTES, lambda _: self._descriptor_of(digest))

    def open(self, digest: Digest) -> io.FileIO:
        """Open the file of a blob. Raises `BlobMissing`, `BlobCorrupt` if it is no file, `Unreadable`."""
        path, descriptor = blob_path(self.path, digest), self._descriptor_of(digest)
        return io.FileIO(path, "rb", opener=lambda *_: descriptor)

    def _descriptor_of(self, digest: Digest) -> int:
        path = blob_path(self.path, digest)
        try:
            return self.descriptor(path)
        except FileNotFoundError as error:
            raise BlobMissing(f"{digest} is not in {self.path}", hint=COPY_AGAIN) from error
        except OSError as error:
            if error.errno is None:
                raise BlobCorrupt(f"{path} {error}") from error
            raise read_error(error, str(path)) from error

    def size(self, digest: Digest) -> int | None:
        """Return the size of a blob; None if it is not here."""
        with suppress(OSError):  # the next look says what is wrong
            if not _is_there(blob_path(self.path, digest)):
                return None
        try:
            with self.open(digest) as file:
                return os.fstat(file.fileno()).st_size
        except OSError as error:
            raise read_error(error, str(blob_path(self.path, digest))) from error
        except (BlobMissing, BlobCorrupt):
            return None

    def read_manifest(self, digest: Digest) -> bytes:
        """As `manifest`, in the calling thread."""
        with self._explaining_manifest(digest), self.open(digest) as file:
            return read_bounded(file, MAX_MANIFEST_BYTES)

    @contextmanager
    def _explaining_manifest(self, digest: Digest) -> Iterator[None]:
        """Raise what reading the manifest `digest` raises as our own errors."""
        try:
            yield
        except OSError as error:
            raise read_error(error, str(blob_path(self.path, digest))) from error
        except ValueError as error:
            raise ManifestCorrupt(f"{digest} in {self.path} {error}") from error

    def read_export(self) -> ExportDocument | None:
        """Return the document of the export that wrote the layout; None if there is none.

        Raises `ArchiveCorrupt`, `Unreadable`.
        """
        path = self.path / EXPORT_FILE
        try:
            with open_regular(self.inside(path)) as file:
                return ExportDocument.parse(read_bounded(file, MAX_EXPORT_BYTES), str(self.path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno is None:
                raise Unreadable(f"{path} can't be read: {error}") from error
            raise read_error(error, str(path), damaged=ArchiveCorrupt) from error
        except ValueError as error:
            raise ArchiveCorrupt(f"{path} {error}") from error

    @property
    def _index_path(self) -> Path:
        return self.path / "index.json"

    def read_index(self) -> LayoutIndex:
        """As `index`, in the calling thread."""
        with self._explaining_index(), open_regular(self.inside(self._index_path)) as file:
            return LayoutIndex.parse(read_bounded(file, MAX_MANIFEST_BYTES))

    @contextmanager
    def _explaining_index(self) -> Iterator[None]:
        """Raise what reading `index.json` raises as our own errors."""
        path = self._index_path
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreNotFound(
                f"{self.path} is no OCI image layout: it has no index.json",
                hint="name the folder that holds index.json",
            ) from error
        except OSError as error:
            if error.errno is None:
                raise Unreadable(f"{path} can't be read: {error}") from error
            raise read_error(error, str(path), damaged=ManifestCorrupt) from error
        except ValueError as error:
            raise ManifestCorrupt(f"{path} {error}") from error
