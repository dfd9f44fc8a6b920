"""`TimedResponse`: an answer that knows how long it was waited for."""

from __future__ import annotations

import asyncio
from typing import Self

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection


class TimedResponse(aiohttp.ClientResponse):
    """As aiohttp's. `waited` are the seconds from the request's last header to the answer's.

    No part of it are the name's lookup, the connection's opening and TLS's greeting, which would make two to four round
    trips of the first one.
    """

    waited = 0.0

    async def start(self, connection: Connection) -> Self:
        """Reads the answer's headers."""
        clock, protocol = asyncio.get_running_loop().time, connection.protocol
        began = clock()
        await super().start(connection)
        self.waited = clock() - began
        if protocol is not None and self.content.is_eof():
            stop_waiting(protocol)  # which began behind this answer, where the body's end was heard of in the same turn
        return self


def stop_waiting(protocol: ResponseHandler) -> None:
    """Stops the clock of an exchange that is over. aiohttp (3.14) starts it when the body has ended, even if the answer
    is done with by then; when its time is over, it would break the next exchange on this connection."""
    protocol.read_timeout = None
    protocol.start_timeout()
