"""Sends the parts of a blob: asks for them one by one, puts them side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ..errors import unwrapped
from ..protocol.response import RegistryResponse
from ..protocol.upload.parts import PartRequest, Parts

Send = Callable[[PartRequest], Awaitable[RegistryResponse]]


async def send_parts(parts: Parts, send: Send, save: Callable[[], None], stop: asyncio.Event, at_once: int) -> None:
    """Send all of `parts`, until they are over or `stop` is set: then those under way are finished.

    `at_once` are put side by side; 1 if the content comes over a line, which is read in order.

    `save` is called after each step that is worth keeping. Raises what `send` raises; cancelling is safe.
    """
    asking = asyncio.Lock()

    async def work() -> None:
        while True:
            async with asking:  # each answer carries the URL of the next question
                question = None if stop.is_set() else parts.take()
                if question is None:
                    return
                put = parts.asked(question.number, await send(question))
                save()
            if put is not None:
                parts.placed(put.number, await send(put))
                save()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in parts.spans[:at_once]:
                group.create_task(work())
    except BaseExceptionGroup as error:
        raise unwrapped(error) from None
