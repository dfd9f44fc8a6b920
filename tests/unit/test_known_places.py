"""Where blobs were last seen: a hint that outlives the process."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from registry_push.events import Event, Warned
from registry_push.model import Digest
from registry_push.registry.profile import Profile
from registry_push.state.journal import JOURNAL, Journal
from registry_push.state.known_places import LIFE

HERE, ELSEWHERE = "https://r.example", "https://o.example"
ONE, OTHER = Digest.of(b"one"), Digest.of(b"other")


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def opened(folder: Path, clock: Clock, told: list[Event] | None = None) -> Journal:
    return Journal(folder, (told if told is not None else []).append, now=clock)


def places_of(journal: Journal, origin: str, digest: Digest, *, but: str) -> list[str]:
    """Asked together with another blob, as models do."""
    return journal.places.of(origin, [digest, Digest.of(b"unknown")], but=but).get(digest, [])


def test_another_process_knows_where_a_blob_is_the_latest_first(tmp_path: Path) -> None:
    clock = Clock()
    for repository in ("me/a", "me/b"):
        journal = opened(tmp_path, clock)
        journal.places.remember(HERE, repository, [ONE, OTHER])
        journal.close()
    journal = opened(tmp_path, clock)
    assert places_of(journal, HERE, ONE, but="me/new") == ["me/b", "me/a"]
    assert places_of(journal, HERE, ONE, but="me/b") == ["me/a"]
    assert places_of(journal, ELSEWHERE, ONE, but="me/new") == []
    journal.places.forget(HERE, "me/b", ONE)
    assert places_of(journal, HERE, ONE, but="me/new") == ["me/a"]
    assert places_of(journal, HERE, OTHER, but="me/new") == ["me/b", "me/a"]
    journal.close()


def test_few_are_named_however_many_there_are(tmp_path: Path) -> None:
    journal = opened(tmp_path, Clock())
    for number in range(50):
        journal.places.remember(HERE, f"me/{number}", [ONE])
    assert places_of(journal, HERE, ONE, but="x") == ["me/49", "me/48", "me/47"]
    journal.close()


def test_a_model_of_very_many_blobs_does_not_cost_the_journal(tmp_path: Path) -> None:
    """A mixture of experts has a blob for each tensor of each expert."""
    told: list[Event] = []
    journal = opened(tmp_path, Clock(), told)
    digests = [Digest(f"{number:064x}") for number in range(15_000)]
    journal.places.remember(HERE, "me/a", [digests[0], digests[-1]])
    found = journal.places.of(HERE, digests, but="x")
    assert found == {digests[0]: ["me/a"], digests[-1]: ["me/a"]}
    assert told == [] and journal.moved_aside is None
    journal.close()


def test_what_is_old_is_forgotten(tmp_path: Path) -> None:
    clock = Clock()
    journal = opened(tmp_path, clock)
    journal.places.remember(HERE, "me/a", [ONE])
    clock.now += LIFE + 10
    assert places_of(journal, HERE, ONE, but="x") == []
    journal.places.remember(HERE, "me/b", [OTHER])
    journal.close()
    with sqlite3.connect(tmp_path / JOURNAL) as database:
        assert database.execute("SELECT repository FROM places").fetchall() == [("me/b",)]
    database.close()


@pytest.mark.parametrize("repository", ["../x", "me/a:b", "ME", "", "a?b", "x" * 300])
def test_a_row_that_is_none_of_ours_is_dropped(tmp_path: Path, repository: str) -> None:
    clock, told = Clock(), list[Event]()
    opened(tmp_path, clock).close()
    with sqlite3.connect(tmp_path / JOURNAL) as database:
        database.execute("INSERT INTO places VALUES (?, ?, ?, ?)", (HERE, str(ONE), repository, clock.now))
    database.close()
    journal = opened(tmp_path, clock, told)
    assert places_of(journal, HERE, ONE, but="x") == []
    journal.close()


@pytest.mark.parametrize(("version", "missing"), [(1, ("places",)), (0, ("places", "idle"))])
def test_a_journal_of_an_earlier_version_gets_the_table_and_keeps_its_rows(
    tmp_path: Path, version: int, missing: tuple[str, ...]
) -> None:
    clock, told = Clock(), list[Event]()
    journal = opened(tmp_path, clock)
    journal.learn(HERE, Profile(chunk_limit=5_000_000))
    journal.close()
    with sqlite3.connect(tmp_path / JOURNAL) as database:
        for table in missing:
            database.execute(f"DROP TABLE {table}")
        database.execute(f"PRAGMA user_version = {version}")
    database.close()
    journal = opened(tmp_path, clock, told)
    journal.places.remember(HERE, "me/a", [ONE])
    assert places_of(journal, HERE, ONE, but="x") == ["me/a"]
    assert journal.profile(HERE) == Profile(chunk_limit=5_000_000)
    journal.close()
    assert not [event for event in told if isinstance(event, Warned)]
