"""`Holders`: which repositories a run has seen to hold which blobs, and whether mounting from them is worth a try."""

from __future__ import annotations

from collections import Counter
from typing import Final

from ..model import Digest
from .in_flight import BlobInFlight, InFlight

# Mounts that are refused in a row, after which none is asked for: at ECR nothing is mounted from a repository without a
# manifest, and in the same run others have none yet.
_REFUSED_MOUNTS: Final = 2


class Holders:
    """Of one run. `in_flight` is what it shares with the other runs of its process."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._blobs: dict[tuple[str, Digest], BlobInFlight] = {}  # those that this run needs
        self._confirmed: set[tuple[str, str, Digest]] = set()
        self._refused_mounts: Counter[str] = Counter()  # since one was done

    def blob(self, origin: str, digest: Digest) -> BlobInFlight:
        """What is known of `digest` at `origin`, kept until the run ends."""
        return self._blobs.setdefault((origin, digest), self._in_flight.at(origin, digest))

    def is_confirmed(self, origin: str, repository: str, digest: Digest) -> bool:
        """Whether this run has seen the blob in `repository`. What others saw may be gone: it is asked for."""
        return (origin, repository, digest) in self._confirmed

    def confirm(self, origin: str, repository: str, digest: Digest) -> None:
        """The blob is in `repository`."""
        self._confirmed.add((origin, repository, digest))
        self.blob(origin, digest).holders[repository] = None

    def lost(self, origin: str, repository: str, digest: Digest) -> None:
        """The blob is not in `repository` any more."""
        self._confirmed.discard((origin, repository, digest))
        self.blob(origin, digest).holders.pop(repository, None)

    def mounts(self, origin: str) -> bool:
        """Whether it may help to ask for a mount from a repository that is known to hold the blob."""
        return self._refused_mounts[origin] < _REFUSED_MOUNTS

    def mount_refused(self, origin: str) -> None:
        """Such a mount was refused."""
        self._refused_mounts[origin] += 1

    def mounts_again(self, origin: str) -> None:
        """A mount was done, or a manifest was put: from its repository others can be."""
        self._refused_mounts[origin] = 0
