"""`Resolver`: looks up names within the user's timeout."""

from __future__ import annotations

import asyncio
import socket

import aiohttp
from aiohttp.abc import ResolveResult


class Resolver(aiohttp.ThreadedResolver):
    """As aiohttp's, but a lookup gets `patience` seconds.

    aiohttp's `sock_connect` begins after the lookup, which takes half a minute where two name servers are silent.
    """

    def __init__(self, patience: float) -> None:
        super().__init__()
        self._patience = patience

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of `host`. Raises `socket.gaierror`, EAI_AGAIN if there is no answer in time."""
        try:
            async with asyncio.timeout(self._patience):
                return await super().resolve(host, port, family)
        except TimeoutError as error:
            words = f"no answer from the name server in {self._patience:g} s"
            raise socket.gaierror(socket.EAI_AGAIN, words) from error
