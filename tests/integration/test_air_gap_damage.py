"""Media that are damaged, lost, mixed up or full: the command says which file and what to do, and harms nothing."""

from __future__ import annotations

import random
import resource
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from registry_push.content.ollama.source import OllamaStore
from tests.cancellation.targets import Store
from tests.support.command import Finished, command, start_command
from tests.support.peers import absent
from tests.support.stores import make_mixed_store, weights_of

KB = 1000
MODEL, OTHER = "gap/one", "gap/two"
SPLIT = ("--split", "400kB")


class Gap:
    """A store with two models, whose volumes are in `media`, and a store `there` behind the gap."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.media, self.there = folder, folder / "models", folder / "media", folder / "there"
        make_mixed_store(self.store, [600 * KB, 300 * KB, 100 * KB, 20 * KB + 1], name=MODEL)
        make_mixed_store(self.store, [30 * KB], name=OTHER)

    async def run(self, *arguments: str, models: Path | None = None) -> Finished:
        return await command(*arguments, "--models", str(models or self.store), home=self.folder)

    async def export(self, *options: str, to: str = "media/gap.tar", names: tuple[str, ...] = (MODEL, OTHER)) -> None:
        done = await self.run("export", *names, "--to", str(self.folder / to), *options)
        assert done.code == 0, done.err

    async def import_(self, *files: Path, options: tuple[str, ...] = ()) -> Finished:
        return await self.run(
            "import", *map(str, files or [self.media]), "--to", "ollama:", *options, models=self.there
        )

    @property
    def volumes(self) -> list[Path]:
        return sorted(self.media.glob("*.tar"))

    def check_whole(self) -> None:
        """Both models are there, byte for byte, and nothing else is."""
        assert Store(self.there).wrong() == []
        there, here = OllamaStore(self.there), OllamaStore(self.store)
        for name in (MODEL, OTHER):
            assert weights_of(there, name)[1].read_bytes() == weights_of(here, name)[1].read_bytes()

    def check_untouched(self) -> None:
        """Nothing was written."""
        assert [path for path in self.there.rglob("*") if path.is_file()] == []


@pytest.fixture
async def gap(tmp_path: Path) -> Gap:
    found = Gap(tmp_path)
    await found.export(*SPLIT)
    assert len(found.volumes) == 3
    return found


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)


def member(path: Path, wanted: Callable[[tarfile.TarInfo], bool]) -> tarfile.TarInfo:
    with tarfile.open(path) as archive:
        return next(each for each in archive if wanted(each))


def is_blob(each: tarfile.TarInfo) -> bool:
    return each.name.startswith("blobs/") and ".part-" not in each.name and each.size > 10 * KB


def is_part(each: tarfile.TarInfo) -> bool:
    return ".part-" in each.name


def is_manifest(each: tarfile.TarInfo) -> bool:
    return each.name.startswith("blobs/") and 300 < each.size < 5 * KB


def names(name: str) -> Callable[[tarfile.TarInfo], bool]:
    return lambda each: each.name == name


def volume_with(gap: Gap, wanted: Callable[[tarfile.TarInfo], bool]) -> tuple[Path, tarfile.TarInfo]:
    for path in gap.volumes:
        with tarfile.open(path) as archive:
            for each in archive:
                if wanted(each):
                    return path, each
    raise AssertionError("no volume has it")


@pytest.mark.parametrize("wanted", [is_blob, is_part])
async def test_a_flipped_bit_in_a_blob_names_the_volume(gap: Gap, wanted: Callable[[tarfile.TarInfo], bool]) -> None:
    path, found = volume_with(gap, wanted)
    flip(path, found.offset_data + found.size // 2)
    refused = await gap.import_()
    assert refused.code == 7
    others = [each for each in gap.volumes if each != path]
    assert str(path) in refused.err and not any(str(each) in refused.err for each in others)
    assert "carry them over again" in refused.err
    gap.check_untouched()


@pytest.mark.parametrize("wanted", [names("index.json"), names("registry-push.json")])
async def test_a_flipped_bit_in_a_document_names_the_volume(
    gap: Gap, wanted: Callable[[tarfile.TarInfo], bool]
) -> None:
    path, found = volume_with(gap, wanted)
    # In a model's name: what is imported would have another one.
    at = path.read_bytes().index(b"gap/one", found.offset_data)
    flip(path, at + 5)
    refused = await gap.import_()
    assert refused.code == 7
    assert str(path) in refused.err and "→" in refused.err
    gap.check_untouched()


async def test_a_flipped_bit_in_a_header_names_the_volume_and_the_byte(gap: Gap) -> None:
    path, found = volume_with(gap, is_blob)
    flip(path, found.offset + 20)
    refused = await gap.import_()
    assert refused.code == 7
    assert f"{path} has no tar header, at byte {found.offset}" in refused.err
    gap.check_untouched()


async def test_a_flipped_bit_in_padding_harms_nothing(gap: Gap) -> None:
    path, found = volume_with(gap, lambda each: each.size == 20 * KB + 1)
    flip(path, found.offset_data + found.size + 3)
    done = await gap.import_()
    assert done.code == 0, done.err
    gap.check_whole()


async def test_a_damaged_manifest_is_read_from_another_volume(gap: Gap) -> None:
    path, found = volume_with(gap, is_manifest)
    flip(path, found.offset_data + found.size // 2)
    done = await gap.import_()
    assert done.code == 0, done.err
    gap.check_whole()


async def test_a_damaged_manifest_that_nobody_else_has_stops_all_of_it(gap: Gap) -> None:
    await gap.export(to="single.tar")
    path = gap.folder / "single.tar"
    found = member(path, is_manifest)
    flip(path, found.offset_data + found.size // 2)
    refused = await gap.import_(path)
    assert refused.code == 7
    assert str(path) in refused.err and found.name.rpartition("/")[2] in refused.err
    gap.check_untouched()


async def test_bits_flipped_anywhere_end_in_an_error_or_in_the_right_models(gap: Gap) -> None:
    draw = random.Random(17)
    for _ in range(8):
        path = draw.choice(gap.volumes)
        content = path.read_bytes()
        flip(path, draw.randrange(len(content)))
        done = await gap.import_()
        assert done.code in (0, 3, 7), done.err
        if done.code:
            gap.check_untouched()
        else:
            gap.check_whole()
            shutil.rmtree(gap.there)
        path.write_bytes(content)


@pytest.mark.parametrize("rest", [0, 700, 200 * KB, -1024])
async def test_a_truncated_volume_is_named(gap: Gap, rest: int) -> None:
    path = gap.volumes[1]
    with path.open("r+b") as file:
        file.truncate(rest if rest >= 0 else path.stat().st_size + rest)
    refused = await gap.import_()
    assert refused.code == 7
    assert str(path) in refused.err and "copy it again" in refused.err
    gap.check_untouched()


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_a_missing_volume_is_named(gap: Gap, number: int) -> None:
    path = gap.volumes[number]
    path.unlink()
    refused = await gap.import_()
    assert refused.code == 3
    assert path.name in refused.err and "--partial" in refused.err
    gap.check_untouched()


async def test_volumes_of_different_exports_are_told_apart(gap: Gap) -> None:
    first = gap.volumes
    make_mixed_store(gap.store, [700 * KB, 200 * KB], name=MODEL)  # a later version of it
    await gap.export(*SPLIT, to="second/gap.tar")
    shutil.copy(gap.folder / "second" / first[1].name, first[1])
    refused = await gap.import_()
    assert refused.code == 3
    assert f"missing beside {first[0].name}: {first[1].name}" in refused.err
    assert f"the {first[1].name} that is here is of another export" in refused.err
    gap.check_untouched()


async def test_a_renamed_volume_is_known_by_its_content(gap: Gap) -> None:
    for path, name in zip(gap.volumes, ("z.tar", "gap.v001.tar", "b.tar"), strict=True):
        path.rename(path.with_name(f"{name}.new"))
    for path in gap.media.glob("*.new"):
        path.rename(path.with_suffix(""))
    done = await gap.import_(*reversed(gap.volumes))
    assert done.code == 0, done.err
    gap.check_whole()


async def test_a_volume_that_is_given_twice_counts_once(gap: Gap) -> None:
    shutil.copy(gap.volumes[0], gap.media / "copy.tar")
    done = await gap.import_(*gap.volumes, gap.volumes[1])
    assert done.code == 0, done.err
    gap.check_whole()


async def test_damaged_volumes_are_repaired_in_their_place(gap: Gap) -> None:
    whole = {path: path.read_bytes() for path in gap.volumes}
    for wanted in (is_blob, is_part):
        path, found = volume_with(gap, wanted)
        flip(path, found.offset_data + found.size // 2)
    place = f"oci-archive:{gap.media / 'gap.tar'}"
    assert (await command("verify", place, home=gap.folder)).code == 7
    done = await gap.run("verify", place, "--repair", "ollama:")
    assert done.code == 0, done.err
    assert {path: path.read_bytes() for path in gap.volumes} == whole


async def test_a_name_that_is_taken_is_refused(gap: Gap) -> None:
    before = {path: path.read_bytes() for path in gap.media.iterdir()}
    for options in ((), SPLIT):
        (gap.folder / "there.tar").write_bytes(b"mine")
        for to in ("there.tar", *(["media/gap.tar"] if options else [])):
            refused = await gap.run("export", MODEL, "--to", str(gap.folder / to), *options)
            assert refused.code == 2
            assert "is there already" in refused.err and "rm " in refused.err
    assert (gap.folder / "there.tar").read_bytes() == b"mine"
    assert {path: path.read_bytes() for path in gap.media.iterdir()} == before


async def test_a_folder_without_archives_is_named(gap: Gap) -> None:
    empty = gap.folder / "empty"
    empty.mkdir()
    refused = await gap.import_(empty)
    assert refused.code == 3
    assert f"{empty} has no index.json and no archive" in refused.err
    gap.check_untouched()


@contextmanager
def small_disk(at: Path, size: int, *options: str) -> Iterator[Path]:
    at.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "tmpfs", str(at)]
    if shutil.which("mount") is None or subprocess.run(mounting, capture_output=True, check=False).returncode:
        absent("nothing can be mounted here")
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


@pytest.mark.parametrize("options", [(), SPLIT])
async def test_a_disk_that_is_too_small_for_an_export_is_named_before(gap: Gap, options: tuple[str, ...]) -> None:
    with small_disk(gap.folder / "disk", 512 * 1024) as disk:
        refused = await gap.run("export", MODEL, "--to", str(disk / "gap.tar"), *options)
        assert refused.code == 6
        assert str(disk) in refused.err and "make room" in refused.err
        assert list(disk.iterdir()) == []


async def test_a_disk_that_is_too_small_for_an_import_is_named_before(gap: Gap) -> None:
    with small_disk(gap.there, 512 * 1024):
        refused = await gap.import_()
        assert refused.code == 6
        assert str(gap.there) in refused.err and "make room" in refused.err
        gap.check_untouched()


def enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,nr_inodes=1000", str(disk)], check=True)


@pytest.mark.parametrize(("options", "files"), [((), 2), (SPLIT, 3), (SPLIT, 4)])
async def test_an_export_whose_disk_becomes_full_can_be_run_again(
    gap: Gap, options: tuple[str, ...], files: int
) -> None:
    """There is room for the bytes, which is looked at before, and not for so many files, the folder among them."""
    with small_disk(gap.folder / "disk", 4 * 1024 * 1024, f"nr_inodes={files}") as disk:
        refused = await gap.run("export", MODEL, OTHER, "--to", str(disk / "gap.tar"), *options)
        assert refused.code == 6, refused.err
        assert "No space left on device" in refused.err and "make room" in refused.err
        assert [path for path in disk.iterdir() if path.suffix == ".tar"] == []
        enlarge(disk)
        await gap.export(*options, to="disk/gap.tar")
        whole = await gap.import_(disk)
        assert whole.code == 0, whole.err
        gap.check_whole()
        if options:
            assert all(path.read_bytes() == (disk / path.name).read_bytes() for path in gap.media.iterdir())


@pytest.mark.parametrize("files", [6, 9, 12])
async def test_an_import_whose_disk_becomes_full_can_be_run_again(gap: Gap, files: int) -> None:
    with small_disk(gap.there, 4 * 1024 * 1024, f"nr_inodes={files}") as disk:
        refused = await gap.import_()
        assert refused.code in (6, 8), refused.err
        assert "No space left on device" in refused.err and "make room" in refused.err
        assert Store(disk).wrong() == []
        enlarge(disk)
        whole = await gap.import_()
        assert whole.code == 0, whole.err
        gap.check_whole()


async def test_a_disk_that_cannot_be_written_is_named(gap: Gap) -> None:
    with small_disk(gap.folder / "disk", 4 * 1024 * 1024, "ro") as disk:
        refused = await gap.run("export", MODEL, "--to", str(disk / "gap.tar"))
        assert refused.code == 4
        assert str(disk) in refused.err and "mount the file system for writing" in refused.err
    with small_disk(gap.there, 4 * 1024 * 1024, "ro"):
        refused = await gap.import_()
        assert refused.code == 4
        assert str(gap.there) in refused.err and "for writing" in refused.err


@contextmanager
def small_files(most: int) -> Iterator[None]:
    """Processes that are started meanwhile write no file beyond `most` bytes: EFBIG, as FAT has it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_without_large_files_asks_for_volumes(gap: Gap) -> None:
    to = gap.folder / "fat"
    arguments = ["export", MODEL, "--to", str(to / "gap.tar"), "--models", str(gap.store)]
    with small_files(500 * KB):
        process = await start_command(*arguments, home=gap.folder)
    _, err = await process.communicate()
    assert process.returncode == 4
    assert f"{to / 'gap.tar'}.partial can't have more than" in err.decode() and "--split" in err.decode()
    assert list(to.iterdir()) == []
    with small_files(500 * KB):
        process = await start_command(*arguments, *SPLIT, home=gap.folder)
    await process.communicate()
    assert process.returncode == 0


async def test_a_store_without_large_files_shows_no_model_that_is_cut(gap: Gap) -> None:
    arguments = ["import", str(gap.media), "--to", "ollama:", "--models", str(gap.there)]
    with small_files(500 * KB):
        process = await start_command(*arguments, home=gap.folder)
    _, err = await process.communicate()
    assert process.returncode == 8  # the other model fits
    assert f"{gap.there} can't be written: File too large" in err.decode()
    assert Store(gap.there).wrong() == []
    assert [name.short for name in [each.name for each in await OllamaStore(gap.there).models()]] == ["gap/two:latest"]
