"""`Runtime`: what the runs of one process share: connections, threads, slots and tokens."""

from __future__ import annotations

from typing import Self

from ..auth.refresh_tokens import RefreshTokens
from ..content.hashing import Hasher
from ..events import Sink
from ..http.transport import Transport
from ..protocol.bandwidth import Bandwidth
from ..settings import Settings
from .limits import Slots


class Runtime:
    """Connections (at most `connections`, `per_registry` to one host and port; 0: any number), threads that hash,
    slots for bodies, and refresh tokens that were replaced.

    An async context manager; leaving it releases them.
    """

    def __init__(self, settings: Settings, sink: Sink, *, connections: int = 0, per_registry: int = 0) -> None:
        self.transport = Transport(settings, sink=sink, connections=connections, per_host=per_registry)
        self.hasher = Hasher()
        self.refreshed = RefreshTokens()
        self.slots = Slots(settings.jobs, Bandwidth(settings.bwlimit) if settings.bwlimit else None)
        # A limit of its own: between two registries, each byte comes once and goes once.
        self.downloads = Bandwidth(settings.bwlimit) if settings.bwlimit else None

    async def __aenter__(self) -> Self:
        await self.transport.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.__aexit__()
        self.hasher.close()
