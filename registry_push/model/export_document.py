"""`ExportDocument`: `registry-push.json`, which says what an exported archive, folder or volume is a part of. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, Self

from msgspec import Struct
from msgspec.structs import replace

from ..errors import ArchiveCorrupt, InvalidDigest, ManifestCorrupt, UnsupportedManifest, printable
from .descriptor import MAX_SIZE
from .digest import Digest
from .json_document import MAX_DOCUMENT_BYTES, decoded

EXPORT_FILE: Final = "registry-push.json"
MAX_EXPORT_BYTES: Final = MAX_DOCUMENT_BYTES
# Volumes of one export.
MAX_VOLUMES: Final = 9999
_KIND: Final = "registry-push.export"
_VERSION: Final = 1
_DAMAGED: Final = "carry it over again, or export it again: the same models make the same bytes"


class Part(Struct, frozen=True):
    """A piece of a blob that is larger than a volume: the `number`th, from 1, of `length` bytes from `offset`."""

    digest: Digest
    number: int
    offset: int
    length: int


class Volume(Struct, frozen=True):
    """One file of a set: `size` in bytes, its SHA-256 sum if that is known, and its blobs, whole ones and parts.

    Manifests are in every volume, and not listed.
    """

    file: str
    size: int
    sha256: Digest | None
    blobs: tuple[Digest, ...]
    parts: tuple[Part, ...] = ()


class Exported(Struct, frozen=True):
    """A manifest of the export, under its name."""

    name: str
    digest: Digest


class ExportDocument(Struct, frozen=True):
    """What an export consists of.

    `requires` are blobs that it names and leaves out, since the receiver has them. An export in one file or folder has
    no `volumes`. Else each volume has this document with its own `number`, from 1; `export` is the same in all of them,
    and in no other set. A volume can't know its own sum, and only the first one, which is completed last, knows all
    others.
    """

    manifests: tuple[Exported, ...] = ()
    requires: tuple[Digest, ...] = ()
    export: str = ""
    number: int = 0
    volumes: tuple[Volume, ...] = ()

    @property
    def volume(self) -> Volume:
        """The volume that has this document. Only if there are `volumes`."""
        return self.volumes[self.number - 1]

    def identified(self) -> Self:
        """Return the document with its `export`: a digest of all that is known before anything is written."""
        bare = replace(self, export="", number=0, volumes=tuple(replace(each, sha256=None) for each in self.volumes))
        return replace(self, export=hashlib.sha256(bare.encode()).hexdigest())

    def of_volume(self, number: int, sums: Sequence[Digest | None]) -> Self:
        """Return the document of one volume; `sums` are those of all volumes, as far as they are known."""
        volumes = tuple(replace(each, sha256=found) for each, found in zip(self.volumes, sums, strict=True))
        return replace(self, number=number, volumes=volumes)

    def encode(self) -> bytes:
        """Return the file's content."""
        document: dict[str, Any] = {"version": _VERSION, "kind": _KIND}
        if self.volumes:
            document |= {"export": self.export, "volume": self.number, "volumes": [_volume(v) for v in self.volumes]}
        document["manifests"] = [{"name": each.name, "digest": str(each.digest)} for each in self.manifests]
        document["requires"] = [str(digest) for digest in self.requires]
        return json.dumps(document).encode()

    @classmethod
    def parse(cls, raw: bytes, where: str) -> Self:
        """Return the document in `raw`, which was read in the archive or folder `where`.

        Raises `ArchiveCorrupt`; `UnsupportedManifest` for the document of a later version.
        """
        try:
            return cls._of(decoded(raw, EXPORT_FILE), where)
        except (ManifestCorrupt, InvalidDigest, ValueError, TypeError, KeyError) as error:
            if isinstance(error, UnsupportedManifest):
                raise
            why = error.message if isinstance(error, ManifestCorrupt | InvalidDigest) else "it has an odd value"
            raise ArchiveCorrupt(f"{where}: its {EXPORT_FILE} can't be read: {why}", hint=_DAMAGED) from error

    @classmethod
    def _of(cls, fields: dict[str, Any], where: str) -> Self:
        if fields["kind"] != _KIND:
            raise ManifestCorrupt(f"its kind is {printable(repr(fields['kind']), limit=60)}")
        if fields["version"] != _VERSION:
            version = printable(repr(fields["version"]), limit=20)
            raise UnsupportedManifest(
                f"{where} was made by another registry-push: its {EXPORT_FILE} has the version {version}",
                hint="install the registry-push that made it, or a later one",
            )
        volumes = tuple(map(_read_volume, _list(fields.get("volumes", []))))
        number, export = _number(fields.get("volume", 0)), _text(fields.get("export", ""))
        if len(volumes) > MAX_VOLUMES or not (1 <= number <= len(volumes) if volumes else number == 0):
            raise ManifestCorrupt(f"it says that it is volume {number} of {len(volumes)}")
        manifests = tuple(
            Exported(_text(each["name"]), Digest.parse(each["digest"])) for each in _list(fields["manifests"])
        )
        requires = tuple(map(Digest.parse, _list(fields["requires"])))
        found = cls(manifests, requires, export, number, volumes)
        _check_parts(volumes)
        return found


def _volume(volume: Volume) -> dict[str, Any]:
    return {
        "file": volume.file,
        "size": volume.size,
        "sha256": volume.sha256.hex if volume.sha256 is not None else "",
        "blobs": [str(digest) for digest in volume.blobs],
        "parts": [
            {"digest": str(each.digest), "n": each.number, "offset": each.offset, "length": each.length}
            for each in volume.parts
        ],
    }


def _read_volume(fields: dict[str, Any]) -> Volume:
    found = fields["sha256"]
    parts = tuple(
        Part(Digest.parse(each["digest"]), _number(each["n"]), _number(each["offset"]), _number(each["length"]))
        for each in _list(fields["parts"])
    )
    return Volume(
        _text(fields["file"]),
        _number(fields["size"]),
        Digest.parse(f"sha256:{found}") if found != "" else None,
        tuple(map(Digest.parse, _list(fields["blobs"]))),
        parts,
    )


def _check_parts(volumes: Iterable[Volume]) -> None:
    """Raise `ManifestCorrupt` if the parts of a blob do not follow each other, from volume to volume."""
    ends: dict[Digest, tuple[int, int]] = {}
    for part in (part for volume in volumes for part in volume.parts):
        number, end = ends.get(part.digest, (0, 0))
        if (part.number, part.offset) != (number + 1, end) or not part.length:
            raise ManifestCorrupt(f"the parts of {part.digest} do not follow each other")
        ends[part.digest] = (part.number, part.offset + part.length)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("no list")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 1000:
        raise TypeError("no text")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_SIZE:
        raise TypeError("no number")
    return value
