"""Bodies that note what is asked of them, break off, or wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from registry_push.content.body import BytesBody
from registry_push.errors import ConnectionLost


class CountedBody(BytesBody):
    """Content that keeps what is asked of it, and breaks off before the byte `until`, if there is one."""

    def __init__(self, content: bytes, *, until: int | None = None) -> None:
        super().__init__(content)
        self.asked: list[tuple[int, int]] = []
        self._until = until

    async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
        self.asked.append((offset, length))
        if self._until is None:
            yield self.content[offset : offset + length]
        else:
            yield self.content[offset : self._until]
            raise ConnectionLost("the line broke")


class HaltingBody(BytesBody):
    """Content that comes as far as the byte `halt`, and to its end once it may `go_on`; `halted` tells of the pause.

    In the pause, `meanwhile` is called.
    """

    def __init__(self, content: bytes, halt: int, meanwhile: Callable[[], None] = lambda: None) -> None:
        super().__init__(content)
        self.halted, self.go_on = asyncio.Event(), asyncio.Event()
        self._halt = halt
        self._meanwhile = meanwhile

    async def open(self, offset: int, length: int) -> AsyncIterator[bytes]:
        yield self.content[offset : self._halt]
        self._meanwhile()
        self.halted.set()
        await self.go_on.wait()
        yield self.content[max(offset, self._halt) : offset + length]
