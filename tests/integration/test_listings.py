"""`resume --list` tells what is under way, or why that is not known; no listing makes anything."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from registry_push.embedded.sample import write_sample_store
from registry_push.events import ignore
from registry_push.model import Digest, UploadKey
from registry_push.protocol.upload.requests import UploadRecord
from registry_push.state.journal import JOURNAL, Journal
from registry_push.state.push_record import PushRecord
from tests.support.command import command


def _begun(folder: Path) -> None:
    journal = Journal(folder, ignore)
    journal.begin(PushRecord("/models", "me/big:latest", ("localhost:5000/me/big:latest",), ()))
    journal.close()


def _newer(file: Path) -> None:
    _begun(file.parent)
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


UNREADABLE: dict[str, tuple[int, Callable[[Path], object]]] = {
    "is a folder": (4, lambda file: file.mkdir()),
    "is a link": (4, lambda file: file.symlink_to("elsewhere")),
    "is no database": (7, lambda file: file.write_bytes(b"no database" * 100)),
    "is of a newer version": (2, _newer),
}


@pytest.mark.parametrize(("code", "spoil"), UNREADABLE.values(), ids=UNREADABLE.keys())
@pytest.mark.parametrize("flags", [["--list"], ["--cancel"], []], ids=["list", "cancel", "go on"])
async def test_a_journal_that_cannot_be_read_is_not_nothing_under_way(
    tmp_path: Path, code: int, spoil: Callable[[Path], object], flags: list[str]
) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    spoil(state / JOURNAL)
    done = await command("resume", *flags, "--state-dir", str(state), home=tmp_path)
    assert done.code == code, done.err
    assert "nothing is under way" not in done.out + done.err
    assert str(state / JOURNAL) in done.err and "→" in done.err
    assert done.err.count(str(state / JOURNAL)) <= 2, "it is said once"


@pytest.mark.parametrize("flags", [["--list"], ["--cancel"], []], ids=["list", "cancel", "go on"])
async def test_a_pattern_that_matches_nothing_is_named(tmp_path: Path, flags: list[str]) -> None:
    _begun(tmp_path / "state")
    told = ("resume", *flags, "--state-dir", str(tmp_path / "state"))
    done = await command(*told, "registry.example.com/*", home=tmp_path)
    assert done.code == 3, done.err
    assert "nothing is under way" not in done.out and "'registry.example.com/*'" in done.err
    assert "resume --list" in done.err


async def test_uploads_without_a_run_are_not_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state", ignore)
    journal.save(
        UploadKey("http://localhost:5000", "me/big", Digest("0" * 64)), 10, UploadRecord("http://localhost:5000/1", 5)
    )
    journal.close()
    done = await command("resume", "--state-dir", str(tmp_path / "state"), home=tmp_path)
    assert done.code == 0 and "nothing" not in done.out
    assert "1 upload of runs that failed" in done.out and "resume --cancel" in done.out


async def test_what_matches_a_pattern_is_listed(tmp_path: Path) -> None:
    _begun(tmp_path / "state")
    done = await command("resume", "--list", "--state-dir", str(tmp_path / "state"), "localhost:5000", home=tmp_path)
    assert done.code == 0 and "me/big:latest" in done.out


@pytest.mark.parametrize(
    "arguments",
    [["resume", "--list"], ["resume", "--cancel"], ["resume"], ["push", "me/tiny", "--to", "localhost:1/", "-n"]],
    ids=" ".join,
)
async def test_what_lists_makes_no_folder(tmp_path: Path, arguments: list[str]) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    before = {*tmp_path.rglob("*")}
    state = ["--state-dir", str(tmp_path / "a/b")]
    for flags in (state, []):
        done = await command(*arguments, *flags, "--retries", "0", home=tmp_path)
        assert {*tmp_path.rglob("*")} == before
        assert done.code == (6 if "push" in arguments else 0)
        assert "push" in arguments or "nothing is under way" in done.out
