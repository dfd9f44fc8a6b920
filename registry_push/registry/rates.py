"""`Rates`: requests to one registry at the rates that it bears, for each kind of request by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from ..events import Sink
from ..http.response import Response
from ..http.transport import Transport
from ..model import HTTPOrigin
from ..protocol.request_kind import RequestKind, kind_of
from ..protocol.response import RegistryResponse
from .gate import Gate

if TYPE_CHECKING:
    from .quota import Quota

# Answers that are about the rate.
_NOT_NOW: Final = (429, 503)


class Rates:
    """Sends requests to `origin`, and to where it sends us.

    `ratelimit_min` is the number of manifest reads that is left unused where the registry says how many it allows;
    None: it is not asked for. `stop` ends every wait. Without retries, nothing is held: who waits does so for a retry.
    """

    def __init__(
        self,
        origin: HTTPOrigin,
        transport: Transport,
        stop: asyncio.Event | None = None,
        *,
        sink: Sink | None = None,
        ratelimit_min: int | None = None,
    ) -> None:
        self._origin = origin
        self._root = f"{origin}/"
        self._transport = transport
        self._stop = stop
        self._sink = sink or transport.sink
        self._gates: dict[RequestKind, Gate] = {}
        self._quota: Quota | None = None
        if ratelimit_min is not None:
            from .quota import Quota  # few ask for it

            self._quota = Quota(origin, ratelimit_min, transport.pauses, now=transport.now, sink=self._sink, stop=stop)

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        """As `Transport.request`, when the registry wants it. Raises `RateLimited` if it never does."""
        kind = kind_of(method, url) if url.startswith(self._root) else None
        send = partial(self._transport.request, named_by=self._origin, stop=self._stop)
        gate = self._gate(kind) if kind is not None else None
        if self._quota is None or kind not in (RequestKind.MANIFEST, RequestKind.LOOKUP):
            return await send(method, url, headers, body, gate=gate)
        if kind is RequestKind.LOOKUP:
            response = await send(method, url, headers, body, gate=gate)
            if "/manifests/" in url:
                self._quota.saw(response)
            return response
        ask = partial(send, "HEAD", url, headers, gate=self._gate(RequestKind.LOOKUP))
        async with self._quota.read(ask) as read:
            read.response = await send(method, url, headers, body, gate=gate)
        return read.response

    @asynccontextmanager
    async def stream(
        self, url: str, headers: Mapping[str, str]
    ) -> AsyncIterator[tuple[Response, AsyncIterator[bytes]]]:
        """As `Transport.stream`, when the registry wants it. Raises `RateLimited` if it never does."""
        kind = kind_of("GET", url) if url.startswith(self._root) else None
        gate = self._gate(kind) if kind is not None else None
        while True:
            ticket, answer = await gate.enter() if gate is not None else 0, None
            is_held = has_left = False
            try:
                async with self._transport.stream(url, headers, named_by=self._origin) as (response, pieces):
                    if gate is not None:
                        # A body that moves holds nobody up: it may wait for one that cannot begin before it ends.
                        has_left, answer = True, self._read(response)
                        is_held = gate.leave(ticket, answer)
                    if not is_held:
                        yield response, pieces
            finally:
                if gate is not None and not has_left:
                    gate.leave(ticket, None)
            if not is_held:
                return

    def uploads_answered(self, response: Response) -> None:
        """Take the answer to a request of an upload, which has tries of its own."""
        is_ours = response.status in _NOT_NOW and response.url.startswith(self._root)
        if is_ours and (gate := self._gate(RequestKind.UPLOAD)) is not None:
            gate.hold(self._read(response).retry_after)

    async def until_uploads(self) -> None:
        """Wait while the registry wants no uploads. Raises `Interrupted` at a stop."""
        if (gate := self._gates.get(RequestKind.UPLOAD)) is not None:
            await gate.rest()

    def stop(self) -> None:
        """End all waits."""
        for gate in self._gates.values():
            gate.stop()

    def _gate(self, kind: RequestKind) -> Gate | None:
        if not self._transport.pauses.has_retries:
            return None
        if (gate := self._gates.get(kind)) is None:
            gate = self._gates[kind] = Gate(
                self._origin, kind, self._transport.pauses, sink=self._sink, stop=self._stop
            )
        return gate

    def _read(self, response: Response) -> RegistryResponse:
        if response.status not in _NOT_NOW:
            return RegistryResponse(response.status, response.url)
        now = self._transport.now()
        return RegistryResponse.read(response.status, response.url, response.headers, response.body, now=now)
