"""The service against what is too large, too slow, or written to be printed."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from registry_push.daemon.application import MAX_BODY, Patience
from registry_push.embedded import EmbeddedRegistry
from registry_push.settings import Settings
from tests.support.service import LOCAL, Served, over, running, sample, serving

TOKEN = "a-token-of-many-characters"


class Line:
    """One connection to the service, by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, service: Served) -> Line:
        return cls(*await asyncio.open_connection("127.0.0.1", service.port))

    def send(self, *head: str, body: bytes = b"") -> None:
        self.writer.write("\r\n".join([*head, "", ""]).encode() + body)

    async def answer(self) -> tuple[int, bytes]:
        """The status and everything up to the end of the connection, which the service has to bring about."""
        async with asyncio.timeout(30):
            with_head = await self.reader.read()
        self.writer.close()
        head, _, body = with_head.partition(b"\r\n\r\n")
        return int(head.split()[1]) if head else 0, body


# ── giant and slow ────────────────────────────────────────────────────────────────────────────────


async def test_a_giant_body_is_413_before_it_is_sent(tmp_path: Path) -> None:
    async with over(tmp_path) as service:
        for head in ("Accept: */*", "Expect: 100-continue"):
            line = await Line.to(service)
            line.send("POST /api/push HTTP/1.1", "Host: localhost", f"Content-Length: {10**12}", head)
            status, body = await line.answer()
            assert status == 413 and b"100 Continue" not in body


async def test_a_giant_body_of_unknown_length_is_413_when_it_gets_too_long(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"model": "'
        for _ in range(MAX_BODY // 4096):
            yield b"x" * 4096

    async with (
        over(tmp_path) as service,
        service.session.post(f"{service.url}/api/push", data=pieces()) as answer,
    ):
        assert answer.status == 413
        assert list(await answer.json()) == ["error"]


async def test_a_slow_body_is_408(tmp_path: Path) -> None:
    async with over(tmp_path, patience=Patience(body=0.05)) as service:
        line = await Line.to(service)
        line.send("POST /api/push HTTP/1.1", "Host: localhost", "Content-Length: 100", body=b'{"model": ')
        status, body = await line.answer()
    assert status == 408 and b"0.05 seconds" in body


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
async def test_half_open_clients_are_dropped(tmp_path: Path, sent: bytes) -> None:
    """Connections that never say what they want, or begin to and stop."""
    async with over(tmp_path, patience=Patience(idle=0.1)) as service:
        line = await Line.to(service)
        line.writer.write(sent)
        assert (await line.answer())[0] == 0


async def test_idle_clients_are_dropped_between_two_requests(tmp_path: Path) -> None:
    async with over(tmp_path, patience=Patience(idle=0.1)) as service:
        line = await Line.to(service)
        line.send("GET / HTTP/1.1", "Host: localhost")
        status, body = await line.answer()
    assert (status, body) == (200, b"Ollama is running")


@pytest.mark.parametrize(
    "head",
    [
        ["GET /" + "x" * 9000 + " HTTP/1.1", "Host: localhost"],
        ["GET / HTTP/1.1", "Host: localhost", "X-Long: " + "x" * 9000],
        ["GET / HTTP/1.1", "Host: localhost", *(f"X-{number}: x" for number in range(200))],
        ["GET / HTTP/9.9", "Host: localhost"],
        ["\x16\x03\x01"],
    ],
    ids=["line", "field", "fields", "version", "TLS"],
)
async def test_heads_that_are_too_large_or_none_are_400(tmp_path: Path, head: list[str]) -> None:
    async with over(tmp_path) as service:
        line = await Line.to(service)
        line.send(*head)
        assert (await line.answer())[0] == 400


async def test_a_compressed_bomb_is_a_bad_body(tmp_path: Path) -> None:
    """Nothing is unpacked: 64 KiB are all that a body can come to."""
    bomb = gzip.compress(b'{"model": "' + b" " * 50_000_000 + b'"}')
    async with over(tmp_path) as service:
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        async with service.session.post(f"{service.url}/api/push", data=bomb[: MAX_BODY - 1], headers=headers) as reply:
            assert reply.status == 400


# ── secrets ───────────────────────────────────────────────────────────────────────────────────────


async def test_no_secret_is_in_answers_or_the_log(
    embedded: EmbeddedRegistry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    model = sample(tmp_path, embedded.host)
    settings = Settings(home=tmp_path, models=tmp_path / "models", retries=0)
    async with serving(settings, access=LOCAL) as service:
        _, lines = await service.push(model, username="me", password="hunter2hunter2")
        _, wrong = await service.push("localhost:1/me/none", username="me", password="hunter2hunter2")
    assert "hunter2" not in json.dumps([lines, wrong]) + caplog.text


@pytest.mark.attack("S9")
async def test_a_manifest_writes_no_lines_and_escapes_into_the_log(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    model = sample(tmp_path, embedded.host)
    manifest = tmp_path / "models/manifests" / model.replace(":latest", "/latest")
    document = json.loads(manifest.read_text())
    document["layers"][0]["from"] = "/home/x\n2026-01-01T00:00:00Z INFO forged\x1b[2J\u202e\u200b"
    manifest.write_text(json.dumps(document))
    async with running("--models", str(tmp_path / "models"), home=tmp_path) as service:
        body = {"model": model, "stream": False}
        async with aiohttp.ClientSession() as session, session.post(f"{service.url}/api/push", json=body) as answer:
            assert answer.status == 200
        async with aiohttp.ClientSession() as session:
            path = URL(f"{service.url}/%0d%0a2026%1b[2J%e2%80%ae", encoded=True)
            async with session.get(path, headers={"Origin": "http://\u202e.example"}) as answer:
                assert answer.status in (400, 403, 404)
        service.process.terminate()
        await service.process.wait()
    assert any("forged" in line for line in service.log)
    assert all(line.startswith("2") and line.removesuffix("\n").isprintable() for line in service.log), service.log
    assert not any(line.startswith("2026-01-01T00:00:00Z") for line in service.log)
