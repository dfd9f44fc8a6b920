"""`AnsweringHosts`: which hosts have answered in this run, and whether they keep connections open."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import aiohttp
from aiohttp import HttpVersion11

from ..model import HTTPOrigin


class AnsweringHosts:
    """The origins that have answered. Waiting for the first answer of one is safe to cancel."""

    def __init__(self) -> None:
        self._keeps: dict[HTTPOrigin, bool] = {}
        self._first: defaultdict[HTTPOrigin, asyncio.Event] = defaultdict(asyncio.Event)

    def __contains__(self, origin: HTTPOrigin) -> bool:
        return origin in self._keeps

    def add(self, origin: HTTPOrigin, answer: aiohttp.ClientResponse) -> None:
        """Note that `origin` has answered with `answer`."""
        is_first = origin not in self._keeps
        said = answer.headers.get("Connection", "").lower()
        is_new = answer.version is None or answer.version >= HttpVersion11
        self._keeps[origin] = "close" not in said and (is_new or "keep-alive" in said)
        if is_first:
            self._first[origin].set()

    async def keeps_connections(self, origin: HTTPOrigin) -> bool:
        """Return whether the last answer of `origin` leaves its connection open; waits for the first one."""
        await self._first[origin].wait()
        return self._keeps[origin]
