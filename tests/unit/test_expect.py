"""`Expect: 100-continue`: asked for, refused early, ignored; no byte goes where it should not."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry_push.content.body import FileBody
from registry_push.http import aiohttp_fixes
from registry_push.http.body.payload import SpanPayload
from registry_push.http.response import Response
from registry_push.protocol.upload.chunks import Span
from tests.support.scripted import Says, Scripted, opened

SIZE = 4_000_000


@pytest.fixture
async def body(tmp_path: Path) -> AsyncIterator[FileBody]:
    (tmp_path / "blob").write_bytes(os.urandom(SIZE))
    file = FileBody(io.FileIO(tmp_path / "blob"))
    yield file
    await file.close()


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiohttp_fixes, "CONTINUE_PATIENCE", 0.0)


async def patch(origin: str, body: FileBody) -> tuple[Response, SpanPayload]:
    async with opened(origin) as client:
        payload = SpanPayload(body, Span(0, SIZE), stall=60, on_sent=lambda _: None)
        headers = {"Content-Length": str(SIZE), "Expect": "100-continue"}
        return await client.transport.send("PATCH", f"{origin}/up", headers, payload), payload


async def test_a_redirect_before_the_body_keeps_the_body_here(body: FileBody) -> None:
    async with Scripted() as server:
        server.on("PATCH", "/up", Says(307, (("Location", "/there"),), deaf=True))
        response, payload = await patch(server.origin, body)
        assert response.status == 307
        assert payload.sent == server.seen[0].received == 0


async def test_a_server_that_asks_gets_the_body(body: FileBody) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Expect: 100-continue" in head
        early.append(reader._buffer)  # type: ignore[attr-defined]  # what has come without being asked for
        assert not early[0]
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        received.append(await reader.readexactly(SIZE))
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    early: list[bytes] = []
    received: list[bytes] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2 * SIZE)
    async with server:
        response, _ = await patch(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", body)
    assert response.status == 202
    assert received == [os.pread(body.file.fileno(), SIZE, 0)]


async def test_a_server_that_knows_nothing_of_it_gets_the_body_after_a_while(body: FileBody, no_patience: None) -> None:
    async with Scripted() as server:
        server.on("PATCH", "/up", Says(202))
        response, payload = await patch(server.origin, body)
        assert response.status == 202
        assert payload.sent == server.seen[0].received == SIZE


async def test_an_answer_under_the_unasked_body_stops_it(tmp_path: Path, no_patience: None) -> None:
    big = 64 * 1024 * 1024
    (tmp_path / "big").touch()
    os.truncate(tmp_path / "big", big)
    file = FileBody(io.FileIO(tmp_path / "big"))
    async with Scripted() as server, opened(server.origin) as client:
        server.on("PATCH", "/up", Says(307, (("Location", "/there"),), early=True))
        payload = SpanPayload(file, Span(0, big), stall=60, on_sent=lambda _: None)
        headers = {"Content-Length": str(big), "Expect": "100-continue"}
        response = await client.transport.send("PATCH", f"{server.origin}/up", headers, payload)
        assert response.status == 307
        assert payload.sent < big
    await file.close()


def test_the_patience_is_gos() -> None:
    assert aiohttp_fixes.CONTINUE_PATIENCE == 1.0
