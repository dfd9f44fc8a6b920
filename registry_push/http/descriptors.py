"""Waiting for a descriptor in an event loop."""

from __future__ import annotations

import asyncio


async def writable(descriptor: int) -> None:
    """Return when the descriptor takes bytes, or is broken. It is none that a transport of the loop watches itself."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(descriptor, _settle, ready)
    try:
        await ready
    finally:
        loop.remove_writer(descriptor)


async def readable(descriptor: int) -> None:
    """Return when the descriptor has bytes, or is at its end. As in `writable`, no transport watches it."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _settle, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
