"""Archives, volumes and folders from across an air gap that lie: a typed error, and nothing written."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry_push.errors import RegistryPushError
from registry_push.model import Digest
from registry_push.settings import Settings
from registry_push.verbs.importing import import_models
from tests.support.archives import Form, block, info, layout_files, write_archive
from tests.support.command import command
from tests.support.layouts import HELLO, described, manifest

pytestmark = pytest.mark.attack("S16")

LARGE = bytes(range(256)) * 400
HALF = len(LARGE) // 2
DIGEST = str(Digest.of(LARGE))
MODEL = manifest(layers=[described(LARGE), described(HELLO)])
NAME = "registry.ollama.ai/me/tiny:latest"
Document = dict[str, Any]


def volume(file: str, *parts: Document, blobs: tuple[str, ...] = ()) -> Document:
    return {"file": file, "size": 100_000, "sha256": "", "blobs": [*blobs], "parts": [*parts]}


def part(n: int, offset: int, length: int, digest: str = DIGEST) -> Document:
    return {"digest": digest, "n": n, "offset": offset, "length": length}


def document(number: int, *volumes: Document, **fields: Any) -> Document:
    said = {"version": 1, "kind": "registry-push.export", "requires": []}
    named = {"manifests": [{"name": NAME, "digest": str(MODEL.digest)}]}
    return said | named | {"export": "e" * 64, "volume": number, "volumes": [*volumes]} | fields


def write_set(
    folder: Path,
    lie: Callable[[Document], object] = lambda _: None,
    pieces: tuple[bytes, bytes] = (LARGE[:HALF], LARGE[HALF:]),
) -> list[Path]:
    """Two volumes with a blob in two parts; `lie` changes what each says."""
    folder.mkdir(exist_ok=True)
    files = []
    for n, piece in enumerate(pieces, 1):
        first = volume("a.v001.tar", part(1, 0, HALF), blobs=(str(Digest.of(HELLO)),))
        said = document(n, first, volume("a.v002.tar", part(2, HALF, len(LARGE) - HALF)))
        lie(said)
        found = layout_files(manifests=((MODEL, NAME),), blobs=(HELLO,) if n == 1 else ())
        found |= {f"blobs/sha256/{Digest.of(LARGE).hex}.part-{n:03}": piece}
        found |= {"registry-push.json": json.dumps(said).encode()}
        files.append(write_archive(folder / f"a.v{n:03}.tar", found))
    return files


async def imported(home: Path, *files: Path, partial: bool = False) -> RegistryPushError | None:
    """The error of the import into a new layout."""
    settings = Settings(home=home, models=home / "models", state_dir=None)
    try:
        done = await import_models([*map(str, files)], f"oci:{home}/layout", partial=partial, settings=settings)
    except RegistryPushError as error:
        return error
    return done.report.error


def everything_in(folder: Path) -> set[Path]:
    return {*folder.rglob("*")}


async def test_an_honest_set_is_imported(tmp_path: Path) -> None:
    assert await imported(tmp_path, *write_set(tmp_path)) is None
    assert (tmp_path / "layout/blobs/sha256" / Digest.of(LARGE).hex).read_bytes() == LARGE


PARTS: dict[str, list[Document]] = {
    "number 0": [part(0, 0, HALF), part(1, HALF, HALF)],
    "number 10^9": [part(10**9, 0, HALF), part(10**9 + 1, HALF, HALF)],
    "a gap": [part(1, 0, HALF), part(2, HALF + 1, HALF - 1)],
    "an overlap": [part(1, 0, HALF), part(2, HALF - 1, HALF)],
    "twice the same": [part(1, 0, HALF), part(1, 0, HALF)],
    "nothing": [part(1, 0, 0), part(2, 0, len(LARGE))],
    "a negative offset": [part(1, -1, HALF), part(2, HALF, HALF)],
    "beyond the blob": [part(1, 0, HALF), part(2, HALF, HALF + 1)],
    "beyond any disk": [part(1, 0, 2**63 - 1), part(2, 2**63 - 1, 2**63 - 1)],
    "a path": [part(1, 0, HALF, "sha256:../../x"), part(2, HALF, HALF)],
    "no number": [part(True, 0, HALF), part(2, HALF, HALF)],
}


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS.keys())
async def test_parts_that_lie(tmp_path: Path, parts: list[Document], partial: bool) -> None:
    def lie(said: Document) -> None:
        for each, piece in zip(said["volumes"], parts, strict=True):
            each["parts"] = [piece]

    files = write_set(tmp_path, lie)
    before = everything_in(tmp_path)
    error = await imported(tmp_path, *files, partial=partial)
    assert error is not None and error.exit_code in (3, 7) and error.hint
    assert everything_in(tmp_path) == before


LIES: dict[str, tuple[Callable[[Document], object], int]] = {
    "another's number": (lambda said: said.update(volume=1), 3),
    "a number beyond": (lambda said: said.update(volume=3), 7),
    "more volumes than there may be": (lambda said: said.update(volumes=[volume(f"{n}") for n in range(10_000)]), 7),
    "volumes that are not there": (
        lambda said: said["volumes"].extend(volume(f"../{n}\n\x1b[2J") for n in range(9)),
        3,
    ),
    "other volumes than the other": (lambda said: said["volumes"][0].update(size=said["volume"]), 7),
    "a million requires": (lambda said: said.update(requires=[f"sha256:{n:064x}" for n in range(100_000)]), 7),
    "a sum that is a path": (lambda said: said["volumes"][0].update(sha256="../x"), 7),
    "a negative size": (lambda said: said["volumes"][0].update(size=-1), 7),
    "manifests that are not there": (
        lambda said: said.update(manifests=[{"name": "../x\n\x1b[2J", "digest": f"sha256:{'1' * 64}"}]),
        7,
    ),
    "a later version": (lambda said: said.update(version=10**300), 2),
    "deep values": (lambda said: said.update(kind=json.loads("[" * 900 + "]" * 900)), 7),
}


@pytest.mark.parametrize(("lie", "code"), LIES.values(), ids=LIES.keys())
async def test_documents_that_lie(tmp_path: Path, lie: Callable[[Document], object], code: int) -> None:
    files = write_set(tmp_path, lie)
    before = everything_in(tmp_path)
    error = await imported(tmp_path, *files)
    assert error is not None and error.exit_code == code and error.hint, error
    assert "\x1b" not in f"{error} {error.hint}" and "\n" not in error.message
    assert everything_in(tmp_path) == before


async def test_names_in_a_document_are_no_paths(tmp_path: Path) -> None:
    def lie(said: Document) -> None:
        for each in said["volumes"]:
            each["file"] = f"../../../{tmp_path}/evil\n{each['file']}"

    files = write_set(tmp_path / "in", lie)
    assert await imported(tmp_path, *files) is None
    assert {each.name for each in tmp_path.iterdir()} == {"in", "layout"}


async def test_a_part_with_other_content_is_named_before_anything_is_written(tmp_path: Path) -> None:
    files = write_set(tmp_path, pieces=(LARGE[:HALF], bytes(HALF)))
    before = everything_in(tmp_path)
    error = await imported(tmp_path, *files)
    assert error is not None and error.exit_code == 7
    assert everything_in(tmp_path) == before


ENTRIES: dict[str, tuple[tuple[tarfile.TarInfo, bytes], Form]] = {
    "a link": ((info("blobs/x", kind=tarfile.SYMTYPE, linkname="/etc/passwd"), b""), tarfile.USTAR_FORMAT),
    "a hard link": ((info("blobs/x", kind=tarfile.LNKTYPE, linkname="index.json"), b""), tarfile.USTAR_FORMAT),
    "a device": ((info("blobs/x", kind=tarfile.CHRTYPE), b""), tarfile.USTAR_FORMAT),
    "a path out of it": ((info("../evil", 4), b"evil"), tarfile.USTAR_FORMAT),
    "a full path": ((info("/tmp/evil", 4), b"evil"), tarfile.USTAR_FORMAT),
    "a second document": ((info(".//registry-push.json", 2), b"{}"), tarfile.USTAR_FORMAT),
    "a second part": ((info(f"./blobs/sha256/{Digest.of(LARGE).hex}.part-001", 1), b"a"), tarfile.USTAR_FORMAT),
    "a size beyond any disk": ((info("blobs/x", 2**62), b""), tarfile.GNU_FORMAT),
}


@pytest.mark.parametrize(("entry", "form"), ENTRIES.values(), ids=ENTRIES.keys())
async def test_an_entry_that_no_layout_needs(tmp_path: Path, entry: tuple[tarfile.TarInfo, bytes], form: Form) -> None:
    files = write_set(tmp_path)
    header, content = entry
    found = files[0].read_bytes()
    with tarfile.open(files[0]) as archive:
        end = max(each.offset_data + -(-each.size // 512) * 512 for each in archive)
    padded = content + bytes(-len(content) % 512)
    files[0].write_bytes(found[:end] + header.tobuf(form) + padded + bytes(1024))
    before = everything_in(tmp_path)
    error = await imported(tmp_path, *files)
    assert error is not None and error.exit_code == 7 and error.hint
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize("verb", ["import", "verify", "inspect", "inventory", "copy", "since", "repair"])
async def test_a_million_entries_cost_little(tmp_path: Path, verb: str) -> None:
    hostile = tmp_path / "a.tar"
    with hostile.open("wb") as file:
        for _ in range(300):
            file.write(block("x") * 1000)
    place, layout, models = f"oci-archive:{hostile}", f"oci:{tmp_path}/layout", str(tmp_path / "models")
    write_set(tmp_path / "good")
    arguments = {
        "import": ("import", str(hostile), "--to", layout),
        "copy": ("copy", place, layout),
        "since": ("export", f"oci-archive:{tmp_path}/good/a.tar", "--since", str(hostile), "--to", f"{tmp_path}/b.tar"),
        "repair": ("verify", f"oci-archive:{tmp_path}/good/a.tar", "--repair", place),
    }
    before = everything_in(tmp_path)
    done = await command(*arguments.get(verb, (verb, place)), home=tmp_path, OLLAMA_MODELS=models)
    assert done.code in ((0, 7) if verb == "repair" else (7,)), done.err
    assert "Traceback" not in done.err and done.peak < 200_000_000
    assert {each for each in everything_in(tmp_path) - before if ".local" not in each.parts} <= {tmp_path / ".local"}


@pytest.mark.parametrize("target", ["/etc/passwd", "/dev/zero", "registry-push.json"])
async def test_a_document_in_a_folder_that_is_a_link(tmp_path: Path, target: str) -> None:
    folder = tmp_path / "in"
    for name, content in layout_files(manifests=((MODEL, NAME),), blobs=(HELLO, LARGE)).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "registry-push.json").symlink_to(target)
    error = await imported(tmp_path, folder)
    assert error is not None and error.exit_code in (3, 4, 6, 7) and error.hint
    assert "root:" not in str(error) and not (tmp_path / "layout").exists()


async def test_names_that_no_disk_has(tmp_path: Path) -> None:
    long = str(tmp_path / ("x" * 300))
    for text in (long, f"{long}.tar", f"oci:{long}"):
        since = ("export", f"oci:{tmp_path}", "--since", text, "--to", f"{tmp_path}/a.tar")
        for verb in (("import", text, "--to", "ollama:"), ("verify", f"oci-archive:{long}"), since):
            done = await command(*verb, home=tmp_path)
            assert done.code not in (0, 1) and "Traceback" not in done.err, done.err
    assert not (tmp_path / "a.tar").exists()
