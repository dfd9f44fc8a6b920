"""`Journal`: which uploads are under way at which registry, so that another process can go on with them.

SQLite in the state folder, for its owner alone: a session's URL is a capability. Losing it costs bandwidth only: what
can't be read is removed or moved aside with a warning, what can't be written is done without.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any, Final

from msgspec.structs import astuple

from ..content.base import FileIdentity
from ..events import Sink, Warned
from ..model import Digest, UploadKey
from ..protocol.upload.requests import UploadRecord
from ..registry.profile import Profile
from .known_places import KnownPlaces
from .locks import LockFile, held, is_held, slot_of
from .private_files import check_private, check_same, exposed, make_private, private_folder
from .records import Record
from .rows import Entry as Entry
from .rows import is_name, read_file, read_host, read_place, read_push, read_upload, write_profile, write_record
from .schema import Misshapen, Newer, prepare

_OF_KEY: Final = "WHERE origin = ? AND repository = ? AND digest = ?"
_FORGET: Final = "DELETE FROM uploads WHERE origin = ? AND repository = ? AND digest = ?"
_MOVED: Final = "DELETE FROM idle WHERE origin = ? AND repository = ? AND digest = ?"
_WAS_IDLE: Final = "SELECT 1 FROM idle WHERE origin = ? AND repository = ? AND digest = ?"
# What of a table is parsed, and by what.
_READ: Final[dict[str, tuple[str, Callable[[Sequence[Any], float], object]]]] = {
    "uploads": ("origin, repository, digest, size, record, saved", read_upload),
    "hosts": ("origin, profile, saved", read_host),
    "files": ("digest, saved", read_file),
    "pushes": ("job, saved", read_push),
    "places": ("origin, digest, repository, saved", read_place),
}
# distribution forgets uploads after a week (storage.maintenance.uploadpurging), R2 after two hours; an older record is
# of no use to anyone.
LIFE_SECONDS: Final = 7 * 24 * 3600.0
# Nobody wants to have a file hashed again because it rested; but what is known of those that are gone has to end.
FILES_SECONDS: Final = 180 * 24 * 3600.0
# Hashes that are written at once. One by one they cost 5 % of a push of 400 blobs; of a push that is killed the last
# ones are hashed again.
_HASHED_AT_ONCE: Final = 64
_WORTH_A_WRITE: Final = 64 * 1024 * 1024
# How long a write may wait for another process that writes; a write takes a millisecond.
_BUSY_SECONDS: Final = 2.0
# Bytes of the longest row: a record of `_MOST_PARTS` numbers has fewer.
_LONGEST_ROW: Final = 1024 * 1024
_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_TOOBIG)
# Its file in the state folder.
JOURNAL: Final = "journal.sqlite3"
# What of the database lies in files beside it.
_BESIDE: Final = ("-wal", "-shm", "-journal")


class Journal:
    """The uploads under way. Implements `Keeper`. Never raises for what the disk does: it warns once and goes on."""

    def __init__(self, folder: Path, sink: Sink, *, now: Callable[[], float] = time.time) -> None:
        self._file = folder / JOURNAL
        self._sink = sink
        self._now = now
        self._warned = False
        self.unusable: Exception | None = None  # why nothing can be read
        self.moved_aside: Path | None = None  # where the damaged database is now
        self._dropped = 0  # rows that could not be read
        self._told_dropped = False
        self._began_anew = False
        self._hashed: dict[FileIdentity, Digest] = {}  # that are not written yet
        self._database: sqlite3.Connection | None = None
        self._opened_as: tuple[int, int] | None = None
        self._locks: LockFile | None = None
        self.places = KnownPlaces(self._write, self._rows, now)
        try:
            private_folder(folder)
            self._locks = LockFile(folder / "journal.locks", self._warn)
            if (path := exposed(folder)) is not None:
                sink(Warned(f"others can replace the files in {path}, also the journal", f"run: chmod go-w {path}"))
            self._open()
        except (OSError, sqlite3.Error) as error:
            self.unusable = error
            self._warn(error)

    def close(self) -> None:
        """Writes what is not written, and gives back the files, and with them the locks."""
        self._write_hashed()
        if self._database is not None:
            self._database.close()
        if self._locks is not None:
            self._locks.close()
        self._database = self._locks = None

    # ── Keeper ────────────────────────────────────────────────────────────────────────────────────

    def load(self, key: UploadKey) -> UploadRecord | None:
        """What is known of the upload; None where nothing is, or it is too old."""
        entry = self._entry(key)
        return entry.record if entry is not None else None

    def save(self, key: UploadKey, size: int, record: UploadRecord | None) -> None:
        """Keeps the record in place of what was there; None forgets the upload.

        A record that did not move keeps its date: a registry forgets it by the last byte that came.
        """
        if record is None:
            self._ask(_FORGET, *_columns(key))
            self._ask(_MOVED, *_columns(key))
            return
        before, saved = self._entry(key), self._now()
        if before is not None and before.record.acknowledged(before.size) == record.acknowledged(size):
            saved = before.saved
            if before.record == record:
                return
        else:
            self._ask(_MOVED, *_columns(key))
        values = (*_columns(key), size, write_record(record), saved)
        self._ask("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?, ?)", *values)

    def got_nowhere(self, key: UploadKey) -> None:
        """Notes that a run got nowhere with the upload, at a registry that is well. The second time it is forgotten."""
        if self._ask(_WAS_IDLE, *_columns(key)):
            self.save(key, 0, None)
        else:
            self._ask("INSERT OR REPLACE INTO idle VALUES (?, ?, ?)", *_columns(key))

    def profile(self, origin: str) -> Profile | None:
        """What was learned of the registry at `origin` lately; None where nothing was."""
        found = self._rows("hosts", "WHERE origin = ?", origin)
        return found[0][0] if found and found[0][1] >= self._now() - LIFE_SECONDS else None

    def learn(self, origin: str, profile: Profile) -> None:
        """Keeps what was learned."""
        self._ask("INSERT OR REPLACE INTO hosts VALUES (?, ?, ?)", origin, write_profile(profile), self._now())

    def verified(self, file: FileIdentity) -> Digest | None:
        """What the file was hashed to; None where it was not, or has changed since."""
        if file in self._hashed:
            return self._hashed[file]
        where = "WHERE device = ? AND inode = ? AND size = ? AND modified = ? AND changed = ?"
        found: list[Digest] = self._rows("files", where, *_signed(file))
        return found[0] if found else None

    def verify(self, file: FileIdentity, digest: Digest) -> None:
        """Keeps what the file was hashed to, in place of what it was before."""
        self._hashed[file] = digest
        if len(self._hashed) >= _HASHED_AT_ONCE or file.size >= _WORTH_A_WRITE:
            self._write_hashed()

    def _write_hashed(self) -> None:
        hashed, self._hashed = self._hashed, {}
        insert = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)"
        self._write([(insert, (*_signed(file), str(digest), self._now())) for file, digest in hashed.items()])

    def _write(self, statements: Sequence[tuple[str, tuple[object, ...]]]) -> None:
        """Run all of `statements` in one transaction."""
        if not statements:
            return
        self._ask("BEGIN")
        for statement, values in statements:
            self._ask(statement, *values)
        if self._database is not None and self._database.in_transaction:
            self._ask("COMMIT")
        if (
            self._database is not None and self._database.in_transaction
        ):  # the disk is full: what comes next must not wait
            self._ask("ROLLBACK")

    # ── the rest ──────────────────────────────────────────────────────────────────────────────────

    def entries(self) -> list[Entry]:
        """Every upload under way, the latest first; those that are too old are forgotten."""
        self._ask("DELETE FROM uploads WHERE saved < ?", self._now() - LIFE_SECONDS)
        return self._rows("uploads", "ORDER BY saved DESC")

    def begin(self, record: Record) -> None:
        """Note that a push, a copy or a pull begins."""
        self._ask("INSERT OR REPLACE INTO pushes VALUES (?, ?)", record.text, self._now())

    def end(self, record: Record) -> None:
        """Forget it: it is done, or there is nothing to go on with."""
        self._ask("DELETE FROM pushes WHERE job = ?", record.text)

    def records(self) -> list[tuple[Record, float]]:
        """What was begun and not ended, the earliest first, with the unix seconds of its beginning."""
        self._ask("DELETE FROM pushes WHERE saved < ?", self._now() - LIFE_SECONDS)
        return self._rows("pushes", "ORDER BY saved")

    def is_held(self, key: UploadKey) -> bool:
        """Whether somebody else has the upload in his hands now, in this process or in another."""
        return is_held(slot_of(key.origin, key.digest), self._locks)

    def held(
        self, key: UploadKey, waiting: Callable[[], None], stop: asyncio.Event | None = None
    ) -> AbstractAsyncContextManager[None]:
        """Holds the upload against all others, in this process and in others; see `locks.held`."""
        return held(slot_of(key.origin, key.digest), self._locks, waiting, stop)

    def note_placed(self, key: UploadKey) -> None:
        """Tell other processes that the blob is in this repository now; one that holds it next can mount it."""
        if self._locks is not None:
            self._locks.note(slot_of(key.origin, key.digest), key.repository, self._now())

    def now(self) -> float:
        """The journal's clock: unix time in seconds."""
        return self._now()

    def placed_in(self, key: UploadKey, since: float) -> str | None:
        """Another repository at the registry into which a process has put the blob after `since`; None if none has."""
        slot = slot_of(key.origin, key.digest)
        repository = self._locks.noted(slot, since) if self._locks is not None else None
        if repository is None or repository == key.repository or not is_name(key.origin, repository):
            return None
        return repository

    # ── the database ──────────────────────────────────────────────────────────────────────────────

    def _open(self) -> None:
        try:
            self._connect()
        except Newer as error:
            self._warned = True
            self.unusable = error
            hint = "use the newer version here too; or give this one another folder: --state-dir DIR"
            self._sink(Warned(f"{self._file} was written by a newer version; nothing is noted to be resumed", hint))
        except (sqlite3.DatabaseError, Misshapen) as error:
            if not _is_damage(error):
                raise
            self._move_aside()
            self._connect()

    def _move_aside(self) -> None:
        """Moves the damaged database out of the way, unless another process has done so."""
        self._began_anew = True
        found = check_private(self._file)
        if found is None or (self._opened_as or _identity(found)) != _identity(found):
            return
        aside = self._file.with_name(f"{self._file.name}.damaged-{int(self._now())}")
        self._file.rename(aside)
        for extra in _BESIDE:
            with suppress(FileNotFoundError):
                self._file.with_name(self._file.name + extra).rename(aside.with_name(aside.name + extra))
        self.moved_aside = aside
        self._sink(Warned(f"the journal was damaged and is moved to {aside}", "uploads under way begin anew"))

    def _connect(self) -> None:
        made = make_private(self._file)
        self._opened_as = _identity(made)
        for extra in _BESIDE:
            check_private(self._file.with_name(self._file.name + extra))
        database = sqlite3.connect(self._file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            check_same(self._file, made)
            database.text_factory = _text
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_ROW)
            # What SQLite advises for a file that may not be trusted ("Defense Against The Dark Arts").
            database.execute("PRAGMA trusted_schema = OFF")
            database.execute("PRAGMA cell_size_check = ON")
            prepare(database)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last records: bandwidth only
            times = self._now() - FILES_SECONDS, self._now() + FILES_SECONDS
            database.execute("DELETE FROM files WHERE saved NOT BETWEEN ? AND ?", times)
            self._database = database
            self._drop_unreadable()
        except BaseException:
            database.close()
            self._database = None
            raise

    def _drop_unreadable(self) -> None:
        """Looks at all that `resume` and the next push would read; of the hashes there may be thousands."""
        for table in ("uploads", "hosts", "pushes"):
            self._parsed(table, "")
        self._tell_dropped()

    def _entry(self, key: UploadKey) -> Entry | None:
        found: list[Entry] = self._rows("uploads", _OF_KEY, *_columns(key))
        return found[0] if found and found[0].saved >= self._now() - LIFE_SECONDS else None

    def _rows(self, table: str, where: str, *values: object) -> list[Any]:
        """What is in the rows; those that can't be read are removed, and counted in one warning."""
        found = self._parsed(table, where, *values)
        self._tell_dropped()
        return found

    def _parsed(self, table: str, where: str, *values: object) -> list[Any]:
        columns, read = _READ[table]
        found = []
        for rowid, *row in self._ask(f"SELECT rowid, {columns} FROM {table} {where}", *values):  # noqa: S608  # ours
            parsed = read(row, self._now())
            if parsed is None:
                self._dropped += 1
                self._ask(f"DELETE FROM {table} WHERE rowid = ?", rowid)  # noqa: S608  # ours
            else:
                found.append(parsed)
        return found

    def _tell_dropped(self) -> None:
        if self._dropped and not self._told_dropped:
            self._told_dropped = True
            what = "1 entry" if self._dropped == 1 else f"{self._dropped} entries"
            hint = "what they were about begins anew"
            self._sink(Warned(f"{what} of the journal {self._file} could not be read; removed", hint))

    def _ask(self, statement: str, *values: object) -> list[Any]:
        if self._database is None:
            return []
        try:
            return self._database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            if not _is_damage(error) or self._began_anew:
                self._warn(error)
                return []
        self._begin_anew()
        return self._ask(statement, *values)

    def _begin_anew(self) -> None:
        assert self._database is not None, "only what is open turns out to be damaged"
        self._database.close()
        self._database = None
        try:
            self._move_aside()
            self._connect()
        except (OSError, sqlite3.Error, Misshapen, Newer) as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            if self._database is not None:  # each further write would wait as long, and the event loop with it
                with suppress(sqlite3.Error):
                    self._database.execute("PRAGMA busy_timeout = 0")
            hint = "give another folder: --state-dir DIR; or none: --no-resume"
            self._sink(Warned(f"uploads can't be noted in {self._file} to be resumed: {error}", hint))


def _is_damage(error: Exception) -> bool:
    """Whether it is the database that is at fault: not a lock, a full disk or a missing right."""
    if isinstance(error, Misshapen):
        return True
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF  # the rest is which kind of it
    # Two that have no code of their own: a table that was there is gone; the header names a format of the future.
    return code in _DAMAGE or str(error).startswith(("no such ", "unsupported file format"))


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _text(content: bytes) -> str:
    """Text that is no UTF-8 is for the row's parser to refuse."""
    return content.decode(errors="surrogateescape")


def _signed(file: FileIdentity) -> tuple[int, ...]:
    """Inodes and devices can have 64 bits without a sign; SQLite's numbers have one."""
    return tuple(number - (1 << 64) if number >= 1 << 63 else number for number in astuple(file))


def _columns(key: UploadKey) -> tuple[str, str, str]:
    return key.origin, key.repository, str(key.digest)
