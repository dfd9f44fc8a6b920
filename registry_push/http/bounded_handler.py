"""`BoundedHandler`: a connection on which the headers of an answer come to an end."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from contextlib import suppress
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

from .alarm import Alarm
from .starvation import Waiting

# Informational answers (100, 102, 103) before the real one. Servers send one or two.
_MOST_INFORMATIONAL: Final = 10
# Seconds. What has begun in time gets as long again to end, but not longer than a minute's half.
_GRACE: Final = 30.0
_SWITCHING: Final = 101
# Answers that have no body, whatever follows their headers (RFC 9112, section 6.3).
_BODYLESS: Final = (204, 304)
_END_OF_HEAD: Final = re.compile(rb"\n\r?\n")
# Bytes of such an end that an earlier piece may have brought.
_MOST_BEFORE: Final = 2
# `struct linger`: on, and no second. What is unsent is thrown away, and the other side is told by a reset.
_RESET: Final = struct.pack("ii", 1, 0)


class TooManyInformational(aiohttp.ClientError):
    """One informational answer followed another, and no other came."""


class HeadTooLate(aiohttp.SocketTimeoutError):
    """Something came in time, but not the last of an answer's headers."""


def longest(patience: float) -> float:
    """Seconds for all of something whose first byte may take `patience` seconds."""
    return patience + min(patience, _GRACE)


class BoundedHandler(ResponseHandler):
    """As aiohttp's, whose clock (3.14) begins anew with each byte: a head that drips, and informational answers, have
    no end there. Answers that nobody asked for close the connection; there they are queued, however many.

    What follows the headers of an answer that has no body is dropped with the connection; there the answer is lost with
    it, as when a balancer answers HEAD with its whole page. A request that is given up before it was answered is closed
    by a reset: what is unsent of it would keep the line and the server busy, and an end would look like a cut.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._informational = 0
        self._is_waiting = False
        self._is_sending = False
        self._is_bodyless = False
        self._before = b""
        self.was_answered = False
        self.waiting: Waiting | None = None
        self._deadline = Alarm(loop, lambda: self._give_up(HeadTooLate()))

    def set_response_params(self, **params: Any) -> None:
        """A request is about to be sent."""
        self._informational, self._is_waiting, self._is_sending = 0, True, True
        self._is_bodyless, self._before = False, b""
        super().set_response_params(**params)

    def start_timeout(self) -> None:
        """All of the request is sent."""
        super().start_timeout()
        if self.read_timeout:  # else it is called to stop the clock: see `stop_waiting`
            self._is_sending = False
        if self._is_waiting and self.read_timeout:
            self._deadline.set(longest(self.read_timeout))
        else:
            self._deadline.stop()

    def data_received(self, data: bytes) -> None:
        """Take what came. Headers go to the parser apart from what follows: an error in that would lose them."""
        while data and self._is_waiting and self.exception() is None:
            head, data = self._split(data)
            super().data_received(head)
        if not data or self.exception() is not None:
            return
        if self._is_bodyless:
            self._give_up(None)
        else:
            super().data_received(data)

    def _split(self, data: bytes) -> tuple[bytes, bytes]:
        """`data` up to the end of the headers, and the rest."""
        found = _END_OF_HEAD.search(self._before + data)
        if found is None:
            self._before = (self._before + data)[-_MOST_BEFORE:]
            return data, b""
        end = found.end() - len(self._before)
        self._before = b""
        return data[:end], data[end:]

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """An answer's headers are there."""
        if not self._is_waiting:
            self._give_up(None)
            return
        self.was_answered = True
        self.stop_waiting()
        code = data[0].code
        if 100 <= code < 200 and code != _SWITCHING:
            self._informational += 1
            if self._informational > _MOST_INFORMATIONAL:
                self._give_up(TooManyInformational())
                return
        else:
            self._is_waiting = False
            self._is_bodyless = self._skip_payload or code in _BODYLESS
            self._deadline.stop()
        super().feed_data(data, size)

    def close(self) -> None:
        """Close the connection, by a reset if a request is under way."""
        if self.transport is None or not (self._is_waiting or self._is_sending):
            super().close()
            return
        line = self.transport.get_extra_info("socket")
        with suppress(OSError):  # it is broken already
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.abort()

    def stop_waiting(self) -> None:
        """Nobody waits for the first answer on this connection any more."""
        if self.waiting is not None:
            self.waiting.end()
            self.waiting = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone."""
        self.stop_waiting()
        self._deadline.close()
        super().connection_lost(exc)

    def _give_up(self, error: Exception | None) -> None:
        self._is_waiting = False
        self._deadline.close()
        if error is not None:
            self.set_exception(error)
        self.force_close()
        if self.transport is not None:
            self.transport.abort()
