"""Bodies of answers: read whole, in bounded time and up to a size, or in pieces as they come."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Final

import aiohttp

from ..errors import ProtocolViolation, TimedOut
from ..model import HTTPOrigin
from ..protocol.diagnostics import MAX_ERROR_BYTES
from .aiohttp_fixes import unread
from .body.answer_line import line_of, return_line, take_line
from .body.socket_reader import SocketReader
from .bounded_handler import longest

_PIECE: Final = 256 * 1024
# Bytes a second. An answer that is read whole may take as long as its bytes would at the speed of an old modem.
_SLOWEST: Final = 4 * 1024


async def read_whole(response: aiohttp.ClientResponse, most: int, *, patience: float) -> bytes:
    """Return the body; for an error, and for an answer to anything but GET, only its beginning.

    It has to come in time, whatever else the server sends meanwhile.

    Raises `ProtocolViolation` for one of more than `most` bytes, `TimedOut` for one that drips.
    """
    stream, content = response.content, bytearray()
    if stream.at_eof():
        return b""
    is_cut = response.status >= 400 or response.method != "GET"
    try:
        async with asyncio.timeout(longest(patience)) as deadline:
            ends = deadline.when() or 0.0
            while piece := await stream.read(_PIECE):
                content += piece
                deadline.reschedule(ends + len(content) / _SLOWEST)
                if is_cut and len(content) >= MAX_ERROR_BYTES:
                    response.close()
                    return bytes(content[:MAX_ERROR_BYTES])
                if len(content) > most:
                    raise ProtocolViolation(f"the answer has more than {most} bytes", url=str(response.url))
    except TimeoutError as error:
        if isinstance(error, aiohttp.ClientError):  # aiohttp's, of a line on which nothing moved
            raise
        raise _too_slow(response, f"sends its answer too slowly ({len(content)} bytes so far)") from error
    return bytes(content)


class Pieces:
    """A body in pieces. Each has to bring bytes in time: what else a server sends, such as chunks' extensions, does not
    count. Of the whole, nobody knows how long it may take."""

    def __init__(self, response: aiohttp.ClientResponse, patience: float) -> None:
        self._response = response
        self._patience = longest(patience)
        self._count = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            async with asyncio.timeout(self._patience):
                piece = await self._response.content.read(_PIECE)
        except TimeoutError as error:
            raise _too_slow(self._response, "sends nothing more of the content") from error
        except (aiohttp.ClientError, OSError):
            piece = unread(self._response.content)
            if not piece:
                raise
        if not piece:
            raise StopAsyncIteration
        self._count += len(piece)
        return piece

    def rest(self) -> SocketReader | None:
        """Return a reader with which threads read the rest; None if the rest comes in pieces only."""
        line, length = line_of(self._response), self._response.content_length
        if line is None or length is None:
            return None
        descriptor = os.dup(line.fileno())
        try:
            come = take_line(self._response)
        except BaseException:
            os.close(descriptor)
            raise
        return SocketReader(
            come,
            descriptor,
            length - self._count - len(come),
            patience=self._patience,
            netloc=HTTPOrigin.of(str(self._response.url)).netloc,
            over=lambda: return_line(self._response),
        )


async def beginning_of(pieces: AsyncIterator[bytes]) -> bytes:
    """Return as much of an error's body as is worth reading."""
    content = bytearray()
    async for piece in pieces:
        content += piece
        if len(content) >= MAX_ERROR_BYTES:
            break
    return bytes(content[:MAX_ERROR_BYTES])


def _too_slow(response: aiohttp.ClientResponse, what: str) -> TimedOut:
    url = str(response.url)
    return TimedOut(f"{HTTPOrigin.of(url).netloc} {what}", url=url)
