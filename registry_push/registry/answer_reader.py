"""`AnswerReader`: one answer with a blob's content, read in pieces by the loop or off its socket by threads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from ..content.blocks import EMPTY
from ..errors import Unavailable
from ..http.body.socket_reader import SocketReader
from ..http.response_body import Pieces

# Opens the blob's content from an offset to its end.
Opener = Callable[[int], AbstractAsyncContextManager[AsyncIterator[bytes]]]


class AnswerReader:
    """The content from `offset` on, which moves with what is taken; with what was left of the last piece."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self._held = AsyncExitStack()
        self._rest = EMPTY
        self._pieces: AsyncIterator[bytes] | None = None
        self._socket: SocketReader | None = None

    async def open(self, opener: Opener) -> None:
        """Ask for the content. Raises what `opener` does."""
        self._pieces = await self._held.enter_async_context(opener(self.offset))

    async def ready(self, *, in_threads: bool) -> None:
        """As `Blocks.ready`; `in_threads`: from now on threads read what they can. Raises `Unavailable` at its end."""
        if self._rest:
            return
        try:
            if in_threads and self._socket is None and isinstance(self._pieces, Pieces):
                self._socket = self._pieces.rest()
            if self._socket is not None:
                await self._socket.ready()
                return
            assert self._pieces is not None, "it was opened"
            self._rest = memoryview(await anext(self._pieces, b""))
        except Exception as error:
            # Who opened it says what the error means.
            await self._held.__aexit__(type(error), error, error.__traceback__)
            raise
        if not self._rest:
            raise Unavailable("the answer ended early")

    def take(self, most: int, buffer: memoryview | None = None) -> memoryview:
        """As `Blocks.take`."""
        if self._rest:
            most = min(most, len(buffer)) if buffer is not None else most
            piece, self._rest = self._rest[:most], self._rest[most:] or EMPTY
        else:
            piece = self._socket.take(most, buffer) if self._socket is not None else EMPTY
        self.offset += len(piece)
        return piece

    async def close(self) -> None:
        """Release the connection. Safe to call twice."""
        if self._socket is not None:
            self._socket.close()
        await self._held.aclose()
