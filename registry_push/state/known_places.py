"""`KnownPlaces`: the repositories of a registry in which a blob was last seen, so that it can be mounted from there.

These are hints: a wrong one costs a request, and is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from ..model import Digest

# Seconds: half a year. A variant of a model is made months after it, and registries keep what has a tag.
LIFE: Final = 180 * 24 * 3600.0
# Repositories that are tried for one blob: each wrong one costs a round trip.
_MOST: Final = 3

# Digests in one question: SQLite's limit of values is 999 in some builds.
_AT_ONCE: Final = 500
# The latest few of each digest, for many digests in one question: one a blob took 5 % of the time of a push of 400
# small ones. Not by `json_each`, which some builds lack, and for which the digests of 14,000 blobs are too long.
_LATEST: Final = """
    WHERE rowid IN (
        SELECT place FROM (
            SELECT rowid AS place, row_number() OVER (PARTITION BY digest ORDER BY saved DESC) AS number FROM places
            WHERE origin = ? AND digest IN ({}) AND repository <> ? AND saved >= ?
        ) WHERE number <= ?
    ) ORDER BY saved DESC
"""
_INSERT: Final = "INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?)"
_DELETE: Final = "DELETE FROM places WHERE origin = ? AND digest = ? AND repository = ?"


class KnownPlaces:
    """The table `places`. `write` runs statements in a transaction, `rows` reads a table after a condition."""

    def __init__(
        self,
        write: Callable[[Sequence[tuple[str, tuple[object, ...]]]], None],
        rows: Callable[..., list[Any]],
        now: Callable[[], float],
    ) -> None:
        self._write = write
        self._rows = rows
        self._now = now

    def remember(self, origin: str, repository: str, digests: Iterable[Digest]) -> None:
        """Note that the blobs are in `repository`."""
        now = self._now()
        seen = [(_INSERT, (origin, str(digest), repository, now)) for digest in digests]
        self._write([*seen, ("DELETE FROM places WHERE saved < ?", (now - LIFE,))])

    def of(self, origin: str, digests: Iterable[Digest], *, but: str) -> dict[Digest, list[str]]:
        """Return the repositories other than `but` in which each blob was seen, the latest first."""
        places: dict[Digest, list[str]] = {}
        texts = [str(digest) for digest in digests]
        for start in range(0, len(texts), _AT_ONCE):
            some = texts[start : start + _AT_ONCE]
            where = _LATEST.format(", ".join("?" * len(some)))
            for digest, repository in self._rows("places", where, origin, *some, but, self._now() - LIFE, _MOST):
                places.setdefault(digest, []).append(repository)
        return places

    def forget(self, origin: str, repository: str, digest: Digest) -> None:
        """Note that the blob could not be mounted from `repository`."""
        self._write([(_DELETE, (origin, str(digest), repository))])
