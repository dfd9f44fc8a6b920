"""Tar files for tests, written by Python's own module, with entries that an honest program would not write."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from registry_push.content.oci.index import REF_NAME
from registry_push.content.oci.layout import VERSION
from registry_push.model import Digest, Manifest

from .layouts import HELLO, manifest

Form = Literal[0, 1, 2]  # tarfile's ustar, GNU's, pax


def info(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, **fields: Any) -> tarfile.TarInfo:
    """The header of an entry."""
    found = tarfile.TarInfo(name)
    found.size, found.type = size, kind
    for field, value in fields.items():
        setattr(found, field, value)
    return found


def block(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, *, form: Form = tarfile.USTAR_FORMAT) -> bytes:
    """A header as it lies in the file."""
    return info(name, size, kind).tobuf(form)


def index_of(manifests: Iterable[tuple[Manifest, str]]) -> bytes:
    """An `index.json`."""
    entries = [
        {
            "mediaType": each.media_type,
            "digest": str(each.digest),
            "size": len(each.raw),
            "annotations": {REF_NAME: name},
        }
        for each, name in manifests
    ]
    return json.dumps({"schemaVersion": 2, "manifests": entries}).encode()


def layout_files(
    *, manifests: Sequence[tuple[Manifest, str]] = ((manifest(), "latest"),), blobs: Sequence[bytes] = (HELLO,)
) -> dict[str, bytes]:
    """The files of a small layout, by their paths."""
    content = {f"blobs/sha256/{each.digest.hex}": each.raw for each, _ in manifests}
    content |= {f"blobs/sha256/{Digest.of(each).hex}": each for each in blobs}
    return {"oci-layout": VERSION, "index.json": index_of(manifests), **content}


def write_archive(
    path: Path,
    files: dict[str, bytes] | None = None,
    *more: tuple[tarfile.TarInfo, bytes],
    prefix: str = "",
    form: Form = tarfile.USTAR_FORMAT,
    folders: Sequence[str] = (),
) -> Path:
    """Write what `archive_of` returns; return `path`."""
    path.write_bytes(archive_of(files, *more, prefix=prefix, form=form, folders=folders))
    return path


def archive_of(
    files: dict[str, bytes] | None = None,
    *more: tuple[tarfile.TarInfo, bytes],
    prefix: str = "",
    form: Form = tarfile.USTAR_FORMAT,
    folders: Sequence[str] = (),
) -> bytes:
    """An archive of `files`, by default a small layout, then `more`."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=form) as archive:
        for folder in folders:
            archive.addfile(info(f"{prefix}{folder}", kind=tarfile.DIRTYPE))
        for name, content in (layout_files() if files is None else files).items():
            archive.addfile(info(prefix + name, len(content)), io.BytesIO(content))
        for header, content in more:
            archive.addfile(header, io.BytesIO(content))
    return written.getvalue()
