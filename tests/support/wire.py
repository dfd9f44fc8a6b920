"""Plain HTTP, for tests that look at a registry's answers and not at what our client makes of them."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from .facts import Facts, facts_of
from .registries import Registry, ZuulRegistry

OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; header names are as `aiohttp` gives them, whatever their case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def codes(self) -> list[str]:
        """The codes of its error document."""
        return [error["code"] for error in json.loads(self.body)["errors"]]

    @property
    def json(self) -> Any:
        """Its document."""
        return json.loads(self.body)


class Wire:
    """Requests to one registry, one repository unless said otherwise."""

    def __init__(self, session: aiohttp.ClientSession, registry: Registry, repository: str) -> None:
        self.session = session
        self.registry = registry
        self.repository = repository

    @property
    def base(self) -> str:
        """`/v2/<repository>`."""
        return f"/v2/{self.repository}"

    @property
    def facts(self) -> Facts:
        """What is true of this registry."""
        return facts_of(self.registry)

    @property
    def root(self) -> str:
        """What Locations begin with."""
        return self.registry.origin if self.facts.absolute_locations else ""

    def at(self, repository: str) -> Wire:
        """Requests to another repository of the same registry."""
        return Wire(self.session, self.registry, repository)

    def check_error(self, reply: Reply, status: int, *codes: str) -> None:
        """Assert that this error is answered, with these codes if the registry has any."""
        assert reply.status == status
        if self.facts.speaks_errors:
            assert reply.codes == list(codes)
        else:
            assert reply.headers["Content-Type"].startswith("text/html")

    async def send(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """The answer to a request. `target` is a path, or a URL as the registry gave it: it is sent as it is."""
        url = URL(target if target.startswith("http") else self.registry.origin + target, encoded=True)
        data = None if body is None else io.BytesIO(body)
        async with self.session.request(method, url, data=data, headers=headers, allow_redirects=False) as answer:
            try:
                content = await answer.read()
            except aiohttp.ClientPayloadError:  # distribution 2.8: a 416 that promises a body and ends without
                content = b""
            return Reply(answer.status, answer.headers, content)

    async def open(self) -> str:
        """The address of a new upload session."""
        reply = await self.send("POST", f"{self.base}/blobs/uploads/")
        assert reply.status == 202
        return reply.headers["Location"]

    async def patch(self, location: str, chunk: bytes, **headers: str) -> Reply:
        """The answer to a chunk."""
        sent = {"Content-Type": OCTETS} | {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.send("PATCH", location, chunk, sent)

    async def commit(self, location: str, digest: str, chunk: bytes = b"") -> Reply:
        """The answer to the closing PUT."""
        return await self.send("PUT", with_query(location, f"digest={digest}"), chunk, {"Content-Type": OCTETS})

    async def push(self, content: bytes) -> str:
        """Puts a blob there, and returns its digest."""
        digest = digest_of(content)
        assert (await self.commit(await self.open(), digest, content)).status == 201
        return digest

    async def broken_off(self, method: str, location: str, chunk: bytes, promised: int) -> None:
        """Sends `chunk` of a body that promises more, says no more, and returns when the registry has hung up."""
        target = location.removeprefix(self.registry.origin)
        reader, writer = await asyncio.open_connection(urlsplit(self.registry.origin).hostname, self._port)
        head = (
            f"{method} {target} HTTP/1.1\r\nHost: {self.registry.host}\r\n"
            f"Content-Type: {OCTETS}\r\nContent-Length: {promised}\r\n"
            + "".join(f"{name}: {value}\r\n" for name, value in authorized(self.registry).items())
            + "\r\n"
        )
        writer.write(head.encode() + chunk)
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()

    @property
    def _port(self) -> int:
        port = urlsplit(self.registry.origin).port
        assert port is not None
        return port


def digest_of(content: bytes) -> str:
    """`sha256:<hex>` of `content`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def with_query(location: str, query: str) -> str:
    """`location` with one more parameter."""
    return f"{location}{'&' if '?' in location else '?'}{query}"


def authorized(registry: Registry) -> dict[str, str]:
    """The headers without which this registry does nothing."""
    return {"Authorization": registry.bearer} if isinstance(registry, ZuulRegistry) else {}
