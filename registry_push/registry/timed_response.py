"""`TimedResponse`: an answer that knows how long it was waited for."""

from __future__ import annotations

import asyncio
from typing import Self

import aiohttp
from aiohttp.connector import Connection


class TimedResponse(aiohttp.ClientResponse):
    """As aiohttp's. `waited` are the seconds from the request's last header to the answer's.

    No part of it are the name's lookup, the connection's opening and TLS's greeting, which would make two to four round
    trips of the first one.
    """

    waited = 0.0

    async def start(self, connection: Connection) -> Self:
        """Reads the answer's headers."""
        clock = asyncio.get_running_loop().time
        began = clock()
        await super().start(connection)
        self.waited = clock() - began
        return self
