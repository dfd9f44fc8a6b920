"""`Connector`: what opens connections, each step within the time that the user allows."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.tracing import Trace


class Connector(aiohttp.TCPConnector):
    """As aiohttp's, which bounds the connection to a proxy but not what that says to CONNECT (3.14)."""

    async def _create_proxy_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # aiohttp's signature
    ) -> tuple[asyncio.BaseTransport, ResponseHandler]:
        # Within it TLS is spoken to the registry as well: no line needs more for all of it than for one answer.
        async with asyncio.timeout(timeout.sock_connect):
            return await super()._create_proxy_connection(req, traces, timeout)
