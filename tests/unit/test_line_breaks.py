"""Lines that are broken between words."""

from __future__ import annotations

import pytest

from registry_push.cli.render.line_breaks import broken


@pytest.mark.parametrize(
    ("words", "width", "lines"),
    [
        ("one two three", None, ["one two three"]),
        ("a path is kept whole: /home/somebody/a-long-folder/file", 24, [
            "a path is kept whole:", "/home/somebody/a-long-folder/file"]),
        ("no room for anything here", 10, ["no room for anything here"]),
        ("", 40, [""]),
    ],
)  # fmt: skip
def test_words_and_paths_stay_whole(words: str, width: int | None, lines: list[str]) -> None:
    assert broken(words, width) == lines
