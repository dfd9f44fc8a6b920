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

_LATEST: Final = "WHERE origin = ? AND digest = ? AND repository <> ? ORDER BY saved DESC LIMIT ?"
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

    def of(self, origin: str, digest: Digest, *, but: str) -> list[str]:
        """Return the repositories other than `but` in which the blob was seen, the latest first."""
        found: list[tuple[str, float]] = self._rows("places", _LATEST, origin, str(digest), but, _MOST)
        return [repository for repository, saved in found if saved >= self._now() - LIFE]

    def forget(self, origin: str, repository: str, digest: Digest) -> None:
        """Note that the blob could not be mounted from `repository`."""
        self._write([(_DELETE, (origin, str(digest), repository))])
