"""A file that is written through a memory map while it is sent, which leaves no trace in its times."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from registry_push.embedded import Fault, On, Schedule, What
from registry_push.embedded.faults import NO_FAULTS
from registry_push.errors import BlobCorrupt, IntegrityError
from registry_push.events import BlobStarted, Retrying
from registry_push.protocol.upload.chunks import SINGLE_PUT
from registry_push.registry import hash_cache as trust
from tests.integration.test_changing_source import WAYS, Stage, staged

pytestmark = pytest.mark.attack("S12")

SIZES = {"300 kB": 300_000, "4 MB": 4_000_000, "8 MiB": SINGLE_PUT - 4096}  # with a head of its own
sizes = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
ways = pytest.mark.parametrize("way", ["http", "https", "with a limit"])
CUT = Schedule((Fault(What.CUT, On.PUT, 1, at=200_000),))
BUSY = Schedule((Fault(What.ANSWER, On.PUT, 1, status=503),))
SMALLER = Schedule((Fault(What.LIMIT, On.PUT, 1, limit=2 << 20),))
faults = pytest.mark.parametrize("schedule", [NO_FAULTS, CUT, BUSY, SMALLER], ids=["well", "cut", "busy", "smaller"])


@contextmanager
def mapped(stage: Stage) -> Iterator[mmap.mmap]:
    """The weights in memory, with pages that have been written to: another write sets no time."""
    with stage.file.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        for start in (0, len(content) - 1):
            content[start] = content[start]
        yield content


def flip(content: mmap.mmap) -> None:
    """Writes something else at both ends."""
    for start in (0, len(content) - 1):
        content[start] ^= 1


def holds(stage: Stage) -> bytes | None:
    """The weights as the registry has them."""
    file = stage.registry.repositories["me/tiny"].blob_path(stage.blob.digest)
    return file.read_bytes() if file.is_file() else None


@ways
@sizes
@faults
async def test_what_is_written_when_the_upload_begins_is_never_committed(
    tmp_path: Path, way: str, size: int, schedule: Schedule
) -> None:
    async with staged(tmp_path, size, faults=schedule, **WAYS[way]) as stage:
        with mapped(stage) as content:
            stage.when, stage.meanwhile = BlobStarted, lambda: flip(content)
            report = await stage.push()
        assert stage.is_over
        assert isinstance(report.error, BlobCorrupt) and holds(stage) is None
        assert await stage.has_no_manifest()


@ways
@sizes
async def test_nor_if_it_was_hashed_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, size: int
) -> None:
    monkeypatch.setattr(trust, "_RACY", 0)
    async with staged(tmp_path, size, **WAYS[way]) as stage:
        with mapped(stage) as content:
            assert (await stage.push("me/before")).error is None
            stage.when, stage.meanwhile = BlobStarted, lambda: flip(content)
            report = await stage.push()
        assert stage.is_over
        assert isinstance(report.error, BlobCorrupt) and holds(stage) is None


@ways
@sizes
@faults
async def test_what_is_written_while_it_is_sent_is_never_committed(
    tmp_path: Path, way: str, size: int, schedule: Schedule
) -> None:
    async with staged(tmp_path, size, faults=schedule, **WAYS[way]) as stage:
        with mapped(stage) as content:
            stage.meanwhile = lambda: flip(content)
            report = await stage.push()
        assert stage.is_over
        if report.error is None:  # it was all in memory by then
            assert holds(stage) == stage.content
        else:  # the right content may be there, sent from memory before the file was written
            assert isinstance(report.error, IntegrityError) and holds(stage) in (None, stage.content)


@sizes
async def test_small_parts_are_hashed_as_they_are_sent(tmp_path: Path, size: int) -> None:
    async with staged(tmp_path, size, **WAYS["parts"]) as stage:
        with mapped(stage) as content:
            stage.when, stage.meanwhile = BlobStarted, lambda: flip(content)
            report = await stage.push()
        assert stage.is_over
        assert isinstance(report.error, BlobCorrupt) and holds(stage) is None


@ways
@pytest.mark.parametrize("size", [4_000_000, SINGLE_PUT - 4096])  # less is hashed before any of it is sent
async def test_wrong_bytes_before_a_cut_are_sent_once_more(tmp_path: Path, way: str, size: int) -> None:
    """The file is right again when the rest is sent, and the registry has kept what was sent before."""
    cuts = Schedule(tuple(Fault(What.CUT, On.PUT, number, at=200_000) for number in range(1, 8)))
    async with staged(tmp_path, size, faults=cuts, **WAYS[way]) as stage:
        with mapped(stage) as content:
            flip(content)
            stage.when, stage.meanwhile = Retrying, lambda: flip(content)
            report = await stage.push()
        if stage.is_over:
            assert report.error is None and holds(stage) == stage.content
        else:  # all of it was hashed before the cut was noticed
            assert isinstance(report.error, BlobCorrupt) and holds(stage) is None
