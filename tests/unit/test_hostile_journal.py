"""The journal if somebody else may write: odd files, open modes, hostile schemas and rows, other versions, damage."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from registry_push.content.base import FileIdentity
from registry_push.events import Event, Warned
from registry_push.model import Digest, UploadKey
from registry_push.protocol.cut_behaviour import CutBehaviour
from registry_push.protocol.upload.requests import UploadRecord
from registry_push.registry.profile import Profile
from registry_push.state.journal import Journal
from registry_push.state.push_record import PushRecord
from registry_push.verbs.resume import under_way

pytestmark = pytest.mark.attack("S14")

NOW: Final = 1_000_000.0
KEY: Final = UploadKey("https://r.example", "a/b", Digest.of(b"blob"))
LOCATION: Final = "https://r.example/v2/a/b/blobs/uploads/1?_state=secret"
RECORD: Final = UploadRecord(LOCATION, 64)
ORDER: Final = PushRecord("/models", "me/x:latest", ("r.example/a/b:latest",), (("plain_http", True),))
FILE: Final = FileIdentity(1, 2, 2_000_000, 3, 4)


class Stage:
    """Opens journals in one folder; what they warn of is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "journal.sqlite3"
        self.told: list[Event] = []
        self._open: list[Journal] = []

    def journal(self) -> Journal:
        self._open.append(Journal(self.folder, self.told.append, now=lambda: NOW))
        return self._open[-1]

    def filled(self) -> None:
        """One row in each table."""
        journal = self.journal()
        journal.save(KEY, 1000, RECORD)
        journal.learn(KEY.origin, Profile(4 * 1024 * 1024, kept=CutBehaviour.NOTHING, rate=5.0, mounts_itself=True))
        journal.begin(ORDER)
        journal.verify(FILE, KEY.digest)
        self.close()

    def change(self, *statements: str, values: tuple[Any, ...] = ()) -> None:
        """As another program with the right to write does."""
        database = sqlite3.connect(self.file)
        for statement in statements:
            database.execute(statement, values)
        database.commit()
        database.close()

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.told if isinstance(event, Warned)]

    def close(self) -> None:
        for each in self._open:
            each.close()
        self._open.clear()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path / "state")
    yield stage
    stage.close()


def is_of_no_use(stage: Stage) -> str:
    """What the one warning says of a journal that keeps nothing."""
    journal = stage.journal()
    journal.save(KEY, 1000, RECORD)
    journal.verify(FILE, KEY.digest)
    assert journal.load(KEY) is None
    assert (journal.entries(), journal.records(), journal.profile(KEY.origin)) == ([], [], None)
    (warning,) = stage.warnings
    return warning


# ── files ─────────────────────────────────────────────────────────────────────────────────────────

NAMES: Final = (
    "journal.sqlite3",
    "journal.sqlite3-wal",
    "journal.sqlite3-shm",
    "journal.sqlite3-journal",
    "journal.locks",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_symbolic_link_is_never_followed(stage: Stage, tmp_path: Path, name: str) -> None:
    stage.folder.mkdir(mode=0o700)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    victim.chmod(0o644)
    (stage.folder / name).symlink_to(victim)
    assert "symbolic link" in is_of_no_use(stage)
    assert (victim.read_text(), stat.S_IMODE(victim.stat().st_mode)) == ("precious", 0o644)


@pytest.mark.parametrize("name", NAMES)
def test_a_symbolic_link_to_nowhere_makes_no_file(stage: Stage, tmp_path: Path, name: str) -> None:
    stage.folder.mkdir(mode=0o700)
    (stage.folder / name).symlink_to(tmp_path / "not there")
    assert "symbolic link" in is_of_no_use(stage)
    assert not (tmp_path / "not there").exists()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["FIFO", "folder"])
def test_what_is_no_regular_file_is_not_waited_for(stage: Stage, name: str, make: Callable[[Path], None]) -> None:
    stage.folder.mkdir(mode=0o700)
    make(stage.folder / name)
    assert "no regular file" in is_of_no_use(stage)


def test_files_of_another_user_are_not_used(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.filled()
    before = stage.file.read_bytes()
    somebody = os.geteuid() + 1
    stage.folder.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: somebody)
    assert "belongs to another user" in is_of_no_use(stage)
    assert stage.file.read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["", *NAMES[:2], NAMES[-1]])
def test_what_another_user_put_there_is_not_used(stage: Stage, name: str) -> None:
    stage.filled()
    (stage.folder / name).touch()
    os.chown(stage.folder / name, 12345, 12345)
    assert "belongs to another user (uid 12345)" in is_of_no_use(stage)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o666, 0o604, 0o777])
def test_modes_that_are_too_open_are_closed(stage: Stage, mode: int) -> None:
    stage.filled()
    keeper = sqlite3.connect(stage.file)  # keeps -wal and -shm there
    keeper.execute("SELECT * FROM uploads").fetchall()
    files = [path for path in stage.folder.iterdir() if path.is_file()]
    assert len(files) == 4
    for path in files:
        path.chmod(mode)
    assert stage.journal().load(KEY) == RECORD
    keeper.close()
    assert {stat.S_IMODE(path.stat().st_mode) for path in files if path.exists()} == {0o600}
    assert stage.warnings == []


@pytest.mark.parametrize(
    ("mode", "above", "warns"),
    [
        (0o700, 0o755, 0),
        (0o755, 0o755, 0),
        (0o770, 0o755, 1),
        (0o777, 0o755, 1),
        (0o1777, 0o755, 0),
        (0o700, 0o777, 1),
        (0o700, 0o1777, 0),
        (0o700, 0o775, 0),
    ],
)
def test_a_folder_where_others_can_replace_files_is_warned_of(
    stage: Stage, tmp_path: Path, mode: int, above: int, warns: int
) -> None:
    stage.filled()
    stage.folder.chmod(mode)
    tmp_path.chmod(above)
    assert stage.journal().load(KEY) == RECORD
    assert len(stage.warnings) == warns
    assert all("others can replace" in warning for warning in stage.warnings)


# ── versions ──────────────────────────────────────────────────────────────────────────────────────

UNVERSIONED: Final = (
    """CREATE TABLE uploads (
        origin TEXT NOT NULL, repository TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL,
        record TEXT NOT NULL, saved REAL NOT NULL,
        PRIMARY KEY (origin, repository, digest)
    ) STRICT""",
    "CREATE TABLE hosts (origin TEXT PRIMARY KEY, profile TEXT NOT NULL, saved REAL NOT NULL) STRICT",
    """CREATE TABLE files (
        device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL, modified INTEGER NOT NULL,
        changed INTEGER NOT NULL, digest TEXT NOT NULL, saved REAL NOT NULL,
        PRIMARY KEY (device, inode)
    ) STRICT""",
    "CREATE TABLE pushes (job TEXT PRIMARY KEY, saved REAL NOT NULL) STRICT",
)


def test_a_journal_without_a_version_is_brought_to_ours(stage: Stage) -> None:
    stage.folder.mkdir(mode=0o700)
    stage.change(*UNVERSIONED)
    text = json.dumps([RECORD.location, RECORD.offset, 0, [], 0, False])
    values = (KEY.origin, KEY.repository, str(KEY.digest), 1000, text, NOW - 5)
    stage.change("INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?)", values=values)
    journal = stage.journal()
    assert journal.load(KEY) == RECORD
    assert journal.entries()[0].saved == NOW - 5
    assert stage.warnings == []
    assert stage.journal().load(KEY) == RECORD


@pytest.mark.parametrize("version", [3, 1000, 2**31 - 1, -1])
def test_a_newer_journal_is_left_as_it_is(stage: Stage, version: int) -> None:
    stage.filled()
    stage.change(f"PRAGMA user_version = {version}", "CREATE TABLE more (a)")
    before = stage.file.read_bytes()
    assert "newer version" in is_of_no_use(stage)
    stage.close()
    assert stage.file.read_bytes() == before
    assert not list(stage.folder.glob("*.damaged-*"))


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER evil AFTER INSERT ON uploads BEGIN DELETE FROM hosts; END",
        "CREATE TRIGGER evil BEFORE DELETE ON uploads BEGIN SELECT RAISE(ABORT, 'no'); END",
        "CREATE VIEW evil AS SELECT * FROM uploads",
        "CREATE TABLE more (a)",
        "CREATE INDEX evil ON uploads (abs(size))",
        "ALTER TABLE uploads ADD COLUMN more TEXT",
        "DROP TABLE hosts",
    ],
)
@pytest.mark.parametrize("version", [0, 1])
def test_a_schema_that_is_not_ours_is_moved_aside(stage: Stage, statement: str, version: int) -> None:
    stage.filled()
    stage.change(statement, f"PRAGMA user_version = {version}")
    journal = stage.journal()
    assert journal.load(KEY) is None
    journal.save(KEY, 1000, RECORD)
    assert journal.load(KEY) == RECORD
    assert len(stage.warnings) == 1 and "damaged" in stage.warnings[0]
    assert len(list(stage.folder.glob("journal.sqlite3.damaged-*"))) == 1


def test_tables_that_take_anything_are_moved_aside(stage: Stage) -> None:
    stage.folder.mkdir(mode=0o700)
    stage.change(*(statement.replace("STRICT", "") for statement in UNVERSIONED))
    stage.change("INSERT INTO uploads VALUES (1, NULL, x'00', 'many', 5, 'soon')".replace("NULL", "2"))
    assert stage.journal().entries() == []
    assert len(stage.warnings) == 1


def test_a_row_of_a_megabyte_and_more_is_no_row(stage: Stage) -> None:
    stage.filled()
    stage.change("UPDATE uploads SET record = ?", values=("x" * (2 << 20),))
    journal = stage.journal()
    journal.save(KEY, 1000, RECORD)
    assert journal.load(KEY) == RECORD
    assert len(stage.warnings) == 1


# ── damage that shows later ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("damage", ["zeroed", "torn", "another file"])
def test_a_journal_that_turns_out_damaged_in_use_is_moved_aside(stage: Stage, damage: str) -> None:
    journal = stage.journal()
    journal.save(KEY, 1000, RECORD)
    other = sqlite3.connect(stage.file, isolation_level=None)
    other.execute("UPDATE uploads SET size = size")  # so that what the journal has in its cache is old
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    size = stage.file.stat().st_size
    content = {"zeroed": bytes(size), "torn": os.urandom(size), "another file": b"no database " * (size // 12)}[damage]
    stage.file.write_bytes(content)  # the same file, as it is open
    assert journal.load(KEY) is None
    journal.save(KEY, 1000, RECORD)
    journal.verify(FILE, KEY.digest)
    assert journal.load(KEY) == RECORD
    assert len(stage.warnings) == 1 and "damaged" in stage.warnings[0]
    journal.close()
    assert stage.journal().load(KEY) == RECORD


def test_what_another_process_has_begun_anew_is_not_moved_aside_again(stage: Stage) -> None:
    one = stage.journal()
    one.save(KEY, 1000, RECORD)
    aside = "journal.sqlite3.damaged-1"
    for extra in ("", "-wal", "-shm"):
        Path(f"{stage.file}{extra}").rename(stage.folder / f"{aside}{extra}")
    two = stage.journal()
    two.save(KEY, 2000, RECORD)
    one._database.ask("DROP TABLE uploads")
    assert [entry.size for entry in one.entries()] == [2000]
    assert [path.name for path in stage.folder.glob("*.damaged-*") if path.suffix == ".damaged-1"] == [aside]
    assert stage.warnings == []


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("origin", "https://R.example"),
        ("origin", "https://r.example/"),
        ("origin", "https://r.example:443"),
        ("origin", "https://me:pw@r.example"),
        ("origin", "file://r"),
        ("origin", ""),
        ("repository", ""),
        ("repository", "../x"),
        ("repository", "a/b:tag"),
        ("repository", "a/b@sha256:" + "0" * 64),
        ("repository", "A/b"),
        ("repository", "x" * 300),
        ("digest", "sha256:../../x"),
        ("digest", "sha256-" + "0" * 64),
        ("digest", "sha256:" + "A" * 64),
        ("size", -1),
        ("size", 63),
        ("saved", -1.0),
        ("saved", NOW + 7 * 24 * 3600),
        ("saved", float("inf")),
    ],
)
def test_a_column_out_of_its_range_removes_the_row_with_one_warning(stage: Stage, column: str, value: Any) -> None:
    stage.filled()
    stage.change(f"UPDATE uploads SET {column} = ?", values=(value,))
    journal = stage.journal()
    assert journal.entries() == []
    assert [warning for warning in stage.warnings if "1 entry" in warning] == stage.warnings != []
    stage.told.clear()
    assert stage.journal().entries() == []
    assert stage.warnings == []


def test_all_that_can_not_be_read_is_counted_in_one_warning_and_gone(stage: Stage) -> None:
    stage.filled()
    for number in range(5):
        values = (KEY.origin, f"a/{number}", str(KEY.digest), 1000, "[]", NOW)
        stage.change("INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?)", values=values)
    stage.change("UPDATE hosts SET profile = 'x'", "INSERT INTO pushes VALUES ('[1, 2]', 5)")
    stage.change("UPDATE files SET digest = 'sha256:x'", "INSERT INTO pushes VALUES (CAST(x'ff00' AS TEXT), 5)")
    journal = stage.journal()
    assert len(stage.warnings) == 1 and "8 entries" in stage.warnings[0]
    assert [entry.key for entry in journal.entries()] == [KEY]
    assert [order for order, _ in journal.records()] == [ORDER]
    assert journal.verified(FILE) is None
    assert len(stage.warnings) == 1
    assert len(under_way(journal).uploads) == 1


def test_the_warning_says_no_secret(stage: Stage) -> None:
    stage.filled()
    stage.change("UPDATE uploads SET size = 5")
    stage.journal()
    assert re.search("secret|_state", "".join(stage.warnings)) is None
