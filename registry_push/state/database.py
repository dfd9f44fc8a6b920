"""`Database`: the journal's SQLite file, which may be damaged, locked, on a full disk or somebody else's.

What can't be read is removed or moved aside with a warning; what can't be written is done without.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ..events import Sink, Warned
from .private_files import check_private, check_same, make_private
from .rows import read_file, read_host, read_place, read_push, read_upload
from .schema import Misshapen, Newer, prepare

# What of a table is parsed, and by what.
_READ: Final[dict[str, tuple[str, Callable[[Sequence[Any], float], object]]]] = {
    "uploads": ("origin, repository, digest, size, record, saved", read_upload),
    "hosts": ("origin, profile, saved", read_host),
    "files": ("digest, saved", read_file),
    "pushes": ("job, saved", read_push),
    "places": ("origin, digest, repository, saved", read_place),
}
# Files keep their hashes for half a year without use; those of deleted files have to go at some time.
FILES_SECONDS: Final = 180 * 24 * 3600.0
# How long a write may wait for another process that writes; a write takes a millisecond.
_BUSY_SECONDS: Final = 2.0
# Bytes of the longest row: a record of `_MOST_PARTS` numbers has fewer.
_LONGEST_ROW: Final = 1024 * 1024
_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_TOOBIG)
# The suffixes of the files that SQLite keeps beside the database.
_BESIDE: Final = ("-wal", "-shm", "-journal")


class Database:
    """The tables in `file`. Once it is open, failures of the disk are not raised, but warned of once."""

    def __init__(self, file: Path, sink: Sink, now: Callable[[], float]) -> None:
        self._file = file
        self._sink = sink
        self._now = now
        self._warned = False
        self.unusable: Exception | None = None  # why nothing can be read
        self.moved_aside: Path | None = None  # where the damaged database is now
        self._dropped = 0  # rows that could not be read
        self._told_dropped = False
        self._began_anew = False
        self._connection: sqlite3.Connection | None = None
        self._opened_as: tuple[int, int] | None = None

    def close(self) -> None:
        """Close the file; what is written after this is lost."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def open(self) -> None:
        """Connect, or start again if the file is damaged. Raises `OSError` and `sqlite3.Error` for other failures."""
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
        """Move the damaged database out of the way, unless another process has done so."""
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
            self._connection = database
            self._drop_unreadable()
        except BaseException:
            database.close()
            self._connection = None
            raise

    def _drop_unreadable(self) -> None:
        """Parse all that `resume` and the next push would read, but not the hashes, of which there may be thousands."""
        for table in ("uploads", "hosts", "pushes"):
            self._parsed(table, "")
        self._tell_dropped()

    def rows(self, table: str, where: str, *values: object) -> list[Any]:
        """Return what is in the rows of `table`; remove those that can't be read, and count them in one warning."""
        found = self._parsed(table, where, *values)
        self._tell_dropped()
        return found

    def _parsed(self, table: str, where: str, *values: object) -> list[Any]:
        columns, read = _READ[table]
        found = []
        for rowid, *row in self.ask(f"SELECT rowid, {columns} FROM {table} {where}", *values):  # noqa: S608  # ours
            parsed = read(row, self._now())
            if parsed is None:
                self._dropped += 1
                self.ask(f"DELETE FROM {table} WHERE rowid = ?", rowid)  # noqa: S608  # ours
            else:
                found.append(parsed)
        return found

    def _tell_dropped(self) -> None:
        if self._dropped and not self._told_dropped:
            self._told_dropped = True
            what = "1 entry" if self._dropped == 1 else f"{self._dropped} entries"
            hint = "what they were about begins anew"
            self._sink(Warned(f"{what} of the journal {self._file} could not be read; removed", hint))

    def ask(self, statement: str, *values: object) -> list[Any]:
        """Run one statement and return its rows; none if the disk or the database fails."""
        if self._connection is None:
            return []
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            if not _is_damage(error) or self._began_anew:
                self.warn(error)
                return []
        self._begin_anew()
        return self.ask(statement, *values)

    def _begin_anew(self) -> None:
        assert self._connection is not None, "only what is open turns out to be damaged"
        self._connection.close()
        self._connection = None
        try:
            self._move_aside()
            self._connect()
        except (OSError, sqlite3.Error, Misshapen, Newer) as error:
            self.warn(error)

    def warn(self, error: Exception) -> None:
        """Warn that nothing can be noted, once."""
        if not self._warned:
            self._warned = True
            if self._connection is not None:  # each further write would wait as long, and the event loop with it
                with suppress(sqlite3.Error):
                    self._connection.execute("PRAGMA busy_timeout = 0")
            hint = "give another folder: --state-dir DIR; or none: --no-resume"
            self._sink(Warned(f"uploads can't be noted in {self._file} to be resumed: {error}", hint))

    def write(self, statements: Sequence[tuple[str, tuple[object, ...]]]) -> None:
        """Run all of `statements` in one transaction."""
        if not statements:
            return
        self.ask("BEGIN")
        for statement, values in statements:
            self.ask(statement, *values)
        if self._connection is not None and self._connection.in_transaction:
            self.ask("COMMIT")
        if (
            self._connection is not None and self._connection.in_transaction
        ):  # the disk is full: what comes next must not wait
            self.ask("ROLLBACK")


def _is_damage(error: Exception) -> bool:
    """Return whether the database itself is at fault, and not a lock, a full disk or a missing permission."""
    if isinstance(error, Misshapen):
        return True
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF  # the rest is which kind of it
    # Two cases have no code of their own: a table is gone; the header names a format of the future.
    return code in _DAMAGE or str(error).startswith(("no such ", "unsupported file format"))


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _text(content: bytes) -> str:
    """Decode text without failing; the row's parser refuses what is not UTF-8."""
    return content.decode(errors="surrogateescape")
