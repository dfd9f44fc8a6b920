"""The tables of the journal, and their version (`PRAGMA user_version`)."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

VERSION: Final = 2

_TABLES: Final[Mapping[str, str]] = {
    "uploads": """
        CREATE TABLE uploads (
            origin TEXT NOT NULL, repository TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL,
            record TEXT NOT NULL, saved REAL NOT NULL,
            PRIMARY KEY (origin, repository, digest)
        ) STRICT
    """,
    "hosts": "CREATE TABLE hosts (origin TEXT PRIMARY KEY, profile TEXT NOT NULL, saved REAL NOT NULL) STRICT",
    "files": """
        CREATE TABLE files (
            device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL, modified INTEGER NOT NULL,
            changed INTEGER NOT NULL, digest TEXT NOT NULL, saved REAL NOT NULL,
            PRIMARY KEY (device, inode)
        ) STRICT
    """,
    "pushes": "CREATE TABLE pushes (job TEXT PRIMARY KEY, saved REAL NOT NULL) STRICT",
    # Uploads with which a run got nowhere.
    "idle": """
        CREATE TABLE idle (
            origin TEXT NOT NULL, repository TEXT NOT NULL, digest TEXT NOT NULL,
            PRIMARY KEY (origin, repository, digest)
        ) STRICT
    """,
    # Where blobs were last seen.
    "places": """
        CREATE TABLE places (
            origin TEXT NOT NULL, digest TEXT NOT NULL, repository TEXT NOT NULL, saved REAL NOT NULL,
            PRIMARY KEY (origin, digest, repository)
        ) STRICT
    """,
}
# The tables that each version has added. Version 0 did not say so.
_ADDED: Final[Mapping[int, tuple[str, ...]]] = {1: ("idle",), 2: ("places",)}


class Newer(Exception):
    """A later version of this program has written the journal."""


class Misshapen(Exception):
    """The tables are not those of a journal: another program made them, or an attacker."""


def prepare(database: sqlite3.Connection) -> None:
    """Create the tables, or upgrade them to this version. Raises `Newer`, without a change, and `Misshapen`.

    A database with an unknown trigger, view or column is not used: its SQL would run with each write.
    """
    if _version(database) > VERSION:
        raise Newer
    try:
        if _version(database) == VERSION and _shape(database) == _expected(_TABLES):
            return
    except UnicodeDecodeError as error:  # SQLite's message about a damaged schema quotes it
        raise Misshapen("its schema is no text") from error
    database.execute("BEGIN IMMEDIATE")
    try:
        _bring_up(database)
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _bring_up(database: sqlite3.Connection) -> None:
    version, shape = _version(database), _shape(database)  # another process may have been quicker
    if version > VERSION:
        raise Newer
    if shape == _expected(_TABLES) and version == VERSION:
        return
    missing = {name for later, names in _ADDED.items() if later > version for name in names}
    if version == 0 and not shape:
        for statement in _TABLES.values():
            database.execute(statement)
    elif shape == _expected({name: sql for name, sql in _TABLES.items() if name not in missing}):
        for name in missing:
            database.execute(_TABLES[name])
    else:
        raise Misshapen("its tables are not those of a journal")
    database.execute(f"PRAGMA user_version = {VERSION}")


def _version(database: sqlite3.Connection) -> int:
    found: int = database.execute("PRAGMA user_version").fetchone()[0]
    return found & 0xFFFFFFFF  # SQLite's has a sign; no version of ours is that high


def _shape(database: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """Return everything that the schema defines; indexes that SQLite makes by itself have no SQL.

    As bytes, since a damaged file may hold anything.
    """
    columns = ", ".join(f"CAST({column} AS BLOB)" for column in ("type", "name", "coalesce(sql, '')"))
    rows = database.execute(f"SELECT {columns} FROM sqlite_schema WHERE sql IS NOT NULL OR type <> 'index'")  # noqa: S608  # our own names
    texts = (tuple(value.decode("utf-8", "replace") for value in row) for row in rows)
    return {(kind, name): _plain(sql) for kind, name, sql in texts}


def _expected(tables: Mapping[str, str]) -> dict[tuple[str, str], str]:
    return {("table", name): _plain(sql) for name, sql in tables.items()}


def _plain(sql: str) -> str:
    return " ".join(sql.split())
