"""`Holders`: which repositories hold which blobs, as seen in a run, and whether to try to mount from them."""

from __future__ import annotations

from collections import Counter
from typing import Final

from ..model import Digest
from .in_flight import BlobInFlight, InFlight

# After so many refused mounts in a row no more are tried: ECR mounts nothing from a repository without a manifest, and
# in the same run the other repositories have none yet.
_REFUSED_MOUNTS: Final = 2


class Holders:
    """The holders seen by one run. `in_flight` is shared with the other runs of the process."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._blobs: dict[tuple[str, Digest], BlobInFlight] = {}  # those that this run needs
        self._confirmed: set[tuple[str, str, Digest]] = set()
        self._refused_mounts: Counter[str] = Counter()  # since the last successful one

    def blob(self, origin: str, digest: Digest) -> BlobInFlight:
        """Return the state of `digest` at `origin`, which is kept until the run ends."""
        place = self._blobs.get((origin, digest))
        if place is None:
            place = self._blobs[origin, digest] = self._in_flight.at(origin, digest)
        return place

    def is_confirmed(self, origin: str, repository: str, digest: Digest) -> bool:
        """Return whether this run has seen the blob in `repository`. Other runs don't count: it may be gone."""
        return (origin, repository, digest) in self._confirmed

    def confirm(self, origin: str, repository: str, digest: Digest) -> None:
        """Note that the blob is in `repository`."""
        self._confirmed.add((origin, repository, digest))
        self.blob(origin, digest).holders[repository] = None

    def lost(self, origin: str, repository: str, digest: Digest) -> None:
        """Note that the blob is not in `repository` any more."""
        self._confirmed.discard((origin, repository, digest))
        self.blob(origin, digest).holders.pop(repository, None)

    def mounts(self, origin: str) -> bool:
        """Return whether it is worth trying to mount from a repository that is known to hold the blob."""
        return self._refused_mounts[origin] < _REFUSED_MOUNTS

    def mount_refused(self, origin: str) -> None:
        """Note that such a mount was refused."""
        self._refused_mounts[origin] += 1

    def mounts_again(self, origin: str) -> None:
        """Note a successful mount, or a manifest that was put: its repository's blobs can be mounted."""
        self._refused_mounts[origin] = 0
