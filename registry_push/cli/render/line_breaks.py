"""Breaks lines between words. Pure."""

from __future__ import annotations

from typing import Final

# Columns. Narrower text can't be read any better.
_LEAST: Final = 20


def broken(words: str, width: int | None) -> list[str]:
    """Return `words` in lines of at most `width` columns, at least one; a longer word has a line of its own.

    What is to be copied stays whole, a path or an address. None: one line.
    """
    if width is None or width < _LEAST or len(words) <= width:
        return [words]
    from textwrap import wrap

    return wrap(words, width, break_long_words=False, break_on_hyphens=False) or [words]
