"""`Journal`: which uploads are under way at which registry, so that another process can continue with them.

SQLite in the state folder, for its owner alone: a session's URL is a capability. Losing it costs bandwidth only: what
can't be read is removed or moved aside with a warning, what can't be written is done without.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import astuple

from ..content.base import FileIdentity
from ..events import Sink, Warned
from ..model import Digest, UploadKey
from ..registry.profile import Profile
from .database import Database
from .known_places import KnownPlaces
from .locks import Held, LockFile, is_held, slot_of
from .private_files import exposed, private_folder
from .records import Record
from .rows import Entry as Entry
from .rows import is_name, write_profile, write_record

if TYPE_CHECKING:
    from ..protocol.upload.requests import UploadRecord

_OF_KEY: Final = "WHERE origin = ? AND repository = ? AND digest = ?"
_FORGET: Final = "DELETE FROM uploads WHERE origin = ? AND repository = ? AND digest = ?"
_MOVED: Final = "DELETE FROM idle WHERE origin = ? AND repository = ? AND digest = ?"
_WAS_IDLE: Final = "SELECT 1 FROM idle WHERE origin = ? AND repository = ? AND digest = ?"
# distribution forgets uploads after a week (storage.maintenance.uploadpurging), R2 after two hours; an older record is
# of no use to anyone.
LIFE_SECONDS: Final = 7 * 24 * 3600.0
# Hashes that are written in one transaction. One by one they cost 5 % of a push of 400 blobs; if a push is killed, at
# most this many files are hashed again.
_HASHED_AT_ONCE: Final = 64
_WORTH_A_WRITE: Final = 64 * 1024 * 1024
# Its file in the state folder.
JOURNAL: Final = "journal.sqlite3"


class Journal:
    """The uploads under way. Implements `Keeper`. Never raises for what the disk does: it warns once and continues."""

    def __init__(self, folder: Path, sink: Sink, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._hashed: dict[FileIdentity, Digest] = {}  # that are not written yet
        self._database = Database(folder / JOURNAL, sink, now)
        self._locks: LockFile | None = None
        self.places = KnownPlaces(self._database.write, self._database.rows, now)
        try:
            private_folder(folder)
            self._locks = LockFile(folder / "journal.locks", self._database.warn)
            if (path := exposed(folder)) is not None:
                sink(Warned(f"others can replace the files in {path}, also the journal", f"run: chmod go-w {path}"))
            self._database.open()
        except (OSError, sqlite3.Error) as error:
            self._database.unusable = error
            self._database.warn(error)

    @property
    def unusable(self) -> Exception | None:
        """Why nothing can be read; None if it can."""
        return self._database.unusable

    @property
    def moved_aside(self) -> Path | None:
        """Where the damaged database is now; None if none was moved."""
        return self._database.moved_aside

    def close(self) -> None:
        """Write what is not written yet, and close the files, which releases the locks."""
        self._write_hashed()
        self._database.close()
        if self._locks is not None:
            self._locks.close()
        self._locks = None

    # ── Keeper ────────────────────────────────────────────────────────────────────────────────────

    def load(self, key: UploadKey) -> UploadRecord | None:
        """Return what is known of the upload; None if nothing is, or it is too old."""
        entry = self._entry(key)
        return entry.record if entry is not None else None

    def save(self, key: UploadKey, size: int, record: UploadRecord | None) -> None:
        """Keep the record instead of what was there; None forgets the upload.

        A record that did not move keeps its date: a registry forgets it by the last byte that came.
        """
        if record is None:
            self._database.ask(_FORGET, *_columns(key))
            self._database.ask(_MOVED, *_columns(key))
            return
        before, saved = self._entry(key), self._now()
        if before is not None and before.record.acknowledged(before.size) == record.acknowledged(size):
            saved = before.saved
            if before.record == record:
                return
        else:
            self._database.ask(_MOVED, *_columns(key))
        values = (*_columns(key), size, write_record(record), saved)
        self._database.ask("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?, ?)", *values)

    def got_nowhere(self, key: UploadKey) -> None:
        """Note that a run made no progress with the upload at a working registry; forget the upload the second time."""
        if self._database.ask(_WAS_IDLE, *_columns(key)):
            self.save(key, 0, None)
        else:
            self._database.ask("INSERT OR REPLACE INTO idle VALUES (?, ?, ?)", *_columns(key))

    def profile(self, origin: str) -> Profile | None:
        """Return what was learned of the registry at `origin` lately; None if nothing was."""
        found = self._database.rows("hosts", "WHERE origin = ?", origin)
        return found[0][0] if found and found[0][1] >= self._now() - LIFE_SECONDS else None

    def learn(self, origin: str, profile: Profile) -> None:
        """Keep what was learned."""
        self._database.ask("INSERT OR REPLACE INTO hosts VALUES (?, ?, ?)", origin, write_profile(profile), self._now())

    def verified(self, file: FileIdentity) -> Digest | None:
        """Return what the file was hashed to; None if it was not, or has changed since."""
        if file in self._hashed:
            return self._hashed[file]
        where = "WHERE device = ? AND inode = ? AND size = ? AND modified = ? AND changed = ?"
        found: list[Digest] = self._database.rows("files", where, *_signed(file))
        return found[0] if found else None

    def verify(self, file: FileIdentity, digest: Digest) -> None:
        """Keep what the file was hashed to, instead of what it was before."""
        self._hashed[file] = digest
        if len(self._hashed) >= _HASHED_AT_ONCE or file.size >= _WORTH_A_WRITE:
            self._write_hashed()

    def _write_hashed(self) -> None:
        hashed, self._hashed = self._hashed, {}
        insert = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)"
        self._database.write([(insert, (*_signed(file), str(digest), self._now())) for file, digest in hashed.items()])

    # ── the rest ──────────────────────────────────────────────────────────────────────────────────

    def entries(self) -> list[Entry]:
        """Return every upload under way, the latest first; those that are too old are forgotten."""
        self._database.ask("DELETE FROM uploads WHERE saved < ?", self._now() - LIFE_SECONDS)
        return self._database.rows("uploads", "ORDER BY saved DESC")

    def begin(self, record: Record) -> None:
        """Note that a push, a copy or a pull begins."""
        self._database.ask("INSERT OR REPLACE INTO pushes VALUES (?, ?)", record.text, self._now())

    def end(self, record: Record) -> None:
        """Forget the record: its work is done, or there is nothing left to continue."""
        self._database.ask("DELETE FROM pushes WHERE job = ?", record.text)

    def records(self) -> list[tuple[Record, float]]:
        """Return the work that has begun and not ended, the earliest first, with the unix time it began."""
        self._database.ask("DELETE FROM pushes WHERE saved < ?", self._now() - LIFE_SECONDS)
        return self._database.rows("pushes", "ORDER BY saved")

    def is_held(self, key: UploadKey) -> bool:
        """Return whether somebody else holds the upload now, in this process or in another."""
        return is_held(slot_of(key.origin, key.digest), self._locks)

    def held(
        self, key: UploadKey, waiting: Callable[[], None], stop: asyncio.Event | None = None
    ) -> AbstractAsyncContextManager[None]:
        """Hold the upload against all others, in this process and in others; see `locks.Held`."""
        return Held(slot_of(key.origin, key.digest), self._locks, waiting, stop)

    def note_placed(self, key: UploadKey) -> None:
        """Tell other processes that the blob is in this repository now; one that holds it next can mount it."""
        if self._locks is not None:
            self._locks.note(slot_of(key.origin, key.digest), key.repository, self._now())

    def now(self) -> float:
        """Return the journal's clock: unix time in seconds."""
        return self._now()

    def placed_in(self, key: UploadKey, since: float) -> str | None:
        """Return another repository into which a process has put the blob after `since`; None if none has."""
        slot = slot_of(key.origin, key.digest)
        repository = self._locks.noted(slot, since) if self._locks is not None else None
        if repository is None or repository == key.repository or not is_name(key.origin, repository):
            return None
        return repository

    # ── the database ──────────────────────────────────────────────────────────────────────────────

    def _entry(self, key: UploadKey) -> Entry | None:
        found: list[Entry] = self._database.rows("uploads", _OF_KEY, *_columns(key))
        return found[0] if found and found[0].saved >= self._now() - LIFE_SECONDS else None


def _signed(file: FileIdentity) -> tuple[int, ...]:
    """Return the numbers as SQLite can hold them: inodes and devices are unsigned, its 64-bit integers are signed."""
    return tuple(number - (1 << 64) if number >= 1 << 63 else number for number in astuple(file))


def _columns(key: UploadKey) -> tuple[str, str, str]:
    return key.origin, key.repository, str(key.digest)
