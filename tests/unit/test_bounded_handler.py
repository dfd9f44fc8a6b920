"""`BoundedHandler`, where no server shows the case reliably."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from registry_push.http.bounded_handler import BUFFER, BoundedHandler


class Gone(asyncio.Transport):
    """A TLS transport after its connection is lost and before its protocol is told: it no longer has a socket."""

    is_aborted = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        self.is_aborted = True


@pytest.mark.parametrize("attribute", ["_is_sending", "_is_waiting"])
async def test_a_request_over_a_line_that_is_gone_is_ended(attribute: str) -> None:
    handler, line = BoundedHandler(asyncio.get_running_loop(), memoryview(bytearray(BUFFER))), Gone()
    handler.connection_made(line)
    setattr(handler, attribute, True)
    handler.close()
    assert line.is_aborted


async def test_bytes_received_stay_as_they_were_while_the_buffer_takes_the_next() -> None:
    received: list[bytes] = []

    class Recording(BoundedHandler):
        def data_received(self, data: bytes) -> None:
            received.append(data)

    buffer = memoryview(bytearray(BUFFER))
    for number, hint in enumerate((-1, BUFFER, -1)):
        handler = Recording(asyncio.get_running_loop(), buffer)
        handler.get_buffer(hint)[:3] = b"%d--" % number
        handler.buffer_updated(3)
    assert received == [b"0--", b"1--", b"2--"]
