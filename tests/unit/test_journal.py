"""The journal: what it keeps, and that its loss costs bandwidth only."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from registry_push.content.base import FileIdentity
from registry_push.events import Event, Warned
from registry_push.model import Digest, UploadKey
from registry_push.protocol.upload.requests import UploadRecord
from registry_push.state import database as module
from registry_push.state.journal import LIFE_SECONDS, Journal

KEY = UploadKey("https://r.example", "a/b", Digest.of(b"blob"))
RECORD = UploadRecord("https://r.example/v2/a/b/blobs/uploads/1?_state=secret", 64)
PARTS = UploadRecord("https://r.example/v2/a/b/blobs/uploads/2", 0, 100, (0, 2, 5), 3)


class Stage:
    """Opens journals in one folder; what they warn of is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "journal.sqlite3"
        self.warnings: list[Event] = []
        self.now = 1_000_000.0
        self._open: list[Journal] = []

    def journal(self) -> Journal:
        self._open.append(Journal(self.folder, self.warnings.append, now=lambda: self.now))
        return self._open[-1]

    def close(self) -> None:
        for each in self._open:
            each.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path / "state")
    yield stage
    stage.close()


@pytest.mark.parametrize("record", [RECORD, PARTS])
def test_another_process_reads_what_one_has_kept(stage: Stage, record: UploadRecord) -> None:
    stage.journal().save(KEY, 1000, record)
    assert stage.journal().load(KEY) == record
    assert [entry.key for entry in stage.journal().entries()] == [KEY]


def test_what_is_forgotten_is_gone(stage: Stage) -> None:
    journal = stage.journal()
    journal.save(KEY, 1000, RECORD)
    journal.save(KEY, 1000, None)
    assert journal.load(KEY) is None
    assert journal.entries() == []


def test_a_record_that_registries_have_forgotten_is_no_record(stage: Stage) -> None:
    stage.journal().save(KEY, 1000, RECORD)
    stage.now += LIFE_SECONDS + 1
    assert stage.journal().load(KEY) is None
    assert stage.journal().entries() == []


def test_its_files_are_for_their_owner_alone(stage: Stage) -> None:
    stage.journal().save(KEY, 1000, RECORD)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (stage.folder, *stage.folder.iterdir())}
    assert all(mode & 0o077 == 0 for mode in modes.values()), modes


@pytest.mark.parametrize("damage", ["zeroed", "torn", "another file"])
def test_a_damaged_journal_is_moved_aside_with_a_warning(stage: Stage, damage: str) -> None:
    stage.journal().save(KEY, 1000, RECORD)
    stage.close()
    content = stage.file.read_bytes()
    for extra in stage.folder.glob("journal.sqlite3-*"):
        extra.unlink()
    match damage:
        case "zeroed":
            stage.file.write_bytes(b"\0" * len(content))
        case "torn":
            stage.file.write_bytes(content[:100] + os.urandom(len(content) - 100))
        case _:
            stage.file.write_text("no database")
    journal = stage.journal()
    assert journal.load(KEY) is None
    journal.save(KEY, 1000, RECORD)
    assert journal.load(KEY) == RECORD
    assert [type(warning) for warning in stage.warnings] == [Warned]
    assert list(stage.folder.glob("journal.sqlite3.damaged-*"))


def test_a_lost_journal_is_an_empty_one(stage: Stage) -> None:
    stage.journal().save(KEY, 1000, RECORD)
    stage.close()
    for file in stage.folder.iterdir():
        file.unlink()
    assert stage.journal().load(KEY) is None
    assert stage.warnings == []


def test_a_folder_that_can_not_be_made_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    warnings: list[Event] = []
    journal = Journal(tmp_path / "file" / "state", warnings.append)
    journal.save(KEY, 1000, RECORD)
    assert journal.load(KEY) is None
    assert [type(warning) for warning in warnings] == [Warned]
    journal.close()


def identity(number: int, size: int = 2_000_000) -> FileIdentity:
    return FileIdentity(1, number, size, 0, 0)


def test_what_files_were_hashed_to_is_written_in_lots_and_known_at_once(stage: Stage) -> None:
    journal, other = stage.journal(), stage.journal()
    digest = Digest.of(b"blob")
    for number in range(64):
        assert other.verified(identity(number)) is None
        journal.verify(identity(number), digest)
        assert journal.verified(identity(number)) == digest
    assert all(other.verified(identity(number)) == digest for number in range(64))
    journal.verify(identity(64), digest)
    journal.verify(identity(65, 10**9), digest)  # worth a write of its own, and takes along what waits
    assert other.verified(identity(64)) == other.verified(identity(65, 10**9)) == digest
    journal.verify(identity(66), digest)
    journal.close()
    assert other.verified(identity(66)) == digest


def test_a_lot_that_can_not_be_written_keeps_nothing_else_back(stage: Stage) -> None:
    class Full:
        """A database on a disk that is full when a transaction ends."""

        def __init__(self, database: sqlite3.Connection) -> None:
            self._database = database

        def execute(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
            if statement == "COMMIT":
                raise sqlite3.OperationalError("database or disk is full")
            return self._database.execute(statement, values)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._database, name)

    journal = stage.journal()
    assert journal._database._connection is not None
    journal._database._connection = Full(journal._database._connection)  # type: ignore[assignment]  # as far as the journal uses one
    journal.verify(identity(1, 10**9), Digest.of(b"blob"))
    journal.save(KEY, 1000, RECORD)
    assert stage.journal().load(KEY) == RECORD, "not in a transaction that nobody ends"
    assert [type(warning) for warning in stage.warnings] == [Warned]


def test_a_locked_database_is_one_warning(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUSY_SECONDS", 0.0)
    journal = stage.journal()
    journal.save(KEY, 1000, RECORD)
    other = sqlite3.connect(stage.file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    journal.save(KEY, 1000, PARTS)
    journal.save(KEY, 1000, PARTS)
    other.close()
    assert [type(warning) for warning in stage.warnings] == [Warned]
    assert journal.load(KEY) == RECORD


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '["x", 1, 2, [], 0]', '["https://r/1", "a", 0, [], 0]', '["https://r/1", 1, 0, 5, 0]']
)
def test_a_record_that_can_not_be_read_is_none(stage: Stage, text: str) -> None:
    journal = stage.journal()
    journal.save(KEY, 1000, RECORD)
    database = sqlite3.connect(stage.file)
    database.execute("UPDATE uploads SET record = ?", (text,))
    database.commit()
    database.close()
    assert journal.load(KEY) is None
    assert journal.entries() == []


HOLDER = """
import asyncio, sys
from pathlib import Path
from typing import Any
from registry_push.state.journal import Journal
from registry_push.registry.keeper import UploadKey
from registry_push.content.base import FileIdentity
from registry_push.model import Digest

async def main():
    journal = Journal(Path(sys.argv[1]), print)
    async with journal.held(UploadKey("https://r.example", "other", Digest.of(b"blob")), lambda: None):
        print("held", flush=True)
        sys.stdin.read()

asyncio.run(main())
"""


async def test_one_process_holds_an_upload_and_its_death_lets_go(stage: Stage) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(stage.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None and holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    waited = asyncio.Event()
    got = asyncio.Event()

    async def second() -> None:
        async with stage.journal().held(KEY, waited.set):
            got.set()

    task = asyncio.create_task(second())
    await waited.wait()
    assert not got.is_set()
    holder.kill()
    holder.wait()
    await task
    holder.stdin.close()
    holder.stdout.close()


@pytest.mark.attack("S1")
def test_a_record_that_does_not_move_keeps_its_date(stage: Stage) -> None:
    journal = stage.journal()
    journal.save(KEY, 1000, RECORD)
    begun, stage.now = stage.now, stage.now + 100
    for location in (RECORD.location, "https://r.example/v2/a/b/blobs/uploads/1?_state=another"):
        record = UploadRecord(location, 64)
        journal.save(KEY, 1000, record)
        assert [(entry.record, entry.saved) for entry in journal.entries()] == [(record, begun)]
    journal.save(KEY, 1000, UploadRecord(RECORD.location, 65))
    assert journal.entries()[0].saved == stage.now
    stage.now += LIFE_SECONDS + 1
    journal.save(KEY, 1000, UploadRecord(RECORD.location, 65))  # no one's: the old one has run out
    assert journal.load(KEY) is not None


@pytest.mark.attack("S1")
def test_a_record_is_dropped_after_the_second_run_that_got_nowhere(stage: Stage) -> None:
    journal = stage.journal()
    journal.save(KEY, 1000, RECORD)
    journal.got_nowhere(KEY)
    assert stage.journal().load(KEY) == RECORD
    moved = UploadRecord(RECORD.location, 65)
    journal.save(KEY, 1000, moved)  # it did go on after all
    journal.got_nowhere(KEY)
    assert journal.load(KEY) == moved
    journal.save(KEY, 1000, moved)
    stage.journal().got_nowhere(KEY)
    assert journal.load(KEY) is None
    journal.save(KEY, 1000, RECORD)
    journal.got_nowhere(KEY)
    assert journal.load(KEY) == RECORD, "another upload of the blob begins with nothing against it"
