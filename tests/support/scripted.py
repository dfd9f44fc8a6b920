"""A server on loopback that says what a test has written down, and writes down what it was asked.

It speaks HTTP/1.1 by hand: a test says at which byte the line is cut, what comes before the body was read, and what
is no HTTP at all.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qs

from multidict import CIMultiDict

from registry_push.auth.credentials import Credential
from registry_push.auth.identity import Identity
from registry_push.auth.tokens import Authenticator
from registry_push.events import Sink, ignore
from registry_push.http.transport import Transport
from registry_push.model import HTTPOrigin
from registry_push.registry.client import Client
from registry_push.settings import Settings

from . import leaks

_PIECE: Final = 64 * 1024
# A home without logins, keys and certificates, whoever runs the tests.
NOWHERE: Final = Path("no-such-home")


@dataclass(frozen=True, slots=True)
class Says:
    """An answer. Without a fault it is sent when the request's body has been read; `Content-Length` is added."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    after: asyncio.Event | None = None  # sent when this is set
    early: bool = False  # sent before the body is read; the rest of the body is read and thrown away
    deaf: bool = False  # as `early`, but the rest of the body is left on the line
    then_closes: bool = False  # the connection ends behind the answer, which did not announce it
    cut_request_at: int | None = None  # so many bytes of the body are read, then the line is cut without an answer
    cut_answer_at: int | None = None  # so many bytes of the answer's body are sent, then the connection ends
    raw: bytes | None = None  # sent instead of an answer, then the connection ends


@dataclass(slots=True)
class Seen:
    """A request as it came. `received` counts its body's bytes, also where they were thrown away."""

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes = b""
    received: int = 0

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's fields; for a form, the body's."""
        form = self.headers.get("Content-Type") == "application/x-www-form-urlencoded"
        return parse_qs(self.body.decode() if form else self.target.partition("?")[2])

    @property
    def authorization(self) -> str | None:
        """The header."""
        return self.headers.get("Authorization")


Answer = Says | Callable[[Seen], Says]


@dataclass
class Scripted:
    """The server; an async context manager. `seen` has every request, in order of arrival."""

    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    otherwise: Answer = Says(501, body=b"nothing is scripted for this")  # the answer to what no test has written down
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    _script: dict[tuple[str, str], list[Answer]] = field(default_factory=dict)
    _open: dict[asyncio.Task[Any], asyncio.StreamWriter] = field(default_factory=dict)
    _server: asyncio.Server | None = None

    def on(self, method: str, path: str, *answers: Answer) -> None:
        """What to answer: one after the other, the last again and again. Anything else gets `otherwise`."""
        self._script[method, path] = list(answers)

    def requests(self, method: str, path: str | None = None) -> list[Seen]:
        """Those of `seen` with this method, and path."""
        return [each for each in self.seen if each.method == method and path in (None, each.path)]

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:<port>`."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, 0, ssl=self.tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        tasks = list(self._open)
        for task, writer in self._open.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            del self._open[task]
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serves one request; whether there may be another on this connection."""
        first = await reader.readexactly(1)
        if not first.isalpha():  # a TLS handshake, most likely: answered as Go's server does
            writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            return False
        head = first + await reader.readuntil(b"\r\n\r\n")
        start, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, target, _ = start.split(" ")
        fields = CIMultiDict[str]((name, value) for name, _, value in (line.partition(": ") for line in lines))
        seen = Seen(method, target, fields)
        self.seen.append(seen)
        for name in ("Authorization", "Proxy-Authorization"):
            leaks.current().learn_header(fields.get(name))
        leaks.current().learn_target(target)
        queue = self._script.get((method, seen.path), [self.otherwise])
        says = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(says, Says) and (says.early or says.deaf or says.cut_request_at is not None):
            return await self._answer_early(says, seen, reader, writer)
        seen.body = await reader.readexactly(int(fields.get("Content-Length", "0")))
        seen.received = len(seen.body)
        if method == "POST":
            leaks.current().learn_fields({name: values[0] for name, values in seen.query.items()})
        if not isinstance(says, Says):
            says = says(seen)
        if says.after is not None:
            await says.after.wait()
        if says.raw is not None:
            writer.write(says.raw)
            return False
        cut = says.cut_answer_at
        writer.write(_head(says) + (b"" if method == "HEAD" else says.body[:cut]))
        await writer.drain()
        return cut is None and not says.then_closes

    async def _answer_early(
        self, says: Says, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        if says.cut_request_at is not None:
            seen.body = await reader.readexactly(says.cut_request_at)
            seen.received = len(seen.body)
            writer.transport.abort()
            return False
        writer.write(_head(says) + says.body)
        await writer.drain()
        if says.deaf:
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # typeshed knows the base class only
            await asyncio.Event().wait()
        while piece := await reader.read(_PIECE):
            seen.received += len(piece)
        return False


def _head(says: Says) -> bytes:
    named = {name.lower() for name, _ in says.headers}
    if "content-length" in named or says.status == 204:
        length: tuple[tuple[str, str], ...] = ()
    else:
        length = (("Content-Length", str(len(says.body))),)
    lines = [f"HTTP/1.1 {says.status} Said", *(f"{name}: {value}" for name, value in (*says.headers, *length))]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def unauthorized(*challenges: str, body: bytes = b"") -> Says:
    """A 401 with these challenges, each in a header of its own."""
    return Says(401, tuple(("WWW-Authenticate", challenge) for challenge in challenges), body)


def token(value: str, **more: Any) -> Says:
    """A token service's answer."""
    leaks.current().learn_fields({"token": value, **more})
    return Says(200, (("Content-Type", "application/json"),), json.dumps({"token": value, **more}).encode())


def wants(*values: str, otherwise: Says, then: Says | None = None) -> Callable[[Seen], Says]:
    """`then` (200) for those who send one of these `Authorization`s, `otherwise` for the rest."""
    return lambda seen: (then or Says(200)) if seen.authorization in values else otherwise


@dataclass
class Clock:
    """Time that passes where a test says so, and where somebody sleeps."""

    time: float = 1_700_000_000.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        """Unix seconds."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Lets `seconds` pass at once."""
        self.slept.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)


@dataclass
class SignIn:
    """Who a client is, to the `Authenticator`."""

    login: Credential | None = None
    identity: Identity | None = None
    prefers_signature: bool = False
    allowed_realms: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)  # the repositories a login was looked up for

    async def lookup(self, repository: str) -> Credential | None:
        """The login."""
        self.asked.append(repository)
        return self.login

    async def find_identity(self) -> Identity | None:
        """The key."""
        return self.identity


@asynccontextmanager
async def opened(
    origin: str, who: SignIn | None = None, *, clock: Clock | None = None, sink: Sink = ignore, **settings: Any
) -> AsyncIterator[Client]:
    """A client of the registry at `origin`. Nothing it does waits for the clock."""
    who, clock = who or SignIn(), clock or Clock()
    registry = HTTPOrigin.of(origin)
    told = Settings(**{"home": NOWHERE, "retries": 0, **settings})
    async with Transport(told, sink=leaks.noting(sink), now=clock.now, sleep=clock.sleep) as transport:
        authenticator = Authenticator(
            registry,
            transport,
            login=who.lookup,
            identity=who.find_identity,
            prefers_signature=who.prefers_signature,
            allowed_realms=who.allowed_realms,
        )
        yield Client(registry, transport, lambda: authenticator)


def authorizations(seen: Iterable[Seen]) -> list[str | None]:
    """The `Authorization` of each request."""
    return [each.authorization for each in seen]
