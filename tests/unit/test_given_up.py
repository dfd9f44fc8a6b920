"""What is of no use on a connection: bytes behind an answer that has no body, and a body that is given up."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from registry_push.content.body import FileBody
from registry_push.errors import RegistryPushError
from registry_push.http.body.payload import SpanPayload
from registry_push.model import Digest
from registry_push.protocol.upload.chunks import Span
from registry_push.registry.client import Client
from tests.support.scripted import opened
from tests.support.tls import self_signed

PULL = ("repository:a/b:pull",)
DIGEST = str(Digest.of(b"x"))
HEAD = f"HTTP/1.1 200 OK\r\nContent-Length: 60\r\nDocker-Content-Digest: {DIGEST}\r\n\r\n".encode()
PAGE = b"<html><title>It works</title></html>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
MiB = 1024 * 1024

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _server(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[str, list[object]]]:
    """A server that reads the head of each first request on a connection, and then does `talk`."""
    connections: list[object] = []
    tasks = set[asyncio.Task[None] | None]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        tasks.add(asyncio.current_task())
        try:
            await reader.readuntil(b"\r\n\r\n")
            await talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}", connections
        await asyncio.gather(*filter(None, tasks))


# ── answers without a body that have one ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "pieces",
    [
        (HEAD + PAGE,),
        (HEAD, PAGE),
        (HEAD[:-3], HEAD[-3:] + PAGE),
        (HEAD[:-1], HEAD[-1:] + PAGE),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + HEAD + PAGE,),
        (HEAD.replace(b"\r\n", b"\n") + PAGE,),
        (HEAD + b"\0\xff\r\n\r\n" + bytes(3 * MiB),),
        (HEAD + HEAD,),
    ],
)
async def test_a_heads_status_and_headers_count_although_a_body_follows(pieces: tuple[bytes, ...]) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    async with _server(talk) as (origin, connections), opened(origin) as client:
        for asked in (1, 2):
            response = await client.request("HEAD", client.url("/v2/x"), PULL)
            assert (response.status, response.headers["Docker-Content-Digest"]) == (200, DIGEST)
            assert response.body == b""
            assert len(connections) == asked, "such a connection is not used again"


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_what_follows_an_answer_that_has_no_body_is_dropped(method: str, status: int) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} Said\r\nRange: 0-9\r\n\r\n".encode() + PAGE)
        await reader.read()

    async with _server(talk) as (origin, _), opened(origin) as client:
        response = await client.request(method, client.url("/v2/x"), PULL)
        assert (response.status, response.headers["Range"], response.body) == (status, "0-9", b"")


async def test_an_answer_counts_although_more_than_its_body_follows() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nOK" + PAGE)
        await reader.read()

    async with _server(talk) as (origin, connections), opened(origin) as client:
        for asked in (1, 2):
            response = await client.request("PUT", client.url("/v2/x"), PULL, body=b"x")
            assert (response.status, response.body) == (201, b"OK")
            assert len(connections) == asked


# ── bodies that are given up ──────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def _sending(tmp_path: Path, talk: Talk, *, tls: bool) -> AsyncIterator[tuple[Client, SpanPayload, int]]:
    size = 64 * MiB
    (tmp_path / "blob").touch()
    os.truncate(tmp_path / "blob", size)
    body = FileBody((tmp_path / "blob").open("rb", buffering=0))
    certificate = self_signed(tmp_path / "tls")
    async with (
        _server(talk, certificate.server if tls else None) as (origin, _),
        opened(origin, ca_file=certificate.cert) as client,
    ):
        yield client, SpanPayload(body, Span(0, size), stall=60, on_sent=lambda _: None), size
    await body.close()


@pytest.mark.parametrize("tls", [False, True])
async def test_a_body_that_is_answered_early_ends_by_a_reset(tmp_path: Path, tls: bool) -> None:
    ends: list[type[BaseException] | None] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        ends.append(await _end_of(reader))

    async with _sending(tmp_path, talk, tls=tls) as (client, payload, size):
        response = await client.attempt("PUT", client.url("/up"), PULL, {"Content-Length": str(size)}, payload)
        assert response.status == 413 and not payload.complete
    assert ends == [ConnectionResetError]


@pytest.mark.parametrize("tls", [False, True])
async def test_a_body_that_is_stopped_ends_by_a_reset(tmp_path: Path, tls: bool) -> None:
    ends: list[type[BaseException] | None] = []
    is_there, is_given_up = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        is_there.set()
        await is_given_up.wait()
        ends.append(await _end_of(reader))

    async with _sending(tmp_path, talk, tls=tls) as (client, payload, size):
        sending = asyncio.create_task(
            client.attempt("PUT", client.url("/up"), PULL, {"Content-Length": str(size)}, payload)
        )
        await is_there.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        is_given_up.set()
    assert ends == [ConnectionResetError]


async def test_a_connection_that_rests_is_closed_without_a_reset() -> None:
    ends: list[type[BaseException] | None] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        ends.append(await _end_of(reader))

    async with _server(talk) as (origin, _), opened(origin) as client:
        assert (await client.request("GET", client.url("/v2/x"), PULL)).status == 200
    assert ends == [None]


async def test_garbage_is_still_an_error() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-x\r\n\r\n" + PAGE)
        await writer.drain()

    async with _server(talk) as (origin, _), opened(origin) as client:
        with pytest.raises(RegistryPushError, match="no readable HTTP answer"):
            await client.request("HEAD", client.url("/v2/x"), PULL)


async def _end_of(reader: asyncio.StreamReader) -> type[BaseException] | None:
    """How what is read ends: None for an end that was meant."""
    try:
        while await reader.read(MiB):
            pass
    except (OSError, ssl.SSLError) as error:
        return type(error)
    return None
