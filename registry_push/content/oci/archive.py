"""`OCIArchive`: an OCI image layout in a tar file, read without unpacking."""

from __future__ import annotations

import errno
import io
import os
import shlex
import stat
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn, Self

from ...errors import (
    ArchiveCorrupt,
    BlobCorrupt,
    ManifestCorrupt,
    SourceChanged,
    StoreNotFound,
    UsageError,
    printable,
)
from ...model import Descriptor, Digest
from ...model.export_document import EXPORT_FILE, ExportDocument, Part
from ...model.manifest import MAX_MANIFEST_BYTES
from ..body import PIECE
from ..ollama.paths import kind_of, open_regular
from ..read_errors import read_error
from ..threads import in_thread
from . import tar
from .index import LayoutIndex
from .reader import COPY_AGAIN, LayoutReader
from .tar_scan import DamagedArchiveError, Member, Room, scan

_PART: Final = ".part-"
_OLD_DOCKER: Final = "manifest.json"
_NO_TAR: Final = "name the archive, its volumes, or a folder with them; if it was an archive, copy it again"


class OCIArchive(LayoutReader):
    """An archive as a source. An async context manager, which opens the file when it is first needed.

    Implements `Source[str | None]`, `Checker` and `TagLister`.

    Nothing is unpacked. The headers are read once, in one pass; then blobs are read at their offsets. Everything but
    plain files and folders is refused, wherever it is in the archive: links, devices, sparse files, paths that lead out
    of it, and duplicate files of a layout.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._is_over = False
        self._opened: tuple[io.FileIO, Mapping[str, Member]] | None = None
        self._index: LayoutIndex | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await in_thread(self._close)

    @property
    def origin(self) -> str:
        """The archive, as places are written."""
        return f"oci-archive:{self.path}"

    async def open(self, blob: Descriptor) -> MemberBody:
        """Return the body of `blob`. Raises `BlobMissing`, `BlobCorrupt` if its size is another, and as `index`."""
        file, members = await in_thread(self._contents)
        member = members.get(path_of(blob.digest))
        if member is None:
            raise self._missing(blob.digest)
        if member.size != blob.size:
            raise self._misfit(blob, member.size)
        return MemberBody(file, member, name=f"{blob.digest} in {self.path}")

    def exports(self) -> Sequence[ExportDocument]:
        """Return the document of the export that wrote the archive, if there is one."""
        if EXPORT_FILE not in self._contents()[1]:
            return ()
        return (ExportDocument.parse(self._read_member(EXPORT_FILE), str(self.path)),)

    def part(self, part: Part) -> MemberBody | None:
        """Return the body of a part of a blob; None if it is not here. Blocks on the disk. Raises as `open`."""
        file, members = self._contents()
        name = part_path(part)
        member = members.get(name)
        if member is None:
            return None
        if member.size != part.length:
            raise ArchiveCorrupt(f"{name} in {self.path} has {member.size} bytes, not {part.length}", hint=COPY_AGAIN)
        return MemberBody(file, member, name=f"part {part.number} of {part.digest} in {self.path}")

    def part_names(self) -> list[str]:
        """Return the names of all parts that are here. Blocks on the disk. Raises as `index`."""
        return [name for name in self._contents()[1] if _PART in name]

    def rooms(self, digest: Digest) -> list[list[Room]]:
        """Return where the blob lies, once for each copy of it; nothing if it is not here.

        Blocks on the disk. Raises as `index`.
        """
        member = self._contents()[1].get(path_of(digest))
        return [[Room(self.path, member.offset, member.size)]] if member is not None else []

    def part_room(self, part: Part) -> Room | None:
        """Return where a part of a blob lies; None if it is not here. Blocks on the disk. Raises as `index`."""
        member = self._contents()[1].get(part_path(part))
        return Room(self.path, member.offset, member.size) if member is not None else None

    def _contents(self) -> tuple[io.FileIO, Mapping[str, Member]]:
        """Return the open file, and where its members are. Raises `StoreNotFound`, `ArchiveCorrupt`, `UsageError`."""
        with self._lock:
            if self._opened is None:
                file = self._open()
                try:
                    self._opened = file, self._scanned(file)
                except BaseException:  # cancelled or broken, nobody else closes it
                    file.close()
                    raise
            return self._opened

    def _open(self) -> io.FileIO:
        try:
            path = Path(os.path.realpath(self.path))
            mode = path.stat().st_mode
            if not stat.S_ISREG(mode):
                hint = f"for a layout in a folder: oci:{self.path}" if stat.S_ISDIR(mode) else "name a tar file"
                raise UsageError(f"{self.path} is {kind_of(mode)}, no archive", hint=hint)
            return open_regular(path)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise StoreNotFound(f"there is no {self.path}", hint="check the path of the archive") from error
            raise read_error(error, str(self.path), path=self.path, damaged=ArchiveCorrupt) from error

    def _scanned(self, file: io.FileIO) -> Mapping[str, Member]:
        size = os.fstat(file.fileno()).st_size
        compression = tar.compression(self._read(file, 0, tar.BLOCK))
        if compression is not None:
            name, command = compression
            hint = f"decompress it first, keeping it: {command} < {shlex.quote(str(self.path))} > FILE.tar"
            raise UsageError(
                f"{self.path} is compressed with {name}; only archives that are not compressed can be read", hint=hint
            )
        try:
            found = scan(lambda offset, length: self._read(file, offset, length), size)
        except DamagedArchiveError as error:
            if error.offset == 0:  # not even the first header: most likely it is something else
                raise ArchiveCorrupt(f"{self.path} is no tar file: it {error}, at byte 0", hint=_NO_TAR) from error
            raise ArchiveCorrupt(f"{self.path} {error}, at byte {error.offset}") from error
        if "index.json" not in found:
            self._refuse(found)
        return found

    def _refuse(self, found: Mapping[str, Member]) -> NoReturn:
        if _OLD_DOCKER in found:
            raise UsageError(
                f"{self.path} is no OCI archive: it has no index.json, but a manifest.json as docker save writes it",
                hint=f"make one of it: skopeo copy {shlex.quote(f'docker-archive:{self.path}')} oci-archive:FILE.tar",
            )
        raise UsageError(
            f"{self.path} is no OCI archive: it has no index.json",
            hint="a layout has to be at the archive's root: tar -cf FILE.tar -C LAYOUT .",
        )

    def _read(self, file: io.FileIO, offset: int, length: int) -> bytes:
        if self._is_over:  # the rest of the pass is not needed
            raise UsageError(f"{self.path} is closed")
        try:
            return os.pread(file.fileno(), length, offset)
        except OSError as error:
            raise read_error(error, f"byte {offset} of {self.path}", damaged=ArchiveCorrupt) from error

    def _read_index(self) -> LayoutIndex:
        if self._index is not None:
            return self._index
        try:
            index = LayoutIndex.parse(self._read_member("index.json"))
        except ManifestCorrupt as error:
            raise ManifestCorrupt(f"{error.message} ({self.path})", hint=COPY_AGAIN) from error
        for export in self.exports():
            if index.names != {(each.name, str(each.digest)) for each in export.manifests}:
                raise ArchiveCorrupt(
                    f"{self.path} is damaged: its index.json and its {EXPORT_FILE} have different models",
                    hint=COPY_AGAIN,
                )
        self._index = index
        return index

    def _read_blob(self, digest: Digest) -> bytes:
        if path_of(digest) not in self._contents()[1]:
            raise self._missing(digest)
        return self._read_member(path_of(digest))

    def _read_member(self, name: str) -> bytes:
        """Return all of a small member."""
        file, members = self._contents()
        member = members[name]
        if member.size > MAX_MANIFEST_BYTES:
            raise ManifestCorrupt(
                f"{name} in {self.path} has {member.size} bytes; at most {MAX_MANIFEST_BYTES} are read", hint=COPY_AGAIN
            )
        content = self._read(file, member.offset, member.size)
        if len(content) < member.size:
            raise SourceChanged(f"{self.path} became shorter while it was read")
        return content

    def _size(self, digest: Digest) -> int | None:
        member = self._contents()[1].get(path_of(digest))
        return member.size if member is not None else None

    def _close(self) -> None:
        with self._lock:
            if self._opened is not None:
                self._opened[0].close()


class MemberBody:
    """A blob in an open archive, readable as often as needed. Implements `BlobBody`."""

    def __init__(self, file: io.FileIO, member: Member, *, name: str) -> None:
        self._file = file
        self._member = member
        self._name = printable(name)

    @property
    def size(self) -> int:
        """Bytes."""
        return self._member.size

    @property
    def file(self) -> io.FileIO:
        """The open archive. Read it with `pread`."""
        return self._file

    @property
    def offset(self) -> int:
        """Where the content begins in the archive."""
        return self._member.offset

    @property
    def name(self) -> str:
        """The name for messages."""
        return self._name

    async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
        """Yield `length` bytes from `offset`. Raises `SourceChanged` if the archive has become shorter.

        For bytes that the disk can't read it raises as `read_error`. Cancelling is safe at any piece.
        """
        end = offset + length
        if not 0 <= offset <= end <= self.size:
            raise BlobCorrupt(f"{self._name} has {self.size} bytes; {length} from {offset} were asked for")
        while offset < end:
            wanted = min(PIECE, end - offset)
            try:
                piece = await in_thread(os.pread, self._file.fileno(), wanted, self._member.offset + offset)
            except OSError as error:
                raise read_error(error, f"byte {offset} of {self._name}") from error
            if not piece:
                raise SourceChanged(f"{self._name} became shorter while it was read: it ends at byte {offset}")
            offset += len(piece)
            yield piece

    async def close(self) -> None:
        """Nothing is held: the file is the archive's."""


def path_of(digest: Digest) -> str:
    """Return the name of a blob's entry."""
    return f"blobs/sha256/{digest.hex}"


def part_path(part: Part) -> str:
    """Return the name of a part's entry."""
    return f"{path_of(part.digest)}{_PART}{part.number:03}"
