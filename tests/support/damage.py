"""Damage to content on a disk, as disks and people do it."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from registry_push.model import Digest


def flip(path: Path, offset: int = 7) -> None:
    """Turn one bit of a file over, and keep its times: a disk does not set them."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def cut(path: Path) -> None:
    """Take the last byte of a file away."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)


# What can happen to the file of a blob, and what `verify` calls it.
DAMAGE: Final[dict[str, Callable[[Path], None]]] = {"content": flip, "size": cut, "missing": Path.unlink}


def blob_file(place: Path, digest: Digest) -> Path:
    """The file of a blob in a store, or in a layout."""
    store = place / "blobs" / digest.path_name
    return store if (place / "manifests").exists() else place / "blobs/sha256" / digest.hex


def flip_in_archive(path: Path, digest: Digest) -> None:
    """Turn one bit of a blob in an archive over."""
    with tarfile.open(path) as tar:
        offset = tar.getmember(f"blobs/sha256/{digest.hex}").offset_data
    flip(path, offset + 7)
