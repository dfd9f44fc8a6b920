"""HTTP: one request, one answer, every foreign exception translated. Knows no credentials and no registries."""

from __future__ import annotations

import asyncio
import io
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp
from aiohttp.client_middlewares import ClientHandlerType, ClientMiddlewareType
from multidict import CIMultiDict
from yarl import URL

from ..content.read_errors import shortage
from ..content.threads import no_thread
from ..errors import RegistryPushError
from ..events import Sink, ignore
from ..model import HTTPOrigin
from ..pauses import Pauses, loop_time
from ..protocol.secrets import Secrets
from ..settings import Settings
from .address_judge import judged
from .address_rules import AddressRules
from .aiohttp_fixes import Connector, ImpatientRequest, TimedResponse
from .answering_hosts import AnsweringHosts
from .exchanges import Exchanges
from .proxies import Proxies, Proxy
from .response import MAX_BODY_BYTES, Response
from .response_body import Pieces, read_whole
from .retries import Gate, Retries
from .sockets import socket_factory
from .tls import TLSContexts

if TYPE_CHECKING:
    from .body.payload import SpanPayload
    from .tls_trouble import Circumstances

# Servers close idle connections after 60 s or more (nginx 75, Go none); being first spares a lost request.
_KEEP_ALIVE: Final = 45.0
_client_timeout = lru_cache(64)(aiohttp.ClientTimeout)  # most requests have the same


class _Opened(Exception):
    """Raised to end a request whose only purpose was to open a connection."""


class Transport:
    """The connections of one run, or of all runs of a process.

    At most `connections` are open at once, and `per_host` to one host and port (0: any number). An async context
    manager; cancelling a call closes its connection only. The constructor raises `InvalidSettings` for a proxy of the
    environment that can't be used.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        sink: Sink = ignore,
        connections: int = 0,
        per_host: int = 0,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
        clock: Callable[[], float] = loop_time,
    ) -> None:
        self.now = now
        self.pauses = Pauses(settings.retries, settings.retry_for, sleep=sleep, clock=clock)
        self.secrets = Secrets()
        self._settings = settings
        self._timeout = settings.timeout
        self.sink = sink
        self._exchanges = Exchanges(sink, self.secrets, clock) if settings.debug else None
        self._connections = connections
        self._per_host = per_host
        self._session: aiohttp.ClientSession | None = None
        self._tls = TLSContexts(settings)
        self.answered = AnsweringHosts()
        self._retries = Retries(self.send, self.has_answered, self.pauses, self.secrets, now=now, sink=sink)
        self._proxies = Proxies.of(settings.environ)
        self._rules = AddressRules(settings, self._proxies, self._addresses_of)

    async def __aenter__(self) -> Self:
        # Cookies and netrc are credentials that would cross origins (CVE-2026-47265), so neither is used. Bodies are
        # limited by `registry/limits.py`; aiohttp's limit is for a process with many runs.
        self._session = aiohttp.ClientSession(
            connector=Connector(
                limit=self._connections,
                limit_per_host=self._per_host,
                keepalive_timeout=_KEEP_ALIVE,
                timeout=self._timeout,
                socket_factory=judged(socket_factory(self._settings.congestion)),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": self._settings.user_agent, "Accept-Encoding": "identity"},
            skip_auto_headers=("Content-Type", "Accept"),
            request_class=ImpatientRequest,
            response_class=TimedResponse,
        )
        # 3.14: else aiohttp itself sends an idempotent request again when a kept-alive connection breaks.
        self._session._retry_connection = False
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    def know_registry(self, origin: HTTPOrigin) -> None:
        """Show `origin` the client certificate from now on; storages and token services elsewhere are not shown it."""
        self._tls.know_registry(origin)

    def has_answered(self, url: str) -> bool:
        """Return whether the origin of `url` has answered in this run; one that has not may not exist."""
        return HTTPOrigin.of(url) in self.answered

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | SpanPayload | None = None,
        *,
        patience: float = 0.0,
        most: int = MAX_BODY_BYTES,
        named_by: HTTPOrigin | None = None,
    ) -> Response:
        """Send one request, once, and read the answer. Redirects are answers like any other.

        The answer may take `patience` seconds longer than usual, and have `most` bytes. Of an error's body only the
        beginning is read, and our secrets are hidden where it quotes them. `named_by` is the registry that named `url`,
        None if the user did: see `AddressRules`.
        Raises `ConnectionLost`, `TimedOut`, `TLSFailed`, `ProtocolViolation` (`ForeignAddress` is one),
        `ProxyRefused`, and what reading the source raises.
        """
        with self.secrets:
            if self._exchanges is None:
                return await self._send(method, url, headers, body, patience, most, named_by)
            with self._exchanges.told(method, url, headers, body) as exchange:
                exchange.response = await self._send(method, url, headers, body, patience, most, named_by)
            return exchange.response

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | SpanPayload | None,
        patience: float,
        most: int,
        named_by: HTTPOrigin | None,
    ) -> Response:
        rules = await self._rules.of(url, named_by)
        span = None if body is None or isinstance(body, bytes) else body
        try:
            async with self._request(method, url, headers, body, self._timeout + patience, rules) as response:
                if response.status == 400:
                    from .tls_trouble import check_refusal  # what only trouble needs is imported when there is some

                    await check_refusal(self._circumstances(url, named_by))
                self.answered.add(HTTPOrigin.of(url), response)
                content = b"" if method == "HEAD" else await read_whole(response, most, patience=self._timeout)
                if span is not None:
                    await span.at_rest()
                    if not span.complete:
                        response.close()  # an early answer: the rest of the body is of no use on this connection
            if response.connection is not None:
                # A writer that has just ended has not released it yet; the next request would open another.
                await asyncio.sleep(0)
            if response.status >= 400:
                content = self.secrets.hide_bytes(content)
            self._judge_proxy(response, url, content)
            return Response(response.status, url, response.headers, content, getattr(response, "waited", None))
        except RegistryPushError:
            raise
        except (aiohttp.ClientError, OSError, ssl.SSLError, ValueError) as error:
            if span is not None and (failure := span.failure(url)) is not None:
                raise failure from error
            raise await self._explained(error, url, named_by) from error
        except RuntimeError as error:
            if (short := no_thread(error)) is not None:  # to look up the host
                raise short from error
            raise

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        most: int = MAX_BODY_BYTES,
        named_by: HTTPOrigin | None = None,
        service: str | None = None,
        stop: asyncio.Event | None = None,
        gate: Gate | None = None,
    ) -> Response:
        """As `send`, but try again while the line or the registry has a problem that may pass.

        Only for requests that may be sent twice; see `Retries.request`. Raises `Unavailable` if the problem does not
        pass, and `Interrupted` if `stop` is set in a pause.
        """
        return await self._retries.request(
            method, url, headers, body, most=most, named_by=named_by, service=service, stop=stop, gate=gate
        )

    @asynccontextmanager
    async def stream(
        self, url: str, headers: Mapping[str, str], *, named_by: HTTPOrigin | None = None
    ) -> AsyncIterator[tuple[Response, AsyncIterator[bytes]]]:
        """GET `url` and yield the answer without its body, and the body in pieces. Raises as `send`."""
        with self.secrets:
            rules = await self._rules.of(url, named_by)
            try:
                async with self._request("GET", url, headers, None, self._timeout, rules) as response:
                    self.answered.add(HTTPOrigin.of(url), response)
                    self._judge_proxy(response, url, b"")
                    yield Response(response.status, url, response.headers), Pieces(response, self._timeout)
            except RegistryPushError:
                raise
            except (aiohttp.ClientError, OSError, ssl.SSLError, ValueError) as error:
                raise await self._explained(error, url, named_by) from error

    def _proxy_of(self, url: str) -> Proxy | None:
        return self._proxies.to(HTTPOrigin.of(url))

    def _judge_proxy(self, response: aiohttp.ClientResponse, url: str, body: bytes) -> None:
        """Raise `ConnectionLost` or `ProxyRefused` if the proxy itself has answered, as it can to plain http."""
        if response.status >= 400 and url.startswith("http:") and (proxy := self._proxy_of(url)) is not None:
            from .proxy_errors import proxy_refusal

            refusal = proxy_refusal(response.status, response.headers, body, url, proxy)
            if refusal is not None:
                raise refusal

    async def open_connections(self, url: str, count: int) -> None:
        """Open `count` connections to the host of `url` for the next requests, which will get any error.

        Do nothing if connections are limited: those of a host that hangs would block others. Cancelling is safe, and
        open connections stay open.
        """
        if not self._connections:
            await asyncio.gather(*[self._open_connection(url) for _ in range(count)])

    async def _open_connection(self, url: str) -> None:
        session, timeout = self._session, aiohttp.ClientTimeout(sock_connect=self._timeout)
        assert session is not None and isinstance(session.connector, Connector), "Transport is used inside `async with`"
        connector = session.connector

        # aiohttp connects for a request, by its proxy and certificates. This one is never sent.
        async def opened(request: aiohttp.ClientRequest, _: ClientHandlerType) -> aiohttp.ClientResponse:
            await connector.open_ahead(request, timeout)
            raise _Opened

        with suppress(_Opened, RegistryPushError, aiohttp.ClientError, OSError, ssl.SSLError, ValueError):
            async with self._request("HEAD", url, {}, None, 0.0, (opened,)):
                raise AssertionError("it was to be opened only")

    async def _addresses_of(self, registry: HTTPOrigin) -> frozenset[str]:
        """Return the addresses that `registry` was reached at; connect first if it was not reached in this run."""
        assert self._session is not None and isinstance(self._session.connector, Connector)
        reached = self._session.connector.reached
        if registry not in reached:
            await self._open_connection(f"{registry}/")
        return frozenset(reached[registry])

    async def _explained(self, error: Exception, url: str, named_by: HTTPOrigin | None) -> RegistryPushError:
        system = getattr(error, "os_error", error)
        if isinstance(system, OSError) and (short := shortage(system, f"no connection to {HTTPOrigin.of(url).netloc}")):
            return short  # where no file can be opened, no module can be imported either
        from .tls_trouble import explained

        return await explained(error, self._circumstances(url, named_by), self._proxy_of(url))

    def _circumstances(self, url: str, named_by: HTTPOrigin | None) -> Circumstances:
        from .tls_trouble import Circumstances

        origin = HTTPOrigin.of(url)
        may_look = named_by in (None, origin) and self._proxies.to(origin) is None
        is_first, is_registry = origin not in self.answered, self._tls.is_registry(origin)
        return Circumstances(url, origin, self._settings.at(origin.netloc), is_first, is_registry, may_look)

    def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | SpanPayload | None,
        patience: float,
        middlewares: Sequence[ClientMiddlewareType] | None = None,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        assert self._session is not None, "Transport is used inside `async with`"
        origin = HTTPOrigin.of(url)
        self.secrets.sent(url, headers, body if isinstance(body, bytes) else None)
        proxy = self._proxies.to(origin)
        # The proxy reads requests of plain http; of https only CONNECT, which has headers of its own.
        for_proxy = {"Proxy-Authorization": proxy.authorization} if proxy and proxy.authorization else {}
        if proxy and proxy.authorization:
            self.secrets.sent_credential(proxy.authorization)
        # aiohttp takes one TLS context: the origin's, or the proxy's if only the proxy speaks TLS.
        encrypted = origin if origin.scheme == "https" or proxy is None else proxy.origin
        return self._session.request(
            method,
            URL(url, encoded=True),  # presigned and session URLs are sent byte for byte
            headers=CIMultiDict({**headers, **for_proxy} if origin.scheme == "http" else headers),
            # As a file: a manifest may have 4 MiB, and aiohttp warns of `bytes` over 1 MiB.
            data=io.BytesIO(body) if isinstance(body, bytes) else body,
            allow_redirects=False,
            ssl=self._tls.of(encrypted) if encrypted.scheme == "https" else True,
            proxy=str(proxy) if proxy else None,
            proxy_headers=for_proxy or None,
            timeout=_client_timeout(total=None, sock_connect=self._timeout, sock_read=patience),
            middlewares=middlewares,
        )
