"""`RefusalWords`: why a registry refuses a HEAD, whose answer has no body to say it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..errors import RegistryPushError, Unauthorized, Unavailable
from ..http.response_body import beginning_of
from ..http.transport import Transport
from ..model import HTTPOrigin
from ..protocol.diagnostics import diagnose
from ..protocol.response import Kind, RegistryResponse
from .root import Root


class RefusalWords:
    """Asks the registry at `origin` again by GET, and reads no more of the answer than a message has."""

    def __init__(self, origin: HTTPOrigin, transport: Transport, root: Root) -> None:
        self._origin = origin
        self._transport = transport
        self._root = root

    async def add_to(self, error: Unavailable | Unauthorized, url: str, headers: Mapping[str, str]) -> None:
        """Raise `error` with the registry's words, if it has any."""
        kind = Kind.BUSY if isinstance(error, Unavailable) else Kind.EXPIRED
        words = diagnose(await self.said(url, headers, lambda status: RegistryResponse(status, url).kind is kind))
        if words.text:
            raise type(error)(f"{error.message}: {words}", hint=error.next_step, url=error.url) from error

    async def said(self, url: str, headers: Mapping[str, str], is_the_same: Callable[[int], bool]) -> bytes:
        """Return the body that a GET of `url` is refused with, if by the same status; else that of `/v2/`."""
        try:
            async with self._transport.stream(url, headers, named_by=self._origin) as (response, pieces):
                if response.status >= 400 and is_the_same(response.status):
                    said = self._transport.secrets.hide_bytes(await beginning_of(pieces))
                    if diagnose(said).text:
                        return said
        except RegistryPushError:
            pass
        root = await self._root.answer()
        return root.body if root is not None and root.status >= 400 else b""
