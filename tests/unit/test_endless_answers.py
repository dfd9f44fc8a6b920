"""Answers that would never end: each part of one has a bound, in time or in bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from registry_push.errors import ProtocolViolation, RegistryPushError, TimedOut, Unauthorized
from registry_push.protocol.auth.token import MAX_TOKEN_BYTES
from registry_push.protocol.diagnostics import MAX_ERROR_BYTES
from registry_push.registry.client import Client
from tests.support.scripted import Says, Scripted, opened, unauthorized

pytestmark = pytest.mark.attack("S7")

PULL = ("repository:a/b:pull",)
# Seconds. Bytes come four times as often as they have to.
_TIMEOUT = 0.08
_STEP = _TIMEOUT / 4
_OK = b"HTTP/1.1 200 OK\r\n"

Talk = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _talking(talk: Talk, *, timeout_seconds: float = _TIMEOUT) -> AsyncIterator[Client]:
    """A client of a server that reads a request's head and then does `talk`."""

    talks = set[asyncio.Task[None] | None]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await talk(writer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        async with opened(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
            # Less than the command allows.
            client.transport._timeout = timeout_seconds
            async with asyncio.timeout(20):  # for ever, without what is tested here
                yield client
        await asyncio.gather(*filter(None, talks))  # they end with their connections


def _drips(beginning: bytes, drop: bytes) -> Talk:
    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(_STEP)

    return talk


def _floods(beginning: bytes, drop: bytes) -> Talk:
    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        while True:
            writer.write(drop * 1000)
            await writer.drain()
            await asyncio.sleep(0)

    return talk


def _says(*pieces: bytes) -> Talk:
    async def talk(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return talk


@pytest.mark.parametrize(
    ("beginning", "drop"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 ", b"O"),
        (_OK + b"X: ", b"x"),
        (_OK, b"X: y\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + _OK + b"X: ", b"x"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: ", b"x"),
    ],
)
async def test_headers_that_drip_time_out(beginning: bytes, drop: bytes) -> None:
    async with _talking(_drips(beginning, drop)) as client:
        with pytest.raises(RegistryPushError) as caught:
            await client.transport.send("GET", client.url("/v2/"), {})
    # A status line of nothing but H is no HTTP, which is as good an end.
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("code", [100, 102, 103, 199])
@pytest.mark.parametrize("how", [_drips, _floods])
async def test_informational_answers_are_counted(how: Callable[[bytes, bytes], Talk], code: int) -> None:
    async with _talking(how(b"", f"HTTP/1.1 {code} Wait\r\n\r\n".encode()), timeout_seconds=5) as client:
        with pytest.raises(ProtocolViolation, match="informational answers"):
            await client.transport.send("GET", client.url("/v2/"), {})


async def test_ten_informational_answers_are_waited_through() -> None:
    answers = [b"HTTP/1.1 102 Processing\r\n\r\n"] * 10
    async with _talking(_says(*answers, _OK + b"Content-Length: 2\r\n\r\nok"), timeout_seconds=5) as client:
        assert (await client.transport.send("GET", client.url("/v2/"), {})).body == b"ok"


async def test_answers_that_nobody_asked_for_close_the_connection() -> None:
    answered, closed = asyncio.Event(), asyncio.Event()

    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(_OK + b"Content-Length: 0\r\n\r\n")
        await answered.wait()
        try:
            await _floods(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n")(writer)
        finally:
            closed.set()

    async with _talking(talk, timeout_seconds=5) as client:
        assert (await client.transport.send("GET", client.url("/v2/"), {})).status == 200
        answered.set()
        await closed.wait()


@pytest.mark.parametrize("status", [200, 403, 500])
@pytest.mark.parametrize(
    ("headers", "drop"),
    [
        (b"Content-Length: 1000\r\n", b"x"),
        (b"Transfer-Encoding: chunked\r\n", b"1\r\nx\r\n"),
        (b"Connection: close\r\n", b"x"),
    ],
)
async def test_a_body_that_drips_times_out(status: int, headers: bytes, drop: bytes) -> None:
    async with _talking(_drips(b"HTTP/1.1 %d X\r\n%b\r\n" % (status, headers), drop)) as client:
        with pytest.raises(TimedOut):
            await client.transport.send("GET", client.url("/v2/"), {})


_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("how", [_drips, _floods])
@pytest.mark.parametrize("beginning", [_CHUNKED + b"1;", _CHUNKED + b"1\r\nx\r\n5;a="])
@pytest.mark.parametrize("streamed", [False, True])
async def test_the_extension_of_a_chunk_ends(
    how: Callable[[bytes, bytes], Talk], beginning: bytes, streamed: bool
) -> None:
    async with _talking(how(beginning, b"x")) as client:
        with pytest.raises(RegistryPushError) as caught:
            if streamed:
                async with client.stream(client.url("/v2/"), PULL, {}) as (_, pieces):
                    async for _ in pieces:
                        pass
            else:
                await client.transport.send("GET", client.url("/v2/"), {})
    assert caught.value.exit_code in (5, 6)


async def test_content_that_moves_has_all_the_time_it_needs() -> None:
    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(_OK + b"Content-Length: 30\r\n\r\n")
        for _ in range(30):  # far longer than one answer may take that is read whole
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with (
        _talking(talk, timeout_seconds=0.5) as client,
        client.stream(client.url("/v2/"), PULL, {}) as (_, pieces),
    ):
        assert b"".join([piece async for piece in pieces]) == b"x" * 30


async def test_an_answer_that_takes_work_may_take_its_time() -> None:
    async def talk(writer: asyncio.StreamWriter) -> None:
        for byte in _OK + b"Content-Length: 0\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(_STEP)

    async with _talking(talk) as client:
        response = await client.transport.send("PUT", client.url("/v2/"), {}, b"x", patience=20)
        assert response.status == 200


@pytest.mark.parametrize("status", [400, 404, 500])
@pytest.mark.parametrize("headers", [b"Content-Length: 1000000000000\r\n", b"Connection: close\r\n"])
async def test_of_an_endless_error_the_beginning_is_read(status: int, headers: bytes) -> None:
    async with _talking(_floods(b"HTTP/1.1 %d X\r\n%b\r\n" % (status, headers), b"no! "), timeout_seconds=5) as client:
        response = await client.transport.send("GET", client.url("/v2/"), {})
        assert (response.status, len(response.body)) == (status, MAX_ERROR_BYTES)


async def test_a_token_has_an_end() -> None:
    async with Scripted() as registry, opened(registry.origin) as client:
        registry.on("GET", "/v2/x", unauthorized(f'Bearer realm="{registry.origin}/token"'))
        registry.on("GET", "/token", Says(200, body=b'{"token":"' + b"T" * MAX_TOKEN_BYTES + b'"}'))
        with pytest.raises(ProtocolViolation, match=f"more than {MAX_TOKEN_BYTES} bytes"):
            await client.request("GET", client.url("/v2/x"), PULL)


async def test_a_token_services_endless_refusal_has_an_end() -> None:
    async with Scripted() as registry, opened(registry.origin) as client:
        registry.on("GET", "/v2/x", unauthorized(f'Bearer realm="{registry.origin}/token"'))
        registry.on("GET", "/token", Says(403, body=b"no! " * MAX_ERROR_BYTES))
        with pytest.raises(Unauthorized):
            await client.request("GET", client.url("/v2/x"), PULL)
