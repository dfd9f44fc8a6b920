"""Handing an answer's body over from aiohttp to threads."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from aiohttp.streams import StreamReader

from registry_push.http.body.answer_line import take_line
from registry_push.http.bounded_handler import BoundedHandler


class Handler(BoundedHandler):
    """A parser that was told to pause has held back `held`, and gives it up, piece by piece, when there is room."""

    held: list[bytes]
    stream: StreamReader

    def pause_reading(self) -> None:
        pass

    def resume_reading(self, resume_parser: bool = True) -> None:
        if self.held:
            self.stream.feed_data(self.held.pop(0))


async def test_what_the_parser_held_back_is_taken_too() -> None:
    """aiohttp's `read_nowait` makes room, is fed through it, and leaves what it was fed (3.14.5)."""
    handler = Handler(asyncio.get_running_loop())
    handler.stream = StreamReader(handler, limit=2, loop=asyncio.get_running_loop())
    handler.held = [b"second ", b"third ", b"last"]
    handler.stream.feed_data(b"first ")
    response: Any = SimpleNamespace(connection=SimpleNamespace(protocol=handler), content=handler.stream)
    assert take_line(cast(Any, response)) == b"first second third last"
