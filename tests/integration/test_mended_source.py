"""A blob whose file was damaged when its upload was broken off, and is right when another run goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import msgspec
import pytest

from registry_push.events import ignore
from registry_push.model import UploadKey
from registry_push.state.journal import Journal
from tests.integration.test_changing_source import Stage, staged

SIZES = {"4 MB": 4_000_000, "12 MB, in chunks": 12_000_000}
pytestmark = pytest.mark.attack("S12")


def damage(stage: Stage) -> None:
    with stage.file.open("r+b") as file:
        file.write(bytes([stage.content[0] ^ 1]))


def write_in_place(stage: Stage) -> None:
    damage(stage)
    stage.file.write_bytes(stage.content)


def replace(stage: Stage) -> None:
    """As `ollama pull` does, with the times of the file that was there."""
    new = stage.file.with_name("new")
    new.write_bytes(stage.content)
    new.rename(stage.file)


def is_noted(stage: Stage) -> bool:
    assert stage.settings.state_dir is not None
    with closing(Journal(stage.settings.state_dir, ignore)) as journal:
        return journal.load(UploadKey(str(stage.registry.origin), "me/tiny", stage.blob.digest)) is not None


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("mend", [write_in_place, replace])
async def test_what_was_sent_of_another_file_is_not_continued(
    tmp_path: Path, size: int, mend: Callable[[Stage], None]
) -> None:
    async with staged(tmp_path, size, bwlimit=4_000_000) as stage:
        damage(stage)
        pushing = asyncio.create_task(stage.push())
        stage.meanwhile = pushing.cancel  # at the first bytes that are sent
        with suppress(asyncio.CancelledError):
            await pushing
        assert pushing.cancelled() and is_noted(stage)
        stage.registry.log.clear()
        mend(stage)
        report = await stage.push()
        assert report.error is None and await stage.is_right()
        assert any(each.method == "DELETE" for each in stage.registry.log), "the old upload is freed"


async def test_what_was_sent_from_another_registry_is_not_continued_from_a_file(tmp_path: Path) -> None:
    async with staged(tmp_path, SIZES["12 MB, in chunks"], bwlimit=4_000_000) as stage:
        damage(stage)
        pushing = asyncio.create_task(stage.push())
        stage.meanwhile = pushing.cancel
        with suppress(asyncio.CancelledError):
            await pushing
        of_a_registry(stage)
        stage.file.write_bytes(stage.content)
        report = await stage.push()
        assert report.error is None and await stage.is_right()


def of_a_registry(stage: Stage) -> None:
    """Note the upload as one whose content came over a line: such a record knows no file."""
    assert stage.settings.state_dir is not None
    key = UploadKey(str(stage.registry.origin), "me/tiny", stage.blob.digest)
    with closing(Journal(stage.settings.state_dir, ignore)) as journal:
        record = journal.load(key)
        assert record is not None and record.file is not None
        journal.save(key, stage.blob.size, msgspec.structs.replace(record, file=None))
