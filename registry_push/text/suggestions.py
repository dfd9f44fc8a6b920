"""What somebody may have meant who typed something else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# Of `difflib`: how alike two words are, from 0 to 1. Its own default; below it, suggestions are guesses.
_ALIKE: Final = 0.6
# More than so many are no help.
_MOST: Final = 3


def did_you_mean(typed: str, known: Iterable[str]) -> str | None:
    """`did you mean push?` or `did you mean tag or tags?`; None if nothing that is `known` is like it.

    Upper and lower case count as the same.
    """
    from difflib import get_close_matches  # 3 ms, which those who type well need not wait

    spelt = {word.lower(): word for word in known}
    near = [spelt[word] for word in get_close_matches(typed.lower(), spelt, n=_MOST, cutoff=_ALIKE)]
    return f"did you mean {' or '.join(near)}?" if near else None
