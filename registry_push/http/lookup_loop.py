"""`new_loop`: an event loop whose end does not wait for name lookups."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or sys.platform != "win32":
    _Usual = asyncio.SelectorEventLoop
else:
    _Usual = asyncio.ProactorEventLoop


def new_loop() -> asyncio.AbstractEventLoop:
    """Return the system's usual event loop, but for lookups: each runs in a thread that ends with the process.

    A lookup can't be cancelled, and takes half a minute where two name servers are silent. A usual loop waits for it
    when it closes: after Ctrl-C, and in `doctor`, which promises to end within ten seconds.
    """
    return _Loop()


class _Loop(_Usual):
    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """As the usual loop's. Cancelling is safe, and leaves the lookup alone."""
        found = self.create_future()
        look = partial(socket.getaddrinfo, host, port, family, type, proto, flags)
        Thread(target=_look_up, args=(self, found, look), name="name lookup", daemon=True).start()
        return await found


def _look_up(loop: asyncio.AbstractEventLoop, found: asyncio.Future[Any], look: partial[Any]) -> None:
    try:
        settle = partial(found.set_result, look())
    except Exception as error:  # raised where the result is awaited
        settle = partial(found.set_exception, error)
    with suppress(RuntimeError):  # the loop is closed, so the result is not needed
        loop.call_soon_threadsafe(lambda: None if found.done() else settle())
