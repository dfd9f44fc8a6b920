"""`Retries`: requests that are tried again while the line or the server has a problem that may pass."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from ..errors import TLSFailed, Unavailable, redacted
from ..events import Retrying, Sink
from ..model import HTTPOrigin
from ..pauses import Pauses
from ..protocol.response import Kind, RegistryResponse
from ..protocol.secrets import Secrets
from .response import Response

# The answers of a registry that is too busy.
_NOT_NOW: Final = (429, 503)


class Send(Protocol):
    """Send one request, once."""

    def __call__(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        /,
        *,
        most: int,
        named_by: HTTPOrigin | None,
    ) -> Awaitable[Response]:
        """As `Transport.send`."""
        ...


class Gate(Protocol):
    """Holds requests while the server wants none. Each that has entered leaves."""

    async def enter(self) -> int:
        """Wait until a request may be sent, and return its ticket. Raises `Unavailable` and `Interrupted`."""
        ...

    def leave(self, ticket: int, answer: RegistryResponse | None) -> bool:
        """Take the answer, None if there was none that counts; return whether the request is to enter again.

        Raises `Unavailable` if that has been of no use for too long.
        """
        ...


class Retries:
    """Tries again by `pauses`."""

    def __init__(
        self,
        send: Send,
        has_answered: Callable[[str], bool],
        pauses: Pauses,
        secrets: Secrets,
        *,
        now: Callable[[], float],
        sink: Sink,
    ) -> None:
        self._send = send
        self._has_answered = has_answered
        self._pauses = pauses
        self._secrets = secrets
        self._now = now
        self._sink = sink
        self._served: set[str] = set()  # services that have answered anything but "not now"

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        most: int,
        named_by: HTTPOrigin | None,
        service: str | None,
        stop: asyncio.Event | None,
        gate: Gate | None,
    ) -> Response:
        """Send a request that may be sent twice, as `Transport.request`.

        The first one to a `service` (default: the origin) is tried again once after 429 or 503, whatever the number of
        retries: many registries answer so to several clients that start at once. With a `gate`, each try enters there,
        and what it holds back costs no tries.
        """
        service = service or str(HTTPOrigin.of(url))
        budget, silent = self._pauses.budget(), 0
        while True:
            retry_after: float | None = None
            failure: Unavailable
            response: Response | None = None
            answer: RegistryResponse | None = None
            ticket = await gate.enter() if gate is not None else 0
            try:
                response = await self._send(method, url, headers, body, most=most, named_by=named_by)
                answer = RegistryResponse.read(response.status, url, response.headers, response.body, now=self._now())
            except TLSFailed:
                raise
            except Unavailable as error:
                failure = error
                silent += not self._has_answered(url)
                if silent > 1:  # more likely misspelt than busy
                    raise
            finally:
                is_held = gate is not None and gate.leave(ticket, answer)
            if response is not None and answer is not None:
                if answer.kind is not Kind.BUSY:
                    self._served.add(service)
                    return response
                if is_held:
                    continue
                if answer.status in _NOT_NOW and service not in self._served:
                    self._served.add(service)
                    budget = self._pauses.budget(least=1)
                failure, retry_after = (
                    Unavailable(f"{HTTPOrigin.of(url).netloc} answers {answer}", url=url),
                    answer.retry_after,
                )
            pause = budget.spend(retry_after)
            if pause is None:
                raise failure
            self._sink(Retrying(self._secrets.hide(f"{method} {redacted(url)}"), failure.message, pause))
            await self._pauses.rest(pause, stop)
