"""`LoopErrors`: errors that the event loop could not pass to anyone."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable
from typing import Any, Final

from .log import LOG

# Seconds. Without free descriptors, asyncio reports it a hundred times a second, each time with a traceback.
_PAUSE: Final = 60.0
_OUT_OF: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class LoopErrors:
    """An exception handler for loops: that no client can be accepted is logged once a minute, the rest as usual."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._quiet_until = float("-inf")

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log the error in `context`."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _OUT_OF and "accept" in context.get("message", "")):
            loop.default_exception_handler(context)
            return
        now = self._now()
        if now >= self._quiet_until:
            self._quiet_until = now + _PAUSE
            LOG.error(
                "no client can be let in: %s; raise the limit of open files: ulimit -n, LimitNOFILE= in a unit",
                error.strerror or error,
            )
