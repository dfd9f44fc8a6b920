"""`in_turns`: work on many things, a few at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


async def in_turns(
    most: int,
    items: Iterable[Item],
    do: Callable[[Item], Awaitable[None]],
    *,
    is_over: Callable[[], bool] = lambda: False,
) -> None:
    """Do something with each of `items`, at most `most` at once; once `is_over`, begin nothing new.

    Cancelling is safe if it is for `do`. Raises an `ExceptionGroup`, as a TaskGroup.
    """
    turns = iter(items)

    async def work() -> None:
        for item in turns:
            if is_over():
                return
            await do(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(most):
            group.create_task(work())
