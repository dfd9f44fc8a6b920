"""The embedded Ollama registry: bodies that are answered early, and what its logs count."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from registry_push.embedded import EmbeddedRegistry, Ollama, Options

from ..support.ollama_wire import Line, OllamaWire, etag_of
from ..support.registries import EmbeddedFactory
from ..support.wire import Wire, digest_of

KIB = 1024


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


# Bodies that are answered early


@dataclass
class Asked:
    """A connection on which the head of a PATCH for `size` bytes was just sent."""

    server: EmbeddedRegistry
    line: Line

    @property
    def received(self) -> int:
        return self.server.log[-1].received


Ask = Callable[..., Awaitable[Asked]]


@pytest.fixture
async def ask(session: aiohttp.ClientSession, tmp_path: Path) -> AsyncIterator[Ask]:
    """`await ask(size, expect=True, …)`: the options are the registry's; it is left when the test ends."""
    servers: list[EmbeddedRegistry] = []

    async def ask(size: int, *, expect: bool, **options: Any) -> Asked:
        server = await EmbeddedRegistry(tmp_path / "embedded", Options(ollama=Ollama(**options))).__aenter__()
        servers.append(server)
        url = await OllamaWire(session, server, "me/m").open()
        line = await Line.to(url)
        headers = {"Content_Range": f"0-{size - 1}", "Content_Length": size, "X_Redirect_Uploads": 1}
        line.head("PATCH", url, **headers, **({"Expect": "100-continue"} if expect else {}))
        return Asked(server, line)

    yield ask
    for server in servers:
        await server.__aexit__(None, None, None)


@pytest.mark.parametrize("expect", [True, False])
async def test_redirect_comes_before_the_body(ask: Ask, expect: bool) -> None:
    asked = await ask(10_000_000, expect=expect)
    status, headers = await asked.line.answer()
    assert (status, headers["Location"].startswith(asked.server.storage_origin)) == (307, True)
    await asked.line.close()
    assert asked.received == 0


async def test_connection_stays_open_where_the_body_waits_to_be_asked_for(ask: Ask) -> None:
    asked = await ask(10_000_000, expect=True)
    assert "Connection" not in (await asked.line.answer())[1]
    await asked.line.close()
    assert asked.server.breaches == []


async def test_another_request_in_place_of_the_body_is_a_breach(ask: Ask) -> None:
    asked = await ask(10_000_000, expect=True)
    await asked.line.answer()
    asked.line.head("HEAD", f"{asked.server.origin}/v2/me/m/blobs/{digest_of(b'')}")
    assert await asked.line.reader.read() == b""
    await asked.line.close()
    assert asked.received == 0
    (breach,) = asked.server.breaches
    assert "still owes the body" in breach


@pytest.mark.parametrize("expect", [True, False])
async def test_line_says_close_where_the_options_want_it(ask: Ask, expect: bool) -> None:
    asked = await ask(10, expect=expect, close_early=True)
    assert (await asked.line.answer())[1]["Connection"] == "close"
    if not expect:
        asked.line.writer.write(b"x" * 10)
    assert await asked.line.reader.read() == b""
    await asked.line.close()
    assert asked.received == (0 if expect else 10)


@pytest.mark.parametrize("expect", [True, False])
async def test_small_body_is_passed_over_and_counted(ask: Ask, expect: bool) -> None:
    asked = await ask(256 * KIB, expect=expect)
    assert "Connection" not in (await asked.line.answer())[1]
    asked.line.writer.write(b"x" * 256 * KIB)
    asked.line.head("GET", f"{asked.server.origin}/v2/me/m/blobs/{digest_of(b'')}")
    assert (await asked.line.answer())[0] == 404, "the line is good for another request"
    await asked.line.close()
    assert [exchange.received for exchange in asked.server.log[1:]] == [256 * KIB, 0]
    assert asked.server.breaches == []


@pytest.mark.parametrize("expect", [True, False])
async def test_large_body_is_cut_off(ask: Ask, expect: bool) -> None:
    asked = await ask(10_000_000, expect=expect)
    assert ("Connection" in (await asked.line.answer())[1]) is not expect
    asked.line.writer.write(b"x" * 300 * KIB)
    assert await asked.line.reader.read() == b""
    assert 256 * KIB < asked.received <= 300 * KIB
    await asked.line.close()


async def test_all_of_a_body_is_passed_over_where_the_options_want_it(ask: Ask) -> None:
    asked = await ask(3_000_000, expect=False, discards=None)
    assert "Connection" not in (await asked.line.answer())[1]
    asked.line.writer.write(b"x" * 3_000_000)
    asked.line.head("GET", f"{asked.server.origin}/v2/me/m/blobs/{digest_of(b'')}")
    assert (await asked.line.answer())[0] == 404
    assert asked.server.log[1].received == 3_000_000
    await asked.line.close()


async def test_body_of_a_part_that_is_stored_here_is_asked_for(ask: Ask) -> None:
    asked = await ask(5, expect=True, redirect=False)
    assert (await asked.line.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
    asked.line.writer.write(b"hello")
    assert (await asked.line.answer())[0] == 202
    await asked.line.close()
    assert asked.received == 5


async def test_client_that_leaves_is_no_fault_of_the_server(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        asked = await ask(10_000_000, expect=False)
        await asked.line.answer()
        asked.line.writer.write(b"x" * 1000)
        await asked.line.close()
        await asked.server.__aexit__(None, None, None)
    assert caplog.records == []
    assert asked.received == 1000


async def test_put_to_the_storage_is_asked_for_its_body(session: aiohttp.ClientSession, ask: Ask) -> None:
    asked = await ask(5, expect=True)
    target = (await asked.line.answer())[1]["Location"]
    for url, answer in ((target, b"HTTP/1.1 100 "), (target + "x", b"HTTP/1.1 403 ")):
        line = await Line.to(url)
        line.head("PUT", url, Content_Length=5, Expect="100-continue")
        assert (await line.reader.readline()).startswith(answer)
        await line.close()
    await asked.line.close()


# What is counted, and left


async def test_bytes_beyond_a_planned_cut_never_arrived(
    session: aiohttp.ClientSession, embedded_with: EmbeddedFactory
) -> None:
    server = await embedded_with(Options(cut_after=700))
    wire = Wire(session, server, "me/m")
    with pytest.raises(aiohttp.ClientError):
        await wire.patch(await wire.open(), b"x" * 1000)
    assert server.log[-1].received == 700


async def test_turns_of_both_origins_are_one_order(
    session: aiohttp.ClientSession, embedded_with: EmbeddedFactory
) -> None:
    server = await embedded_with(Options(ollama=Ollama()))
    wire = OllamaWire(session, server, "me/m")
    newest, (target,) = await wire.ask_all(await wire.open(), [b"hello"])
    await wire.put(target, b"hello")
    await wire.end(newest, b"hello", etag_of([b"hello"]))
    entries = sorted([*server.log, *server.storage_log], key=lambda entry: entry.began)
    assert [entry.method for entry in entries] == ["POST", "PATCH", "PUT", "PUT"]
    assert [turn for entry in entries for turn in (entry.began, entry.ended)] == list(range(1, 9))
    assert entries[2] is server.storage_log[0]
    assert (entries[2].status, entries[2].received) == (200, 5)


async def test_nothing_is_left_of_parts(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with EmbeddedRegistry(tmp_path, Options(ollama=Ollama())) as server:
        wire = OllamaWire(session, server, "me/m")
        newest, (target,) = await wire.ask_all(await wire.open(), [b"hello"])
        await wire.put(target, b"hello")
        await wire.put(target, b"hello")
        assert len(list(tmp_path.iterdir())) == 1
        await wire.end(newest, b"hello", etag_of([b"hello"]))
        assert [path.name for path in tmp_path.iterdir()] == ["me%2Fm"]
        _, (target,) = await wire.ask_all(await wire.open(), [b"other"])
        await wire.put(target, b"other")
        signed = await wire.announce(b"whole")
        headers = {name[16:]: value for name, value in signed.headers.items() if name.startswith("X-Signed-Header-")}
        assert (await wire.put(signed.headers["X-Direct-Upload-URL"], b"whole", headers)).status == 200
        assert len(list(tmp_path.iterdir())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["me%2Fm"]


async def test_put_that_comes_too_late_leaves_nothing(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with EmbeddedRegistry(tmp_path, Options(ollama=Ollama())) as server:
        wire = OllamaWire(session, server, "me/m")
        newest, (target,) = await wire.ask_all(await wire.open(), [b"hello"])
        late = await Line.to(target)
        late.head("PUT", target, Content_Length=5, Expect="100-continue")
        await late.reader.readuntil(b"\r\n\r\n")
        await wire.put(target, b"hello")
        await wire.end(newest, b"hello", etag_of([b"hello"]))
        late.writer.write(b"other")
        assert (await late.answer())[0] == 200
        await late.close()
    assert [path.name for path in tmp_path.iterdir()] == ["me%2Fm"]
    assert server.breaches == []


async def test_cookies_are_handed_out_to_be_caught(
    session: aiohttp.ClientSession, embedded_with: EmbeddedFactory
) -> None:
    server = await embedded_with(Options(ollama=Ollama()))
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as careless:
        wire = OllamaWire(careless, server, "me/m")
        _, (target,) = await wire.ask_all(await wire.open(), [b"hello"])
        assert (await wire.put(target, b"hello")).status == 400
    assert "Cookie" in server.breaches[0]
