"""`resume` when the journal can't be read because its disk is full."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from registry_push.errors import Unavailable
from registry_push.state.journal import JOURNAL, Journal
from registry_push.verbs.resume import open_journal


@pytest.mark.parametrize(
    ("failure", "hint"),
    [("database or disk is full", "make room on its disk, then try again"), ("database is locked", "close what uses")],
)
def test_the_next_step_is_that_of_the_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str, hint: str
) -> None:
    (tmp_path / JOURNAL).touch(mode=0o600)
    monkeypatch.setattr(Journal, "unusable", sqlite3.OperationalError(failure))
    with pytest.raises(Unavailable) as refused:
        open_journal(tmp_path, lambda _: None)
    assert hint in (refused.value.hint or "")
