"""What a process leaves for the next one that holds a blob: where it has put it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_push.model import Digest, UploadKey
from registry_push.state import lock_notes as notes
from registry_push.state.journal import Journal

NOW = 1_700_000_000.0
DIGEST = Digest.of(b"blob")
HERE = UploadKey("https://r.example", "h/a", DIGEST)
THERE = UploadKey("https://r.example", "h/b", DIGEST)

PLACE = """
import sys
from pathlib import Path
from registry_push.model import Digest
from registry_push.registry.keeper import UploadKey
from registry_push.state.journal import Journal
journal = Journal(Path(sys.argv[1]), lambda _: None)
journal.note_placed(UploadKey("https://r.example", "h/a", Digest.of(b"blob")))
journal.close()
"""


def test_another_process_learns_where_the_blob_is(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", PLACE, str(tmp_path)], check=True)
    journal = Journal(tmp_path, lambda _: None)
    try:
        assert journal.placed_in(THERE, 0.0) == "h/a"
        assert journal.placed_in(THERE, journal.now()) is None, "that was before"
        assert journal.placed_in(HERE, 0.0) is None, "it is asked for there by its own name"
        assert journal.placed_in(UploadKey("https://r.example", "h/b", Digest.of(b"other")), 0.0) is None
        assert journal.placed_in(UploadKey("https://s.example", "h/b", DIGEST), 0.0) is None
    finally:
        journal.close()


@given(slot=st.integers(0, 2**55 - 1), text=st.from_regex(r"[a-z0-9/._-]{1,255}", fullmatch=True))
def test_what_was_written_since_is_read(slot: int, text: str) -> None:
    content = notes.written(slot, text, NOW)
    assert len(content) == notes.SIZE
    assert notes.read(slot, content, NOW - 1) == text
    assert notes.read(slot, content, NOW + 1e-3) is None
    assert notes.read(slot ^ 1, content, NOW - 1) is None


@pytest.mark.parametrize("text", ["", "a b", "a\nb", "ü", "a" * 401])
def test_what_is_no_word_is_not_written(text: str) -> None:
    assert notes.read(1, notes.written(1, text, NOW), 0.0) is None


@given(st.binary(max_size=notes.SIZE))
def test_anything_may_be_in_the_file(content: bytes) -> None:
    assert notes.read(1, content, 0.0) is None or content.startswith(b"%014x " % 1)


@pytest.mark.parametrize("repository", ["../../etc", "UPPER", "a//b", "h/a:tag", "h/a@sha256:00", "a?b=c"])
def test_a_note_that_names_no_repository_is_none(tmp_path: Path, repository: str) -> None:
    journal = Journal(tmp_path, lambda _: None)
    try:
        journal.note_placed(UploadKey("https://r.example", repository, DIGEST))
        assert journal.placed_in(THERE, 0.0) is None
    finally:
        journal.close()


@pytest.mark.parametrize("how", ["pwrite", "pread"])
def test_a_disk_that_fails_costs_the_note_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    journal = Journal(tmp_path, lambda _: None)
    monkeypatch.setattr(os, how, fail)
    try:
        journal.note_placed(HERE)
        assert journal.placed_in(THERE, 0.0) is None
    finally:
        journal.close()
