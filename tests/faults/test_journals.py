"""The journal zeroed, torn, locked, read-only, full or lost after an interrupted push: a warning, and a success.

Nothing here is mocked: the file's bytes, another process's EXCLUSIVE transaction, a folder in which not even root can
make anything, the kernel's limit on what may be written. File modes don't bind root; the database that can't be
written is one whose header says so (SQLite's file format, 1.3.3: a write version above 2 is read-only).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from registry_push.embedded import EmbeddedRegistry
from registry_push.events import Warned
from registry_push.state import database as module

from .clock import run
from .stage import Scene, Source, User, staged

_LOCKS = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA locking_mode = EXCLUSIVE")
database.execute("BEGIN EXCLUSIVE")
database.execute("CREATE TABLE mine (a)")
print("locked", flush=True)
sys.stdin.read()
"""


def zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def tear(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:100] + os.urandom(len(content) - 100))


def halve(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def forbid_writing(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(18)
        opened.write(b"\x09")


async def push_again_after(folder: Path, change: Callable[[Path], None], *, state: Path | None = None) -> User:
    """A push is stopped, `change` is done to the journal, and another is made, with its notes in `state` if given."""
    async with staged(Scene(), folder) as user:
        assert await user.push(stop_at=3) == 130
        file = folder / "state" / "journal.sqlite3"
        for extra in file.parent.glob("journal.sqlite3-*"):
            extra.unlink()
        change(file)
        if state is not None:
            user.settings = replace(user.settings, state_dir=state)
        assert await user.push_unjudged() == 0, user.error
        return user


def warnings(user: User) -> list[str]:
    return [event.message for event in user.events if isinstance(event, Warned)]


@pytest.mark.parametrize("change", [zero, tear, halve], ids=["zeroed", "torn", "half"])
def test_a_damaged_journal_is_a_warning_and_the_push_succeeds(tmp_path: Path, change: Callable[[Path], None]) -> None:
    user = run(push_again_after(tmp_path, change))
    assert len(warnings(user)) == 1 and "damaged" in warnings(user)[0]


def test_a_read_only_journal_is_a_warning_and_the_push_succeeds(tmp_path: Path) -> None:
    user = run(push_again_after(tmp_path, forbid_writing))
    assert len(warnings(user)) == 1 and "readonly" in warnings(user)[0]


def test_a_folder_where_nobody_can_write_is_a_warning_and_the_push_succeeds(tmp_path: Path) -> None:
    user = run(push_again_after(tmp_path, lambda _: None, state=Path("/proc/registry-push")))
    assert len(warnings(user)) == 1 and "can't be noted" in warnings(user)[0]


def test_a_lost_journal_is_a_new_one_and_the_push_succeeds(tmp_path: Path) -> None:
    """Nobody can tell it from the first push on this machine: there is nothing to warn of."""
    user = run(push_again_after(tmp_path, Path.unlink))
    assert warnings(user) == []


def test_a_locked_journal_is_a_warning_and_the_push_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUSY_SECONDS", 0.01)  # the wait is SQLite's own, on the real clock
    holders: list[subprocess.Popen[str]] = []

    def lock(file: Path) -> None:
        holder = subprocess.Popen(
            [sys.executable, "-c", _LOCKS, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        holders.append(holder)
        assert holder.stdout is not None and holder.stdout.readline() == "locked\n"

    try:
        user = run(push_again_after(tmp_path, lock))
    finally:
        for holder in holders:
            holder.communicate()
    assert len(warnings(user)) == 1 and "locked" in warnings(user)[0]


async def test_a_full_state_disk_is_a_warning_and_the_push_succeeds(tmp_path: Path) -> None:
    """By command, since the kernel's limit on files (0 blocks: not a byte may be added) is a process's."""
    source = Source.write(tmp_path / ".ollama/models", (400_000,))
    async with EmbeddedRegistry(tmp_path / "registry") as registry:
        arguments = ["push", "me/scene", "--to", f"{registry.host}/", "--chunk-size", "65536"]
        process = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            'ulimit -f 0; exec "$0" -m registry_push "$@"',
            sys.executable,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        _, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert "can't be noted" in err.decode() or "damaged" in err.decode()
    assert source.is_whole
