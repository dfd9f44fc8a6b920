"""The files of an export, for people and for programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import printable
from . import units

if TYPE_CHECKING:
    from ...content.oci.volume_plan import VolumeFilePlan, VolumePlan

# Blobs of a file that a dry run lists for people; `--json` has all.
_LISTED = 20


def volume_lines(plan: VolumePlan, folder: Path, *, dry_run: bool) -> list[str]:
    """Return a line for each file; for a dry run, also what would be in it."""
    if not dry_run:
        return [f"{printable(str(folder / file.name))}  {units.size(file.size)}" for file in plan.files]
    manifests = {each.digest for each in plan.document.manifests}
    lines = []
    for file in plan.files:
        lines.append(f"{printable(str(folder / file.name))}  {units.size(file.size)}")
        pieces = [entry.piece for entry in file.entries if entry.piece.digest not in manifests]
        for piece in pieces[:_LISTED]:
            part = f", part {piece.number}" if piece.number else ""
            lines.append(f"  {piece.digest.short}  {units.size(piece.length)}{part}")
        if len(pieces) > _LISTED:
            lines.append(f"  and {units.count(len(pieces) - _LISTED, 'more blob')}")
    if plan.document.requires:
        lines.append(f"left out, since the receiver has them: {units.count(len(plan.document.requires), 'blob')}")
    return lines


def file_fields(plan: VolumePlan, folder: Path) -> list[dict[str, object]]:
    """Return the files as `--json` has them."""
    return [_fields(file, folder) for file in plan.files]


def _fields(file: VolumeFilePlan, folder: Path) -> dict[str, object]:
    pieces = [entry.piece for entry in file.entries]
    return {
        "file": str(folder / file.name),
        "size": file.size,
        "blobs": [str(piece.digest) for piece in pieces if not piece.number],
        "parts": [
            {"digest": str(piece.digest), "n": piece.number, "offset": piece.start, "length": piece.length}
            for piece in pieces
            if piece.number
        ],
    }
