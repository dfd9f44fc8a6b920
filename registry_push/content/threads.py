"""Work in threads, and a typed error if this machine allows no more threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, ParamSpec, TypeVar

from ..errors import OutOfResources

P = ParamSpec("P")
T = TypeVar("T")


def no_thread(error: RuntimeError) -> OutOfResources | None:
    """Return the error for a thread that could not be started; None if `error` is another."""
    if "can't start new thread" not in str(error):  # it has no class of its own
        return None
    return OutOfResources(
        "this machine lets us start no more threads",
        hint="allow more processes and memory: ulimit -u 4096; ulimit -v unlimited; then run the same command again",
    )


async def in_thread(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """As `asyncio.to_thread`. Raises `OutOfResources` if no thread can be started."""
    try:
        return await asyncio.to_thread(work, *arguments, **named)
    except RuntimeError as error:
        if (short := no_thread(error)) is not None:
            raise short from error
        raise


async def ended(work: asyncio.Future[Any]) -> None:
    """Return when `work` of a thread has ended, however it does, which is soon. Being cancelled waits for that too."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancelled = error
    if not work.cancelled():
        work.exception()  # it was raised already, or something else is
    if cancelled is not None:
        raise cancelled


def start_in(pool: Executor, work: Callable[[], T]) -> asyncio.Future[T]:
    """Start `work` in a thread of `pool`. Raises `OutOfResources` if none can be started."""
    try:
        return asyncio.get_running_loop().run_in_executor(pool, work)
    except RuntimeError as error:
        if (short := no_thread(error)) is not None:
            raise short from error
        raise
