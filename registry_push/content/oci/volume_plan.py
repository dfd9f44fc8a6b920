"""`VolumePlan`: which bytes of an export go where in which file, known before the first one is written. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Self

from msgspec import Struct

from ...errors import ManifestCorrupt, UsageError
from ...model import Descriptor, Digest, Manifest
from ...model.export_document import (
    MAX_VOLUMES,
    ExportDocument,
    Exported,
    Part,
    Volume,
)
from ...model.json_document import MAX_DOCUMENT_BYTES
from ...text.hint import Setting, step
from ...text.sizes import size as shown
from . import tar
from .layout import VERSION
from .tar_scan import MAX_ENTRIES

# Bytes. A blob is cut at the end of a volume only if at least so much of it still fits there.
_LEAST_PART: Final = 1024 * 1024
# Bytes of content that a volume has room for, at least.
_LEAST_ROOM: Final = 16 * 1024
_ANY_SUM: Final = Digest("0" * 64)


class Piece(Struct, frozen=True, order=True):
    """A blob, or if `number` is not 0, a part of it: `length` bytes from `start`."""

    digest: Digest
    number: int
    start: int
    length: int

    @property
    def name(self) -> str:
        """The name of its entry."""
        return f"blobs/sha256/{self.digest.hex}" + (f".part-{self.number:03}" if self.number else "")


class Entry(Struct, frozen=True):
    """A piece in a file: where its header begins, and the header."""

    piece: Piece
    begin: int
    header: bytes

    @property
    def content(self) -> int:
        """Where its content begins."""
        return self.begin + len(self.header)

    @property
    def end(self) -> int:
        """Where the next header begins."""
        return self.content + self.piece.length + tar.padding(self.piece.length)


class VolumeFilePlan(Struct, frozen=True):
    """One file: its name, its first bytes, its entries in the order of their digests, and where its document begins."""

    name: str
    head: bytes
    entries: tuple[Entry, ...]
    document: int
    room: int  # bytes for the document

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.document + tar.entry_size(self.room) + len(tar.END)


class VolumePlan(Struct, frozen=True):
    """The files, and what the document of each says. `manifests` are in every file, `places` says where a blob is."""

    files: tuple[VolumeFilePlan, ...]
    document: ExportDocument
    places: Mapping[Digest, tuple[tuple[int, Entry], ...]]

    @classmethod
    def of(
        cls,
        stem: str,
        *,
        index: bytes,
        names: Iterable[tuple[str, Digest]],
        manifests: Iterable[Descriptor],
        blobs: Iterable[Descriptor],
        requires: Iterable[Digest],
        split: int | None,
    ) -> Self:
        """Return the plan for `stem`.tar, or for volumes of at most `split` bytes.

        `index` is the content of `index.json`, `requires` are blobs that are left out. Raises `UsageError` if `split`
        is too small, or the export has too many entries.
        """
        always = {each.digest: each.size for each in manifests}
        sizes = {each.digest: each.size for each in blobs if each.digest not in always}
        document = ExportDocument(tuple(Exported(*each) for each in sorted(names)), tuple(sorted(requires)))
        head = OPENING + _member("index.json", index)
        if split is None:
            pieces = [Piece(digest, 0, 0, size) for digest, size in sizes.items()]
            files = [_file(f"{stem}.tar", head, pieces, always, len(document.encode()))]
        else:
            files, document = _volumes(stem, head, document, sizes, always, split)
        _refuse_too_many(files)
        places: dict[Digest, list[tuple[int, Entry]]] = {}
        for number, file in enumerate(files):
            for entry in file.entries:
                places.setdefault(entry.piece.digest, []).append((number, entry))
        return cls(tuple(files), document, {digest: tuple(found) for digest, found in places.items()})

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def blobs_of(manifests: Collection[Manifest]) -> dict[Digest, Descriptor]:
    """Return every blob that `manifests` name, once. Raises `ManifestCorrupt` if two of them give it two sizes."""
    sizes = {manifest.digest: len(manifest.raw) for manifest in manifests}
    found: dict[Digest, Descriptor] = {}
    for blob in (blob for manifest in manifests for blob in manifest.blobs):
        found.setdefault(blob.digest, blob)
        if sizes.setdefault(blob.digest, blob.size) != blob.size:
            raise ManifestCorrupt(
                f"two manifests give {blob.digest} two sizes, {sizes[blob.digest]} and {blob.size} bytes",
                hint="export the models one by one: the one that can't be exported is damaged",
            )
    return found


def _member(name: str, content: bytes) -> bytes:
    return tar.file_header(name, len(content)) + content + bytes(tar.padding(len(content)))


# The first bytes of every export.
OPENING: Final = _member("oci-layout", VERSION)


def _file(name: str, head: bytes, pieces: Iterable[Piece], always: Mapping[Digest, int], room: int) -> VolumeFilePlan:
    entries, at = [], len(head)
    for piece in sorted([*pieces, *(Piece(digest, 0, 0, size) for digest, size in always.items())]):
        entry = Entry(piece, at, tar.file_header(piece.name, piece.length))
        entries.append(entry)
        at = entry.end
    return VolumeFilePlan(name, head, tuple(entries), at, room)


def _volumes(
    stem: str,
    head: bytes,
    document: ExportDocument,
    sizes: Mapping[Digest, int],
    always: Mapping[Digest, int],
    split: int,
) -> tuple[list[VolumeFilePlan], ExportDocument]:
    """Return the volumes, and the document with them in it. Raises `UsageError` if `split` is too small."""
    if (found := _fitted(stem, head, document, sizes, always, split)) is not None:
        return found
    least = max(split, _LEAST_ROOM)
    while _fitted(stem, head, document, sizes, always, least) is None:
        least = (least * 2 + 999) // 1000 * 1000
    raise UsageError(
        f"volumes of {shown(split)} have no room for models: each has all manifests, and says what is in the others",
        hint=step("make larger ones: ", Setting("split", f"{least // 1000}kB")),
    )


def _fitted(
    stem: str,
    head: bytes,
    document: ExportDocument,
    sizes: Mapping[Digest, int],
    always: Mapping[Digest, int],
    split: int,
) -> tuple[list[VolumeFilePlan], ExportDocument] | None:
    """As `_volumes`; None if `split` is too small."""
    fixed = len(head) + sum(map(tar.entry_size, always.values())) + len(tar.END)
    room = len(document.encode())
    while (capacity := split - fixed - tar.entry_size(room)) >= _LEAST_ROOM:
        packed = _packed(sizes, capacity)
        names = [f"{stem}.v{n:0{max(3, len(str(len(packed))))}}.tar" for n in range(1, len(packed) + 1)]
        files = [_file(name, head, pieces, always, room) for name, pieces in zip(names, packed, strict=True)]
        volumes = tuple(map(_volume, files, packed))
        document = ExportDocument(document.manifests, document.requires, volumes=volumes).identified()
        needed = len(document.of_volume(len(packed), [_ANY_SUM] * len(packed)).encode())
        if needed <= room:
            return files, document
        room = needed + needed // 16  # with less room for blobs, there may be more volumes to name
    return None


def _volume(file: VolumeFilePlan, pieces: Sequence[Piece]) -> Volume:
    whole = tuple(sorted(piece.digest for piece in pieces if not piece.number))
    parts = tuple(Part(each.digest, each.number, each.start, each.length) for each in sorted(pieces) if each.number)
    return Volume(file.name, file.size, None, whole, parts)


def _packed(sizes: Mapping[Digest, int], capacity: int) -> list[list[Piece]]:
    """Return the pieces of each volume, of which it can hold `capacity` bytes; at least one volume.

    Blobs that are larger are cut, and their parts are in volumes that follow each other. Of the others, the largest are
    placed first, each into the first volume where it fits.
    """
    volumes: list[list[Piece]] = [[]]
    left = [capacity]
    least = min(_LEAST_PART, capacity // 4)
    for digest in sorted(each for each, size in sizes.items() if tar.entry_size(size) > capacity):
        start, number = 0, 0
        while start < sizes[digest]:
            if left[-1] < least + tar.HEADERS:
                volumes.append([])
                left.append(capacity)
            length = min(sizes[digest] - start, (left[-1] - tar.HEADERS) // tar.BLOCK * tar.BLOCK)
            number += 1
            volumes[-1].append(Piece(digest, number, start, length))
            left[-1] -= tar.entry_size(length)
            start += length
    whole = [(size, digest) for digest, size in sizes.items() if tar.entry_size(size) <= capacity]
    for size, digest in sorted(whole, key=lambda each: (-each[0], each[1])):
        needed = tar.entry_size(size)
        place = next((n for n, free in enumerate(left) if free >= needed), len(left))
        if place == len(left):
            volumes.append([])
            left.append(capacity)
        volumes[place].append(Piece(digest, 0, 0, size))
        left[place] -= needed
    return volumes


def _refuse_too_many(files: Sequence[VolumeFilePlan]) -> None:
    if len(files) > MAX_VOLUMES:
        raise UsageError(
            f"that would be {len(files)} volumes; at most {MAX_VOLUMES} are made", hint="give larger ones: --split"
        )
    most = max(len(file.entries) for file in files)
    largest = max(files[0].room, len(files[0].head) - len(OPENING))
    if most > MAX_ENTRIES - 3 or largest > MAX_DOCUMENT_BYTES:
        raise UsageError(
            f"an archive would have {most} entries and an index of {largest} bytes, which is more than can be read",
            hint="export fewer models at once",
        )
