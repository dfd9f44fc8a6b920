"""Several names in a message. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def several(names: Sequence[str], *, most: int = 3) -> str:
    """Return the first `most` of `names`, and how many there are besides: `a, b, c and 4 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
