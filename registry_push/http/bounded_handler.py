"""`BoundedHandler`: a connection on which answers are bounded. Works around aiohttp, as `aiohttp_fixes` does."""

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
# Seconds. Headers that begin in time get as long again to end, but no longer than this.
_GRACE: Final = 30.0
_SWITCHING: Final = 101
# Answers that have no body, whatever follows their headers (RFC 9112, section 6.3).
_BODYLESS: Final = (204, 304)
_END_OF_HEAD: Final = re.compile(rb"\n\r?\n")
# Bytes of the end of headers that may be in an earlier piece.
_MOST_BEFORE: Final = 2
# Bytes. Threads read the bodies of plain HTTP past aiohttp, which should have little of them by then. With asyncio's
# own 256 KiB, 400 blobs of 4.5 MiB into a layout take 1.03 of the time.
_PLAIN: Final = 64 * 1024
# The same for TLS, of which the loop reads all.
BUFFER: Final = 256 * 1024
# `struct linger`: on, zero seconds. Unsent data is dropped, and the other side gets a reset.
_RESET: Final = struct.pack("ii", 1, 0)


class TooManyInformational(aiohttp.ClientError):
    """One informational answer followed another, and no other came."""


class HeadTooLate(aiohttp.SocketTimeoutError):
    """An answer began in time, but its headers did not end in time."""


def longest(patience: float) -> float:
    """Return the seconds for all headers of an answer whose first byte may take `patience` seconds."""
    return patience + min(patience, _GRACE)


class BoundedHandler(ResponseHandler, asyncio.BufferedProtocol):
    """A connection on which answers are bounded.

    3.14: each byte restarts `sock_read` (since pull request 4142), so that headers that arrive byte by byte, and
    informational answers, never end. Answers to no request are queued, however many; here they close the connection.

    3.14: if a body follows an answer that has none, as when a balancer answers HEAD with its whole page, the answer is
    lost (aiohttp issue 10322); here the body is dropped with the connection.

    3.14: an abandoned request is closed in order, after all of it that is unsent. Here, if it was not answered, the
    connection is reset: the unsent rest would keep the line and the server busy, and an end would look like a cut.

    3.14: each piece of an answer makes a new timer for `sock_read`. Here one entry in the event loop is used again, as
    by `Alarm`: 400 small blobs take 0.99 of the instructions.

    The connections of a loop share one `buffer` of `BUFFER` bytes for what they receive.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, buffer: memoryview) -> None:
        super().__init__(loop)
        self._incoming = buffer
        self._informational = 0
        self._is_waiting = False
        self._is_sending = False
        self._is_bodyless = False
        self._is_left = False
        self._before = b""
        self.was_answered = False
        self.waiting: Waiting | None = None
        self._deadline = Alarm(loop, lambda: self._give_up(HeadTooLate()))
        self._silence = Alarm(loop, self._on_read_timeout)

    def set_response_params(self, **params: Any) -> None:
        """A request is about to be sent."""
        self._informational, self._is_waiting, self._is_sending = 0, True, True
        self._is_bodyless, self._before = False, b""
        super().set_response_params(**params)

    def start_timeout(self) -> None:
        """All of the request is sent."""
        self._is_sending = False
        self._reschedule_timeout()
        if self._is_waiting and self._read_timeout:
            self._deadline.set(longest(self._read_timeout))

    def exchange_is_over(self) -> None:
        """Stop the clocks: the answer is done with.

        3.14: the clock starts when the body has ended, even if the answer is done with by then, and breaks the next
        exchange on this connection when its time is over (aiohttp issue 13000, another way to the same).
        """
        self._read_timeout = None
        self._silence.stop()
        self._deadline.stop()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go, before anything else runs in the loop."""
        return self._incoming if sizehint > 0 else self._incoming[:_PLAIN]  # a line gives no hint, TLS does

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was received into the buffer."""
        self.data_received(bytes(self._incoming[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take received data. Headers are parsed apart from what follows, in which an error would lose them."""
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
        """Split `data` after the end of the headers."""
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
        line = self.transport.get_extra_info("socket")  # None: TLS over a line that is gone
        with suppress(OSError):  # it is broken already
            if line is not None:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.abort()

    def stop_reading(self) -> None:
        """Read nothing until `read_again`: threads read the rest of the answer."""
        self._is_left = True
        if self.transport is not None:
            self.transport.pause_reading()

    def read_again(self) -> None:
        """Go on reading."""
        self._is_left = False
        if self.transport is not None:
            self.transport.resume_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Read again, unless threads do.

        3.14: a connection is free for the next request when an answer has come, and not when it is read. Whoever reads
        the rest of the earlier answer makes room for more, and the loop would take bytes of the next one that belong to
        its threads: a copy lost 768 KiB in the middle of a blob.
        """
        if not self._is_left:
            super().resume_reading(resume_parser)

    def take_nothing(self) -> None:
        """The body was read past aiohttp: whatever follows on this connection ends it."""
        self._is_bodyless = True

    def stop_waiting(self) -> None:
        """Stop waiting for the first answer on this connection."""
        if self.waiting is not None:
            self.waiting.end()
            self.waiting = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone."""
        self.stop_waiting()
        self._deadline.close()
        super().connection_lost(exc)
        self._silence.close()

    def _reschedule_timeout(self) -> None:
        if self._read_timeout:
            self._silence.set(self._read_timeout)
        else:
            self._silence.stop()

    def _drop_timeout(self) -> None:
        self._silence.stop()

    def _give_up(self, error: Exception | None) -> None:
        self._is_waiting = False
        self._deadline.close()
        if error is not None:
            self.set_exception(error)
        self.force_close()
        if self.transport is not None:
            self.transport.abort()
