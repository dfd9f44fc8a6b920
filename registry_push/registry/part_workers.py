"""Sends the parts of a blob: asks for their addresses one by one, and sends them side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from ..errors import unwrapped
from ..protocol.response import RegistryResponse
from ..protocol.upload.parts import PartRequest, Parts

Send = Callable[[PartRequest], Awaitable[RegistryResponse]]


async def send_parts(
    parts: Parts,
    send: Send,
    save: Callable[[], None],
    slot: Callable[[], AbstractAsyncContextManager[object]],
    stop: asyncio.Event,
    at_once: int,
) -> None:
    """Send all of `parts`; when `stop` is set, finish only those under way.

    `at_once` are sent side by side; 1 if the content is itself read over a line, in order. A part that goes to a
    storage takes a `slot`; a registry that takes the body itself gets one at a time.

    `save` is called after each step that is worth storing. Raises what `send` raises; cancelling is safe.
    """
    asking = asyncio.Lock()

    async def work() -> None:
        while True:
            async with asking:  # each answer has the URL of the next request
                question = None if stop.is_set() else parts.take()
                if question is None:
                    return
                put = parts.asked(question.number, await send(question))
                save()
            if put is not None:
                async with slot():
                    if stop.is_set():  # it may have waited for its slot until now
                        parts.put_back(put.number)
                        return
                    answer = await send(put)
                parts.placed(put.number, answer)
                save()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in parts.spans[:at_once]:
                group.create_task(work())
    except BaseExceptionGroup as error:
        raise unwrapped(error) from None
