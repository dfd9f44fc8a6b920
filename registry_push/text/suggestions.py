"""Suggestions for words that were mistyped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# Of `difflib`: how alike two words are, from 0 to 1. Its own default; below it, suggestions are guesses.
_ALIKE: Final = 0.6
# More suggestions than this are no help.
_MOST: Final = 3


def did_you_mean(typed: str, known: Iterable[str]) -> str | None:
    """Return `did you mean push?` or `did you mean tag or tags?`; None if no `known` word is similar.

    Upper and lower case count as the same. The dashes of flags don't count: by them alone `--to` is like `--timeout`.
    """
    from difflib import get_close_matches  # takes 3 ms

    spelt = {word.lower().lstrip("-"): word for word in known}
    near = [spelt[word] for word in get_close_matches(typed.lower().lstrip("-"), spelt, n=_MOST, cutoff=_ALIKE)]
    return f"did you mean {' or '.join(near)}?" if near else None
