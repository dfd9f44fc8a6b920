"""`Expect: 100-continue` with patience that ends."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection

from .timed_response import stop_waiting

# Go's http.Transport waits one second (ExpectContinueTimeout); servers that know nothing of Expect never answer.
PATIENCE: Final = 1.0


class ImpatientRequest(aiohttp.ClientRequest):
    """A request that sends its body when the server asks for it, or has said nothing for `PATIENCE` seconds.

    aiohttp itself waits for ever. A final answer in between stops the body before it begins: aiohttp cancels the
    writer when the answer is done with.
    """

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Writes the body, as aiohttp would."""
        asked, protocol = self._continue, conn.protocol
        timer = asked and asyncio.get_running_loop().call_later(PATIENCE, _settle, asked)
        try:
            await super().write_bytes(writer, conn, content_length)
        finally:
            if timer is not None:
                timer.cancel()
        writing = asyncio.current_task()
        if protocol is not None and writing is not None and writing.cancelling():
            stop_waiting(protocol)  # all was sent, and the answer done with before that was heard of


def _settle(asked: asyncio.Future[bool]) -> None:
    if not asked.done():
        asked.set_result(True)
