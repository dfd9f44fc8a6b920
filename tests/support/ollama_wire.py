"""Requests as Ollama's own client makes them (server/upload.go and x/transfer/upload.go there), and sockets by hand."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from registry_push.embedded import EmbeddedRegistry, Ollama, Options

from .registries import EmbeddedFactory
from .wire import OCTETS, Reply, Wire, digest_of


class OllamaWire(Wire):
    """Requests to one repository of an embedded registry with `Options.ollama`."""

    registry: EmbeddedRegistry

    async def announce(self, content: bytes, **headers: str) -> Reply:
        """The answer to the POST of a direct upload."""
        told = {"X-Redirect-Uploads": "2", "X-Content-Length": str(len(content))}
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in (told | changed).items() if value}
        return await self.send("POST", f"{self.base}/blobs/uploads/?digest={digest_of(content)}", headers=sent)

    async def ask(self, session: str, first: int, part: bytes, *, redirect: bool = True) -> Reply:
        """The answer to the PATCH for a part, sent with its body, as Go's client does."""
        extension = {"X_Redirect_Uploads": "1"} if redirect else {}
        return await self.patch(session, part, Content_Range=f"{first}-{first + len(part) - 1}", **extension)

    async def put(self, url: str, content: bytes, headers: Mapping[str, str] | None = None) -> Reply:
        """The answer to a PUT at the storage."""
        return await self.send("PUT", url, content, {"Content-Type": OCTETS} | dict(headers or {}))

    async def ask_all(self, session: str, parts: Sequence[bytes]) -> tuple[str, list[str]]:
        """Asks for all parts, which are redirected. The newest session URL, and where each part goes."""
        targets, first = [], 0
        for part in parts:
            reply = await self.ask(session, first, part)
            assert reply.status == 307
            session = reply.headers["Docker-Upload-Location"]
            targets.append(reply.headers["Location"])
            first += len(part)
        return session, targets

    async def has(self, content: bytes) -> bool:
        """Whether the repository has the blob."""
        reply = await self.send("GET", f"{self.base}/blobs/{digest_of(content)}")
        return reply.status == 200 and reply.body == content

    @property
    def only_breach(self) -> str:
        """The one thing that was done wrong."""
        (breach,) = self.registry.breaches
        return breach

    async def end(self, session: str, content: bytes, etag: str | None) -> Reply:
        """The answer to the commit."""
        query = "" if etag is None else f"&etag={etag}"
        return await self.send("PUT", f"{session}&digest={digest_of(content)}{query}", b"")


Connect = Callable[..., Awaitable[OllamaWire]]


@asynccontextmanager
async def connecting(embedded_with: EmbeddedFactory) -> AsyncIterator[Connect]:
    """`await connect(redirect=False, …)`: requests to an Ollama registry with these options; `more` is the others."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def connect(*, more: dict[str, Any] | None = None, **options: Any) -> OllamaWire:
            server = await embedded_with(Options(ollama=Ollama(**options), **(more or {})))
            return OllamaWire(session, server, "me/m")

        yield connect


class Line:
    """One connection, written to and read by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, url: str) -> Line:
        """A connection to the origin of `url`."""
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port))

    def head(self, method: str, url: str, **headers: object) -> None:
        """Sends a request's head."""
        parts = urlsplit(url)
        lines = [f"{method} {url.removeprefix(f'{parts.scheme}://{parts.netloc}')} HTTP/1.1", f"Host: {parts.netloc}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())

    async def answer(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next answer, whose body is passed over."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        await self.reader.readexactly(int(headers.get("Content-Length", "0")))
        return int(head[0].split()[1]), headers

    async def close(self) -> None:
        """Closes it, and returns when the other side has seen that, or has hung up before."""
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


def cut_up(content: bytes, size: int) -> list[bytes]:
    """`content` in parts of `size`, the last maybe less."""
    return [content[start : start + size] for start in range(0, len(content), size)]


def etag_of(parts: Sequence[bytes]) -> str:
    """What Ollama's client says of its parts."""
    joined = b"".join(hashlib.md5(part).digest() for part in parts)
    return f"{hashlib.md5(joined).hexdigest()}-{len(parts)}"
