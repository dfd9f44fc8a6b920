"""`VolumeSet`: the volumes of an export, or several layouts and archives, read as one layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Final, Self

from msgspec import Struct

from ...errors import BlobMissing, StoreNotFound, UsageError, VolumeMissing, printable
from ...model import Descriptor, Digest
from ...model.export_document import ExportDocument, Part
from ..base import BlobBody
from ..optional_files import is_there, names_in
from ..threads import in_thread
from .archive import OCIArchive, part_path
from .carriers import Carrier, exports_of, sum_of
from .index import REF_NAME, LayoutIndex
from .kept_parts import KeptParts
from .parts_body import PartsBody
from .reader import LayoutReader
from .tar_scan import Room
from .volume_names import TAR, VOLUME, is_volume

# Volumes that a message names.
_NAMED: Final = 8


class MissingVolumes(Struct, frozen=True):
    """The volumes that an export has and that were not given, and one that was."""

    files: tuple[str, ...]
    given: str

    @property
    def words(self) -> str:
        """For a message."""
        count = len(self.files)
        what = "1 volume is" if count == 1 else f"{count} volumes are"
        named = ", ".join(self.files[:_NAMED]) + (", …" if count > _NAMED else "")
        return printable(f"{what} missing beside {self.given}: {named}", limit=900)


class _Where(Struct, frozen=True):
    """By the exports' documents, the files of each blob, one for each part, and the parts of those that are cut."""

    files: Mapping[Digest, tuple[str, ...]]
    parts: Mapping[Digest, tuple[Part, ...]]

    @classmethod
    def of(cls, documents: Sequence[ExportDocument]) -> Self:
        files: dict[Digest, tuple[str, ...]] = {}
        parts: dict[Digest, tuple[Part, ...]] = {}
        for document in {each.export: each for each in documents}.values():
            found: dict[Digest, list[tuple[str, Part]]] = {}
            for volume in document.volumes:
                for digest in volume.blobs:
                    files.setdefault(digest, (volume.file,))
                for part in volume.parts:
                    found.setdefault(part.digest, []).append((volume.file, part))
            for digest, each in found.items():
                if digest not in files:
                    files[digest] = tuple(file for file, _ in each)
                    parts[digest] = tuple(part for _, part in each)
        return cls(files, parts)


class VolumeSet(LayoutReader):
    """Several carriers of content as one source. An async context manager, which closes them.

    Implements `Source[str | None]`, `Checker` and `TagLister`. `path` is what messages call it. Where two of them have
    the same content, the first one is read. A blob that is cut is read from all of its parts, also from those `kept`.
    """

    def __init__(self, path: Path, carriers: Sequence[Carrier], *, kept: KeptParts | None = None) -> None:
        self.path = path
        self.kept = kept
        self.carriers = tuple(carriers)
        self._exports: list[ExportDocument] | None = None
        self._known: _Where | None = None
        self._index: LayoutIndex | None = None
        self._reading = Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self.carriers:
            if isinstance(each, OCIArchive):
                await each.__aexit__()

    @property
    def origin(self) -> str:
        """The first volume's file, without its number, or the folder, as places are written."""
        kind = "oci-archive" if self._archives else "oci"
        return f"{kind}:{self.path}"

    async def lacks(self) -> tuple[MissingVolumes, ...]:
        """Return which volumes are missing, for each export of which there are some. Raises as `documents`."""
        exports: dict[str, list[ExportDocument]] = {}
        for document in await in_thread(self.exports):
            if document.volumes:
                exports.setdefault(document.export, []).append(document)
        found = []
        for documents in exports.values():
            given = {document.number for document in documents}
            volumes = documents[0].volumes
            files = tuple(volume.file for n, volume in enumerate(volumes, 1) if n not in given)
            if files:
                found.append(MissingVolumes(files, documents[0].volume.file))
        return tuple(found)

    async def refuse_incomplete(self) -> None:
        """Raise `VolumeMissing` if volumes are missing, naming them."""
        for lack in await self.lacks():
            hint = "name all volumes of the export; or import what is here, and the rest later: --partial"
            given = await self.given()
            if others := [file for file in lack.files if file in given]:
                hint = f"the {printable(others[0])} that is here is of another export: bring the one of this export"
            raise VolumeMissing(lack.words, files=lack.files, hint=hint)

    async def open(self, blob: Descriptor) -> BlobBody:
        """Return the body of `blob`. Raises `BlobMissing`, `BlobCorrupt` if its size is another, and as `index`."""
        for each in self.carriers:
            if await in_thread(each._size, blob.digest) is not None:
                return await each.open(blob)
        parts = await in_thread(self._parts, blob.digest)
        if not parts:
            raise self._missing(blob.digest)
        body = await in_thread(self._joined, blob, parts)
        if body.size != blob.size:
            raise self._misfit(blob, body.size)
        return body

    def check_sizes(self, blobs: Sequence[Descriptor]) -> None:
        """As `LayoutReader.check`, of those `blobs` that are here. Blocks on the disk."""
        self._check([blob for blob in blobs if self._size(blob.digest) is not None])

    def rooms(self, digest: Digest) -> list[list[Room]]:
        """As `OCIArchive.rooms`; of a blob that is cut, the parts that are here."""
        whole = [room for each in self._archives for room in each.rooms(digest)]
        holders = ((self._holders.get(part_path(part)), part) for part in self._parts(digest))
        found = (each.part_room(part) for each, part in holders if each is not None)
        parts = [room for room in found if room is not None]
        return [*whole, *([parts] if parts else [])]

    def has_part(self, digest: Digest) -> bool:
        """Return whether a part of the blob is in one of the volumes. Blocks on the disk."""
        return any(part_path(part) in self._holders for part in self._parts(digest))

    async def keep(self, digest: Digest, missing: VolumeMissing) -> tuple[str, ...]:
        """Keep the parts of the blob that are here and come after the `missing` one; the target has those before it.

        Return the files that are still needed. What was kept is forgotten if the target had more of the blob before:
        all of it was not right then. Raises as `KeptParts.keep`.
        """
        if self.kept is None:
            return missing.files
        parts, after = await in_thread(self._parts, digest), missing.part
        if any(part.number == after and part.offset < self.kept.begun(digest) for part in parts):
            await in_thread(self.kept.forget, [digest])
        for part in parts:
            holder = self._holders.get(part_path(part))
            if part.number == after:
                await self.kept.note_begun(digest, part.offset)
            elif holder is not None and part.number > after:
                body = await in_thread(holder.part, part)
                assert body is not None, "the archive holds it"
                await self.kept.keep(part, body)
        return await self.files_needed(digest)

    async def files_needed(self, digest: Digest) -> tuple[str, ...]:
        """Return the files that have the blob, or parts of it that are not here, kept, or at the target."""
        return await in_thread(self._files_needed, digest)

    def _files_needed(self, digest: Digest) -> tuple[str, ...]:
        files, parts = self._where().files.get(digest, ()), self._parts(digest)
        begun = self.kept.begun(digest) if self.kept is not None else 0
        needed = [
            file
            for file, part in zip(files, parts, strict=False)
            if part.offset + part.length > begun and not self._is_here(part)
        ]
        return tuple(needed) or files

    async def given(self) -> frozenset[str]:
        """Return the files, by the names that the exports gave them, that are here."""
        return frozenset(each.volume.file for each in await in_thread(self.exports) if each.volumes)

    async def suspects(self, digest: Digest) -> tuple[str, ...]:
        """Return the paths of what has the blob, which is damaged, or the part of it that is.

        Of a blob that is cut, each volume is read, for the sum that the others know of it.
        """
        files = await in_thread(self._files_of, digest)
        return await in_thread(self._damaged, files) if len(files) > 1 else files

    def _damaged(self, files: Sequence[str]) -> tuple[str, ...]:
        """Return those of `files` whose sums are wrong; else those whose sums are not known."""
        known: dict[tuple[str, int], Digest] = {}
        for said in self.exports():
            for number, volume in enumerate(said.volumes, 1):
                if volume.sha256 is not None:
                    known[said.export, number] = volume.sha256
        wrong, unknown = [], []
        for each in self.carriers:
            if str(each.path) not in files or not (own := each.exports()):
                continue
            expected = known.get((own[0].export, own[0].number))
            if expected is None:
                unknown.append(str(each.path))
            elif sum_of(each.path) != expected:
                wrong.append(str(each.path))
        return tuple(wrong or unknown or files)

    def _files_of(self, digest: Digest) -> tuple[str, ...]:
        whole = [str(each.path) for each in self.carriers if each._size(digest) is not None]
        if whole:
            return tuple(whole[:1])
        holders = (self._holders.get(part_path(part)) for part in self._parts(digest))
        return tuple(dict.fromkeys(str(each.path) for each in holders if each is not None))

    def exports(self) -> Sequence[ExportDocument]:
        """Return what the exports say that the carriers are of, those that we have exported."""
        with self._reading:
            if self._exports is None:
                self._exports = exports_of(self.carriers)
            return self._exports

    @property
    def _archives(self) -> list[OCIArchive]:
        return [each for each in self.carriers if isinstance(each, OCIArchive)]

    @cached_property
    def _holders(self) -> Mapping[str, OCIArchive]:
        """Which archive has each part, by the name of its entry; the first one if several have it."""
        return {name: each for each in reversed(self._archives) for name in each.part_names()}

    def _parts(self, digest: Digest) -> tuple[Part, ...]:
        return self._where().parts.get(digest, ())

    def _where(self) -> _Where:
        if self._known is None:
            self._known = _Where.of(self.exports())
        return self._known

    def _joined(self, blob: Descriptor, parts: Sequence[Part]) -> PartsBody:
        files = self._where().files[blob.digest]
        name, keeps = f"{blob.digest} in {self.path}", self.kept is not None
        return PartsBody(parts, [self._body(part) for part in parts], files=files, name=name, keeps=keeps)

    def _body(self, part: Part) -> BlobBody | None:
        holder = self._holders.get(part_path(part))
        found: BlobBody | None = holder.part(part) if holder is not None else None
        return self.kept.body(part) if found is None and self.kept is not None else found

    def _is_here(self, part: Part) -> bool:
        return part_path(part) in self._holders or (self.kept is not None and self.kept.has(part))

    def _missing(self, digest: Digest) -> BlobMissing:
        given = {each.volume.file for each in self.exports() if each.volumes}
        files = tuple(file for file in self._where().files.get(digest, ()) if file not in given)
        if not files:
            return super()._missing(digest)
        return VolumeMissing(
            f"{digest} is in {printable(', '.join(files[:_NAMED]), limit=400)}, which is not here",
            files=files,
            hint="bring it; or export again: the same models make the same bytes",
        )

    def _read_index(self) -> LayoutIndex:
        if self._index is None:
            self._index = _joined_index(self.carriers)
        return self._index

    def _read_blob(self, digest: Digest) -> bytes:
        """As `LayoutReader._read_blob`. Every volume has every manifest, so that one that is damaged is no loss."""
        found: bytes | None = None
        for each in self.carriers:
            if each._size(digest) is not None:
                content = each._read_blob(digest)
                if Digest.of(content) == digest:
                    return content
                found = found if found is not None else content
        if found is None:
            raise self._missing(digest)
        return found

    def _size(self, digest: Digest) -> int | None:
        for each in self.carriers:
            if (size := each._size(digest)) is not None:
                return size
        parts = self._parts(digest)
        return sum(part.length for part in parts) if parts and all(map(self._is_here, parts)) else None


def archive_at(path: Path) -> OCIArchive | VolumeSet:
    """Return the archive at `path`, or the set of volumes that it stands for, to be opened."""
    volumes = volumes_beside(path)
    return VolumeSet(path, [OCIArchive(each) for each in volumes]) if volumes else OCIArchive(path)


def joined_path(paths: Sequence[Path]) -> Path:
    """Return what messages call several archives: NAME.tar for the volumes of that name, else the first one."""
    stems = {VOLUME.compiled.sub(TAR, str(path)) for path in paths}
    return Path(stems.pop()) if len(stems) == 1 else paths[0]


def volumes_beside(path: Path) -> list[Path]:
    """Return the volumes that `path`, as in NAME.tar, stands for: NAME.v001.tar and so on; none if it is there itself.

    Without the first one, none either: it is written last, so that what is not finished is not taken for a set.
    """
    stem = path.name.removesuffix(TAR)
    first = path.with_name(f"{stem}.v001{TAR}")
    widest = [path.with_name(f"{stem}.v{1:0{width}d}{TAR}") for width in (4, 5)]
    if is_there(path) or not any(map(is_there, (first, *widest))):
        return []
    return [path.with_name(name) for name in names_in(path.parent) or () if is_volume(name, stem)]


def _joined_index(carriers: Sequence[Carrier]) -> LayoutIndex:
    """Return the entries of all, each once. Raises `UsageError` if two have one name for different manifests."""
    entries: dict[tuple[str, str], Mapping[str, object]] = {}
    named: dict[str, tuple[object, Carrier]] = {}
    for each in carriers:
        for entry in each._read_index().entries:
            annotations = entry.get("annotations")
            name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
            entries.setdefault((str(name), str(entry.get("digest"))), entry)
            if not isinstance(name, str):
                continue
            other, carrier = named.setdefault(name, (entry.get("digest"), each))
            if other != entry.get("digest"):
                raise UsageError(
                    f"{printable(name, limit=200)} is one manifest in {carrier.path}, and another in {each.path}",
                    hint="import them one after the other, the later one last",
                )
    if not entries and not carriers:
        raise StoreNotFound("there is nothing to read", hint="name an archive, its volumes, or a folder")
    return LayoutIndex(tuple(entries.values()))
