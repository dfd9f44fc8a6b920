"""What carries content across an air gap, archives and layouts, and what their exports say of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from ...errors import ArchiveCorrupt
from ...model import Digest
from ...model.export_document import ExportDocument, Volume
from ..ollama.paths import open_regular
from ..read_errors import read_error
from .archive import OCIArchive
from .layout import OCILayout

Carrier = OCIArchive | OCILayout
_AGAIN: Final = "name the volumes of one export only; or carry both over again"


def exports_of(carriers: Iterable[Carrier]) -> list[ExportDocument]:
    """Return what the exports say that the carriers are of, those that we have exported.

    The documents of one export share their volumes, each with its sum if one of them knows it: a set of a thousand has
    a thousand documents, and each names all. Blocks on the disk. Raises `ArchiveCorrupt`, also if two documents of one
    export disagree, and as `OCIArchive.index`.
    """
    sets: dict[str, tuple[Path, list[Volume]]] = {}
    found = []
    for each in carriers:
        for document in each.exports():
            if document.volumes:
                path, known = sets.setdefault(document.export, (each.path, list(document.volumes)))
                if not _learnt(known, document.volumes):
                    raise ArchiveCorrupt(
                        f"{path} and {each.path} say that they are of one export, and name different volumes",
                        hint=_AGAIN,
                    )
            found.append(replace(document, volumes=()))
    shared = {export: tuple(volumes) for export, (_, volumes) in sets.items()}
    return [replace(each, volumes=shared[each.export]) if each.number else each for each in found]


def _learnt(known: list[Volume], said: Sequence[Volume]) -> bool:
    """Put the sums that are `said` into `known`; return whether those are the same volumes."""
    if len(known) != len(said):
        return False
    for n, (volume, other) in enumerate(zip(known, said, strict=True)):
        if (volume.file, volume.size, volume.blobs, volume.parts) != (other.file, other.size, other.blobs, other.parts):
            return False
        if volume.sha256 is None and other.sha256 is not None:
            known[n] = other
    return True


def sum_of(path: Path) -> Digest:
    """Return the sum of a file. Blocks on the disk. Raises as `read_error`."""
    try:
        with open_regular(path) as file:
            return Digest(hashlib.file_digest(file, "sha256").hexdigest())
    except OSError as error:
        raise read_error(error, str(path)) from error
