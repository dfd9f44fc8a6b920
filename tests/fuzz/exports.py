"""What is carried across an air gap: archives, volumes, folders, their documents, and inventories."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from registry_push.content.body import BytesBody
from registry_push.content.oci.archive import OCIArchive
from registry_push.content.oci.layout import OCILayout
from registry_push.content.oci.layout_document import write_document
from registry_push.content.oci.tar_scan import DamagedArchiveError, Read, scan
from registry_push.content.oci.volume_set import VolumeSet
from registry_push.content.oci.volume_writer import VolumeWriter
from registry_push.model.export_document import EXPORT_FILE, ExportDocument
from registry_push.model.inventory import Inventory
from registry_push.settings import Settings
from registry_push.verbs.importing import import_models

from ..support.layouts import described, manifest
from ..support.volumes import content
from .files import summed
from .target import Call, Target, raw

# Between the files of one input.
CUT: Final = b"\n=== another file ===\n"
LARGE: Final = content(34_000, 7)
LITTLE: Final = content(300, 8)
MODEL: Final = manifest(layers=[described(LARGE), described(LITTLE), described(b"")])
NAME: Final = "registry.ollama.ai/me/tiny:latest"
# Bytes of a volume, so that one blob is cut in two.
SPLIT: Final = 30_000
_BODIES: Final = {described(each): each for each in (LARGE, LITTLE, b"")}


async def _write(path: Path, split: int | None) -> list[bytes]:
    async with VolumeWriter(path, split=split) as writer:
        writer.expect([(MODEL, NAME)])
        for blob in sorted(_BODIES, key=lambda blob: blob.digest):
            await writer.put(blob, BytesBody(_BODIES[blob]))
        await writer.put_manifest(MODEL, NAME)
        await writer.finish()
        return [path.with_name(each.name).read_bytes() for each in writer.plan.files]


def exported(split: int | None = None) -> list[bytes]:
    """The files of a small export."""
    with tempfile.TemporaryDirectory() as place:
        return asyncio.run(_write(Path(place) / "a.tar", split))


async def write_folder(folder: Path) -> OCILayout:
    """The same export as a folder."""
    layout = OCILayout(folder)
    for blob, body in _BODIES.items():
        await layout.put(blob, BytesBody(body))
    await layout.put_manifest(MODEL, NAME)
    await write_document(layout)
    return layout


async def import_all(files: Sequence[Path], place: Path, *, partial: bool) -> None:
    """Import into a new layout at `place`, with this promise: all that is visible there is whole, whatever happens.

    Raises what the import raises.
    """
    target = place / "target"
    shutil.rmtree(target, ignore_errors=True)
    before = _names(place)
    settings = Settings(home=place / "home", models=place / "models", state_dir=None)
    try:
        done = await import_models(list(map(str, files)), f"oci:{target}", partial=partial, settings=settings)
        if done.report.error is not None:
            raise done.report.error
    finally:
        assert {each for each in _names(place) if not each.startswith("target")} == before, "a file elsewhere"
        await _check_whole(target)


async def _check_whole(target: Path) -> None:
    if not (target / "index.json").exists():
        return
    layout = OCILayout(target)
    for ref in await layout.tags():
        found = await layout.resolve(ref)
        for each in (found, *await layout.children(found)):
            await layout.check(each)
    for file in (target / "blobs" / "sha256").iterdir():
        assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name


def _names(place: Path) -> set[str]:
    return {os.path.relpath(Path(folder) / name, place) for folder, _, names in os.walk(place) for name in names}


def _volumes(folder: Path) -> Call:
    folder.mkdir(parents=True)

    async def read(data: bytes) -> None:
        files = []
        for number, each in enumerate(data.split(CUT)[:4], 1):
            files.append(folder / f"a.v{number:03}.tar")
            files[-1].write_bytes(summed(each))
        try:
            await import_all(files, folder, partial=len(data) % 2 == 0)
        finally:
            for file in files:
                file.unlink()

    return read


def _folder(folder: Path) -> Call:
    asyncio.run(write_folder(folder / "layout"))
    index = (folder / "layout" / "index.json").read_bytes()

    async def read(data: bytes) -> None:
        said, _, listed = data.partition(CUT)
        (folder / "layout" / EXPORT_FILE).write_bytes(said)
        (folder / "layout" / "index.json").write_bytes(listed or index)
        await import_all([folder / "layout"], folder, partial=len(data) % 2 == 0)

    return read


def _document(data: bytes) -> None:
    document = ExportDocument.parse(data, "a.tar")
    assert ExportDocument.parse(document.encode(), "a.tar") == document
    assert len(document.identified().export) == 64
    if document.volumes:
        assert document.volume in document.volumes


def _inventory(data: bytes) -> None:
    found = Inventory.parse(data)
    assert Inventory.parse(found.encode()) == found


def _reading(data: bytes) -> Read:
    return lambda offset, length: data[offset : offset + length]


def _scanned(data: bytes) -> None:
    try:
        found = scan(_reading(data), len(data))
    except DamagedArchiveError as error:
        assert error.offset >= 0 and str(error).isprintable()
    else:
        ends = [(member.header, member.end) for member in found.values()]
        assert all(0 <= begin < end for begin, end in ends)
        assert all(member.offset + member.size <= len(data) for member in found.values())


class _Saying(OCIArchive):
    """An archive of which only the document is read."""

    def __init__(self, document: ExportDocument) -> None:
        super().__init__(Path("a.tar"))
        self._document = document

    def exports(self) -> Sequence[ExportDocument]:
        return (self._document,)


def _joined(data: bytes) -> None:
    """Documents of several volumes, without their archives."""

    async def read() -> None:
        for digest in found.values():
            await volumes.files_needed(digest)

    documents = [ExportDocument.parse(each, "a.tar") for each in data.split(CUT)[:4]]
    volumes = VolumeSet(Path("a.tar"), [_Saying(each) for each in documents])
    found = {part.digest: part.digest for each in documents for volume in each.volumes for part in volume.parts}
    asyncio.run(read())
    asyncio.run(volumes.lacks())


def documents_of(files: Sequence[bytes]) -> list[bytes]:
    """What is in each of the archives as their document."""
    found = []
    for file in files:
        member = scan(_reading(file), len(file))[EXPORT_FILE]
        found.append(file[member.offset : member.offset + member.size].rstrip())
    return found


_ONE: Final = exported()
_SET: Final = exported(SPLIT)
_DOCUMENTS: Final = documents_of([*_ONE, *_SET])
_INVENTORY: Final = Inventory("ollama:", frozenset(blob.digest for blob in MODEL.blobs)).encode()
_KEYS: Final = (b'"requires"', b'"volumes"', b'"parts"', b'"offset"', b'"length"', b'"n"', b'"export"', b'"volume"')
_HEADERS: Final = (b"\x80", b"././@PaxHeader", b" path=", b" size=", b"ustar", b".part-001", EXPORT_FILE.encode())
_INDEX: Final = json.dumps({"schemaVersion": 2, "manifests": []}).encode()

EXPORTS: Final = (
    Target("export-documents", tuple(_DOCUMENTS), raw(_document), _KEYS, most=256 * 1024),
    Target("inventories", (_INVENTORY,), raw(_inventory), (b'"blobs"', b'"manifests"', b'{"event"'), most=256 * 1024),
    Target("tar-scans", (*_ONE, *_SET), raw(_scanned), _HEADERS),
    Target("joined-documents", (CUT.join(_DOCUMENTS[1:]),), raw(_joined), (*_KEYS, CUT)),
    Target("imported-archives", (*_ONE,), _volumes, (*_HEADERS, *_KEYS), most=128 * 1024),
    Target("imported-volumes", (CUT.join(_SET), CUT.join(_SET[::-1])), _volumes, (*_HEADERS, *_KEYS), most=128 * 1024),
    Target("imported-folders", (_DOCUMENTS[0], _DOCUMENTS[0] + CUT + _INDEX), _folder, _KEYS),
)
