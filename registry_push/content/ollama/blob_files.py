"""`BlobFiles`: the blobs of an Ollama store, found, opened and checked."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ...errors import BlobCorrupt, BlobMissing, RegistryPushError
from ...model import Descriptor, Digest, Manifest
from ...model.manifest import MAX_MANIFEST_BYTES, ManifestEntry
from ..body import BytesBody, hint_for_damaged
from ..read_errors import Cause, cause_of, read_error, unreadable
from .paths import inside, open_regular, read_bounded, reason_of

# How many broken blobs one message names.
_SHOWN: Final = 3


class BlobFiles:
    """The files of the blobs in the store at `root`. Every method blocks on the disk.

    Their paths are strings: `Path` objects took 0.06 of the instructions of a push of 600 small blobs.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = str(root / "blobs")

    def read_child(self, entry: ManifestEntry) -> bytes:
        """Return the bytes of a manifest that a list names, which is a blob of the store.

        Raises `BlobMissing`, `BlobCorrupt`, `Unreadable`, `Unavailable`.
        """
        blob = Descriptor(entry.media_type, entry.digest, entry.size or 0)
        path, _ = self.locate(blob)
        try:
            with open_regular(path) as file:
                return read_bounded(file, MAX_MANIFEST_BYTES)
        except OSError as error:
            raise self._unusable(blob, path, error) from error
        except ValueError as error:
            raise BlobCorrupt(f"the manifest {entry.digest} can't be read: {error}") from error

    def read(self, blob: Descriptor) -> BytesBody:
        """Return all of a small blob. Raises as `open`."""
        with self.open(blob) as file:
            path = file.name
            try:
                content = file.read(blob.size + 1)
            except OSError as error:
                raise self._unusable(blob, path, error) from error
        self._check_size(blob, len(content), path)
        return BytesBody(content, path=path)

    def open(self, blob: Descriptor) -> io.FileIO:
        """Open the blob's file.

        Raises `BlobMissing` if it is not there or no file of this store, `BlobCorrupt` if its size is wrong,
        `Unreadable`.
        """
        path, _ = self.locate(blob)
        try:
            file = open_regular(path)
        except OSError as error:
            raise self._unusable(blob, path, error) from error
        try:
            self._check_size(blob, os.fstat(file.fileno()).st_size, path)
        except OSError as error:
            file.close()
            raise self._unusable(blob, path, error) from error
        except BaseException:  # Ctrl-C too: nobody else closes it
            file.close()
            raise
        return file

    def check(self, manifest: Manifest) -> None:
        """Look at every blob of `manifest`, content unread, so that a push fails before it begins.

        Raises one error for all: `Unreadable`, else `BlobMissing`, else `BlobCorrupt`.
        """
        missing: list[RegistryPushError] = []
        corrupt: list[RegistryPushError] = []
        for blob in manifest.blobs:
            try:
                path, status = self.locate(blob)
                if not os.access(path, os.R_OK):
                    raise unreadable(Path(path))
                self._check_size(blob, status.st_size, path)
            except BlobMissing as error:
                missing.append(error)
            except BlobCorrupt as error:
                corrupt.append(error)
        broken = missing or corrupt
        if not broken:
            return
        if len(broken) == 1:
            raise broken[0]
        shown = "; ".join(error.message for error in broken[:_SHOWN]) + ("; …" if len(broken) > _SHOWN else "")
        what = "missing" if missing else "damaged"
        raise type(broken[0])(f"{len(broken)} of {len(manifest.blobs)} blobs are {what}: {shown}", hint=broken[0].hint)

    def locate(self, blob: Descriptor) -> tuple[str, os.stat_result]:
        """Return the path of the blob's file, and what the file system says of it. Raises as `open`, size unchecked."""
        for name in _file_names(blob.digest):
            path = f"{self._folder}{os.sep}{name}"
            try:
                status = os.lstat(path)
                # Nearly all are plain files: with thousands of them, one system call each matters.
                if stat.S_ISREG(status.st_mode):
                    return path, status
                real, status = inside(self._root, Path(path))
                return str(real), status
            except (FileNotFoundError, NotADirectoryError) as error:
                if Path(path).is_symlink():
                    raise self._missing(blob, "is linked to what does not exist") from error
            except OSError as error:
                raise self._unusable(blob, path, error) from error
        raise self._missing(blob, "is not in the store")

    def _missing(self, blob: Descriptor, reason: str) -> BlobMissing:
        return BlobMissing(f"{blob.kind} blob {blob.digest} {reason}", hint=self._partial_hint(blob))

    def _unusable(self, blob: Descriptor, path: str, error: OSError) -> RegistryPushError:
        if error.errno is None or cause_of(error.errno) is Cause.MISSING:
            return self._missing(blob, reason_of(error))
        return read_error(error, f"{blob.kind} blob {blob.digest}", path=Path(path))

    def _check_size(self, blob: Descriptor, size: int, path: str) -> None:
        if size != blob.size:
            message = f"{blob.kind} blob {blob.digest} has {size} bytes, not {blob.size}"
            raise BlobCorrupt(message, hint=self._partial_hint(blob) or hint_for_damaged(path))

    def _partial_hint(self, blob: Descriptor) -> str | None:
        """Return the next step if a pull of this blob has begun and not ended; else None, for the error's own."""
        if os.path.lexists(f"{self._folder}{os.sep}{blob.digest.path_name}-partial"):
            return "a pull of it is unfinished: let it end, or ollama pull NAME"
        return None


def _file_names(digest: Digest) -> Iterator[str]:
    # Today's name, the name before Ollama 0.1.33, and those with the capitals of a digest in a manifest.
    yield digest.path_name
    upper = digest.hex.upper()
    yield from (f"sha256:{digest.hex}", f"sha256-{upper}", f"sha256:{upper}")
