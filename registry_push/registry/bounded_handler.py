"""`BoundedHandler`: a connection on which the headers of an answer come to an end."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

# Informational answers (100, 102, 103) before the real one. Servers send one or two.
_MOST_INFORMATIONAL: Final = 10
# Seconds. What has begun in time gets as long again to end, but not longer than a minute's half.
_GRACE: Final = 30.0
_SWITCHING: Final = 101


class TooManyInformational(aiohttp.ClientError):
    """One informational answer followed another, and no other came."""


class HeadTooLate(aiohttp.SocketTimeoutError):
    """Something came in time, but not the last of an answer's headers."""


def longest(patience: float) -> float:
    """Seconds for all of something whose first byte may take `patience` seconds."""
    return patience + min(patience, _GRACE)


class BoundedHandler(ResponseHandler):
    """As aiohttp's, whose clock (3.14) begins anew with each byte: a head that drips, and informational answers, have
    no end there. Answers that nobody asked for close the connection; there they are queued, however many."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._informational = 0
        self._is_waiting = False
        self._deadline: asyncio.TimerHandle | None = None

    def set_response_params(self, **params: Any) -> None:
        """A request is about to be sent."""
        self._informational, self._is_waiting = 0, True
        super().set_response_params(**params)

    def start_timeout(self) -> None:
        """All of the request is sent."""
        super().start_timeout()
        self._stop_deadline()
        if self._is_waiting and self.read_timeout:
            self._deadline = self._loop.call_later(longest(self.read_timeout), self._give_up, HeadTooLate())

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """An answer's headers are there."""
        if not self._is_waiting:
            self._give_up(None)
            return
        code = data[0].code
        if 100 <= code < 200 and code != _SWITCHING:
            self._informational += 1
            if self._informational > _MOST_INFORMATIONAL:
                self._give_up(TooManyInformational())
                return
        else:
            self._is_waiting = False
            self._stop_deadline()
        super().feed_data(data, size)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone."""
        self._stop_deadline()
        super().connection_lost(exc)

    def _give_up(self, error: Exception | None) -> None:
        self._is_waiting = False
        self._stop_deadline()
        if error is not None:
            self.set_exception(error)
        self.force_close()
        if self.transport is not None:
            self.transport.abort()

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
