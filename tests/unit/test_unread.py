"""What has come of a body before it breaks off is read."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader

from registry_push.http.response_body import Pieces


async def test_what_came_before_the_line_broke_is_not_lost() -> None:
    content = StreamReader(Mock(spec=BaseProtocol), limit=2**16, loop=asyncio.get_running_loop())
    content.feed_data(b"some of it")
    content.set_exception(aiohttp.ClientPayloadError("broke"))
    response: Any = SimpleNamespace(content=content, url="http://r.example/")
    pieces = Pieces(cast(aiohttp.ClientResponse, response), 60)
    assert await anext(pieces) == b"some of it"
    with pytest.raises(aiohttp.ClientPayloadError):
        await anext(pieces)
