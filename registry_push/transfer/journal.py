"""`Journal`: which uploads are under way at which registry, so that another process can go on with them.

SQLite in the state folder, for its owner alone: a session's URL is a capability. Losing it costs bandwidth only: what
can't be read is moved aside with a warning, what can't be written is done without.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import astuple

from ..errors import InvalidDigest, InvalidName
from ..events import Sink, Warned
from ..model import Digest, HTTPOrigin
from ..protocol.chunks import SMALLEST_CHUNK
from ..protocol.kept import Kept
from ..protocol.upload_request import UploadRecord
from ..registry.keeper import UploadKey
from ..registry.profile import Profile
from ..stores.base import FileIdentity
from .orders import Order

_SCHEMA: Final = (
    """
    CREATE TABLE IF NOT EXISTS uploads (
        origin TEXT NOT NULL, repository TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL,
        record TEXT NOT NULL, saved REAL NOT NULL,
        PRIMARY KEY (origin, repository, digest)
    ) STRICT
    """,
    "CREATE TABLE IF NOT EXISTS hosts (origin TEXT PRIMARY KEY, profile TEXT NOT NULL, saved REAL NOT NULL) STRICT",
    """
    CREATE TABLE IF NOT EXISTS files (
        device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL, modified INTEGER NOT NULL,
        changed INTEGER NOT NULL, digest TEXT NOT NULL, saved REAL NOT NULL,
        PRIMARY KEY (device, inode)
    ) STRICT
    """,
    "CREATE TABLE IF NOT EXISTS pushes (job TEXT PRIMARY KEY, saved REAL NOT NULL) STRICT",
)
_FIND: Final = "SELECT record, saved FROM uploads WHERE origin = ? AND repository = ? AND digest = ?"
_FORGET: Final = "DELETE FROM uploads WHERE origin = ? AND repository = ? AND digest = ?"
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
# How often a process that waits for another's upload looks again, in seconds.
_LOOK_AGAIN: Final = 0.25


class Entry(Struct, frozen=True):
    """An upload under way, as `registry-push resume` lists it; `saved` in unix seconds."""

    key: UploadKey
    size: int
    record: UploadRecord
    saved: float


class Journal:
    """The uploads under way. Implements `Keeper`. Never raises for what the disk does: it warns once and goes on."""

    def __init__(self, folder: Path, sink: Sink, *, now: Callable[[], float] = time.time) -> None:
        self._file = folder / "journal.sqlite3"
        self._locks = folder / "journal.locks"
        self._sink = sink
        self._now = now
        self._warned = False
        self._hashed: dict[FileIdentity, Digest] = {}  # that are not written yet
        self._database: sqlite3.Connection | None = None
        self._lock_file: int | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock_file = os.open(self._locks, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._database = self._opened()
        except (OSError, sqlite3.Error) as error:
            self._warn(error)

    def close(self) -> None:
        """Writes what is not written, and gives back the files, and with them the locks."""
        self._write_hashed()
        if self._database is not None:
            self._database.close()
        if self._lock_file is not None:
            os.close(self._lock_file)
        self._database = self._lock_file = None

    # ── Keeper ────────────────────────────────────────────────────────────────────────────────────

    def load(self, key: UploadKey) -> UploadRecord | None:
        """What is known of the upload; None where nothing is, or it is too old."""
        rows = self._ask(_FIND, *_columns(key))
        if not rows or rows[0][1] < self._now() - LIFE_SECONDS:
            return None
        return _decoded(rows[0][0])

    def save(self, key: UploadKey, size: int, record: UploadRecord | None) -> None:
        """Keeps the record in place of what was there; None forgets the upload."""
        if record is None:
            self._ask(_FORGET, *_columns(key))
        else:
            values = (*_columns(key), size, _encoded(record), self._now())
            self._ask("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?, ?)", *values)

    def profile(self, origin: str) -> Profile | None:
        """What was learned of the registry at `origin` lately; None where nothing was."""
        rows = self._ask("SELECT profile, saved FROM hosts WHERE origin = ?", origin)
        if not rows or rows[0][1] < self._now() - LIFE_SECONDS:
            return None
        return _profile(rows[0][0])

    def learn(self, origin: str, profile: Profile) -> None:
        """Keeps what was learned. Whether it is Ollama's is not kept: another may listen at the port tomorrow."""
        text = json.dumps([profile.chunk_limit, profile.kept, profile.rate, profile.mounts_itself])
        self._ask("INSERT OR REPLACE INTO hosts VALUES (?, ?, ?)", origin, text, self._now())

    def verified(self, file: FileIdentity) -> Digest | None:
        """What the file was hashed to; None where it was not, or has changed since."""
        if file in self._hashed:
            return self._hashed[file]
        statement = (
            "SELECT digest FROM files WHERE device = ? AND inode = ? AND size = ? AND modified = ? AND changed = ?"
        )
        rows = self._ask(statement, *_signed(file))
        try:
            return Digest.parse(rows[0][0]) if rows else None
        except InvalidDigest:  # a damaged disk
            return None

    def verify(self, file: FileIdentity, digest: Digest) -> None:
        """Keeps what the file was hashed to, in place of what it was before."""
        self._hashed[file] = digest
        if len(self._hashed) >= _HASHED_AT_ONCE or file.size >= _WORTH_A_WRITE:
            self._write_hashed()

    def _write_hashed(self) -> None:
        hashed, self._hashed = self._hashed, {}
        if not hashed:
            return
        self._ask("BEGIN")
        for file, digest in hashed.items():
            values = (*_signed(file), str(digest), self._now())
            self._ask("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", *values)
        self._ask("COMMIT")
        if (
            self._database is not None and self._database.in_transaction
        ):  # the disk is full: what comes next must not wait
            self._ask("ROLLBACK")

    # ── the rest ──────────────────────────────────────────────────────────────────────────────────

    def entries(self) -> list[Entry]:
        """Every upload under way, the latest first; those that are too old are forgotten."""
        self._ask("DELETE FROM uploads WHERE saved < ?", self._now() - LIFE_SECONDS)
        rows = self._ask("SELECT origin, repository, digest, size, record, saved FROM uploads ORDER BY saved DESC")
        entries = []
        for origin, repository, digest, size, text, saved in rows:
            record = _decoded(text)
            if record is not None:
                entries.append(Entry(UploadKey(origin, repository, Digest.parse(digest)), size, record, saved))
        return entries

    def begin(self, orders: Iterable[Order]) -> None:
        """Notes pushes that begin."""
        for order in orders:
            self._ask("INSERT OR REPLACE INTO pushes VALUES (?, ?)", order.text, self._now())

    def end(self, order: Order) -> None:
        """Forgets a push: it is done, or there is nothing to go on with."""
        self._ask("DELETE FROM pushes WHERE job = ?", order.text)

    def orders(self) -> list[tuple[Order, float]]:
        """Every push that was begun and not ended, the earliest first, with the unix seconds of its beginning."""
        self._ask("DELETE FROM pushes WHERE saved < ?", self._now() - LIFE_SECONDS)
        rows = self._ask("SELECT job, saved FROM pushes ORDER BY saved")
        return [(order, saved) for text, saved in rows if (order := Order.read(text)) is not None]

    def is_held(self, key: UploadKey) -> bool:
        """Whether another process has the upload in its hands now."""
        slot = _slot(key)
        if not self._locked(slot):
            return True
        self._unlock(slot)
        return False

    @asynccontextmanager
    async def held(self, key: UploadKey, waiting: Callable[[], None]) -> AsyncIterator[None]:
        """Holds the upload against other processes; one that died lets go by dying. `waiting` is called once if another
        has it. Without locks (no state folder, Windows) nothing is held."""
        slot = _slot(key)
        while not self._locked(slot):
            waiting()
            waiting = _nothing
            await asyncio.sleep(_LOOK_AGAIN)
        try:
            yield
        finally:
            self._unlock(slot)

    def _locked(self, slot: int) -> bool:
        if self._lock_file is None or os.name != "posix":
            return True
        import fcntl

        try:
            # A record lock: one byte of one file for each upload, whatever their number; the kernel drops it with the
            # process. It binds processes only; within one, `Copier` has its own locks.
            fcntl.lockf(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
        except (BlockingIOError, PermissionError):
            return False
        except OSError as error:  # a file system without locks
            self._warn(error)
        return True

    def _unlock(self, slot: int) -> None:
        if self._lock_file is not None and os.name == "posix":
            import fcntl

            fcntl.lockf(self._lock_file, fcntl.LOCK_UN, 1, slot)

    def _opened(self) -> sqlite3.Connection:
        try:
            return self._connected()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, read-only, full: not the file's fault
                raise
            aside = self._file.with_name(f"{self._file.name}.damaged-{int(self._now())}")
            self._file.rename(aside)
            self._sink(Warned(f"the journal was damaged and is moved to {aside}", "uploads under way begin anew"))
            return self._connected()

    def _connected(self) -> sqlite3.Connection:
        os.close(os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(self._file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last records: bandwidth only
            for statement in _SCHEMA:
                database.execute(statement)
            database.execute("DELETE FROM files WHERE saved < ?", (self._now() - FILES_SECONDS,))
        except BaseException:
            database.close()
            raise
        return database

    def _ask(self, statement: str, *values: object) -> list[Any]:
        if self._database is None:
            return []
        try:
            return self._database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            self._warn(error)
            return []

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            if self._database is not None:  # each further write would wait as long, and the event loop with it
                self._database.execute("PRAGMA busy_timeout = 0")
            hint = "give another folder: --state-dir DIR; or none: --no-resume"
            self._sink(Warned(f"uploads can't be noted in {self._file} to be resumed: {error}", hint))


def _nothing() -> None:
    return None


def _signed(file: FileIdentity) -> tuple[int, ...]:
    """Inodes and devices can have 64 bits without a sign; SQLite's numbers have one."""
    return tuple(number - (1 << 64) if number >= 1 << 63 else number for number in astuple(file))


def _columns(key: UploadKey) -> tuple[str, str, str]:
    return key.origin, key.repository, str(key.digest)


def _slot(key: UploadKey) -> int:
    """The byte that stands for this digest at this registry, in whatever repository: the second one can mount it."""
    return int.from_bytes(blake2b(f"{key.origin} {key.digest}".encode(), digest_size=7).digest()) >> 1


def _encoded(record: UploadRecord) -> str:
    return json.dumps([record.location, record.offset, record.part, list(record.done), record.first, record.direct])


def _decoded(text: object) -> UploadRecord | None:
    """The record; None for what is none, as an older version or a damaged disk may leave it."""
    try:
        location, offset, part, done, first, direct = json.loads(str(text))
        HTTPOrigin.of(location)
        numbers = tuple(int(number) for number in done)
        return UploadRecord(location, int(offset), int(part), numbers, int(first), bool(direct))
    except (ValueError, TypeError, AttributeError, InvalidName):
        return None


def _profile(text: object) -> Profile | None:
    try:
        limit, kept, rate, mounts_itself = json.loads(str(text))
        return Profile(
            None if limit is None else max(SMALLEST_CHUNK, int(limit)),
            kept=Kept(kept),
            rate=None if rate is None else float(rate),
            mounts_itself=None if mounts_itself is None else bool(mounts_itself),
        )
    except (ValueError, TypeError):
        return None
