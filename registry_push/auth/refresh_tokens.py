"""`RefreshTokens`: the refresh tokens that token services have issued to replace those in docker's files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from msgspec import Struct

from ..model import HTTPOrigin


class Refresh(Struct):
    """A refresh token as it is now; set `token` when a service has replaced it."""

    token: str


class RefreshTokens:
    """The refresh tokens of a process, for all its runs.

    Some token services give a new one at each use and void the old one (OAuth 2.0, RFC 9700, 4.14.2), so what was read
    from a file is good for one use only.
    """

    def __init__(self) -> None:
        self._now: dict[tuple[HTTPOrigin, str], str] = {}
        self._locks: WeakValueDictionary[tuple[HTTPOrigin, str], asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def held(self, service: HTTPOrigin, written: str) -> AsyncIterator[Refresh]:
        """Yield the current value, at `service`, of the token `written` in a file. Exchanges take turns."""
        key = service, written
        async with self._locks.setdefault(key, asyncio.Lock()):
            refresh = Refresh(self._now.get(key, written))
            try:
                yield refresh
            finally:
                if refresh.token != written:
                    self._now[key] = refresh.token
