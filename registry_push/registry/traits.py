"""How a registry is best filled, by its distance. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from ..content.base import Traits
from ..protocol.upload.chunks import SINGLE_PUT

# Requests without a body wait for the server, not for the line: at 50 ms, 32 of them in flight are needed to keep eight
# bodies coming. At a registry that answers at once they would only cost connections.
_REQUESTS_PER_JOB: Final = 4
_REQUESTS_PER_JOB_NEAR: Final = 2
# Bodies that share a line end together, and the line rests for the round trips until the next ones are sent, unless
# some blobs are opened by then: 35 blobs of 30 MB over TLS at 50 ms take 0.90 of the time.
_OPENED_AHEAD: Final = 0.5
# With more requests than this, memory grows and hardly any time is saved.
_MOST_REQUESTS: Final = 64


@lru_cache(16)  # asked four times for each blob
def traits_at(jobs: int, *, is_near: bool, is_encrypted: bool, mounts_itself: bool) -> Traits:
    """Return how to fill a registry with `jobs` bodies at once; `is_near` if it answers at once."""
    if is_near and is_encrypted:
        # One thread encrypts. If the line is not the limit, three of eight bodies keep it busy; two would be slower.
        jobs = max(min(jobs, 2), jobs * 3 // 8)
    beside = jobs * ((_REQUESTS_PER_JOB_NEAR if is_near else _REQUESTS_PER_JOB) - 1)
    return Traits(
        bodies=jobs,
        requests=max(jobs, min(beside, _MOST_REQUESTS)),
        small=SINGLE_PUT,
        asks_ahead=not is_near,
        opened_ahead=0 if is_near else int(jobs * _OPENED_AHEAD),
        mounts_itself=mounts_itself,
        mounts=True,
    )
