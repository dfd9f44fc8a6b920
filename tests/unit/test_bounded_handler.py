"""`BoundedHandler`, where no server shows the case reliably."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from registry_push.http.bounded_handler import BoundedHandler


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
    handler, line = BoundedHandler(asyncio.get_running_loop()), Gone()
    handler.connection_made(line)
    setattr(handler, attribute, True)
    handler.close()
    assert line.is_aborted
