"""One request, one answer: every way in which a line can fail, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from registry_push.errors import (
    ConnectionLost,
    InvalidSettings,
    ProtocolViolation,
    ProxyRefused,
    TimedOut,
    TLSFailed,
    Unavailable,
)
from registry_push.events import Event, Retrying
from tests.support.scripted import NOWHERE, Clock, Says, Scripted, Seen, opened
from tests.support.secrets import PROXY_PASSWORD
from tests.support.tls import self_signed


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# ── errors ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_refused_connection_names_host_and_reason() -> None:
    origin = f"http://127.0.0.1:{_closed_port()}"
    async with opened(origin) as client:
        with pytest.raises(
            ConnectionLost, match=r"no connection to 127\.0\.0\.1:\d+: .*(refused|Connect call)"
        ) as caught:
            await client.transport.send("GET", f"{origin}/v2/?token=secret", {})
        assert caught.value.exit_code == 6
        assert "secret" not in f"{caught.value} {caught.value.url}"


async def test_an_unknown_host_is_called_unknown() -> None:
    async with opened("http://registry.invalid") as client:
        with pytest.raises(ConnectionLost, match=r"cannot resolve registry\.invalid"):
            await client.transport.send("GET", client.url("/v2/"), {})


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (Says(raw=b""), "closed the connection without an answer"),
        (Says(raw=b"SSH-2.0-OpenSSH_9.6\r\n"), "gave no readable HTTP answer"),
        (Says(raw=b"HTTP/1.1 abc\r\n\r\n"), "gave no readable HTTP answer"),
        (Says(raw=b"\x15\x03\x01\x00\x02\x02\x46"), "gave no readable HTTP answer"),
        (Says(raw=b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"), "gave no readable HTTP answer"),
        (
            Says(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            "gave no readable HTTP answer",
        ),
        (Says(raw=b"HTTP/1.1 200 OK\r\nContent-Le"), "without an answer|broke"),
        (Says(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal"), "broke before all of an answer was there$"),
        (
            Says(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhal"),
            "broke before all of an answer was there$",
        ),
        (Says(200, body=b"x" * 100, cut_answer_at=50), "broke"),
        (Says(cut_request_at=0), "broke|without an answer"),
    ],
)
async def test_an_answer_that_is_none_is_a_lost_connection(says: Says, words: str) -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", "/v2/", says)
        with pytest.raises(ConnectionLost, match=words) as caught:
            await client.transport.send("GET", client.url("/v2/"), {})
        assert caught.value.exit_code == 6
        assert "\x1b" not in str(caught.value)


async def test_a_stalled_answer_times_out() -> None:
    async with Scripted() as server, opened(server.origin, timeout=1) as client:
        server.on("GET", "/v2/", Says(after=asyncio.Event()))
        with pytest.raises(TimedOut, match="no byte for too long"):
            await client.transport.send("GET", client.url("/v2/"), {})


async def test_https_at_a_port_that_speaks_http_says_plain_http() -> None:
    async with Scripted() as server, opened(server.origin.replace("http:", "https:")) as client:
        with pytest.raises(TLSFailed, match="does not speak https") as caught:
            await client.transport.send("GET", client.url("/v2/"), {})
        # For an address that was written with its scheme, the flag changes nothing.
        assert "write http:// before the host, or say --plain-http" in (caught.value.hint or "")


async def test_a_handshake_that_is_cut_off_is_told_without_our_objects() -> None:
    # aiohttp's own words are `ssl:<ssl.SSLContext object at 0x…> [None]`: the error has no strerror.
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    origin = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, opened(origin) as client:
        with pytest.raises(ConnectionLost) as caught:
            await client.transport.send("GET", client.url("/v2/"), {})
        assert "object at" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/\udcff", "http://u:p@127.0.0.1:1/"])
async def test_an_address_that_can_not_be_sent_is_an_error_of_ours(url: str) -> None:
    async with opened("http://127.0.0.1:1") as client:
        with pytest.raises((ProtocolViolation, ConnectionLost)) as caught:
            await client.transport.send("GET", url, {"Authorization": "Bearer x"})
        assert "u:p" not in f"{caught.value} {caught.value.url}"


async def test_a_cancelled_request_lets_go_of_its_connection() -> None:
    async with Scripted() as server, opened(server.origin) as client:
        arrived = asyncio.Event()

        def never(_: Seen) -> Says:
            arrived.set()
            return Says(after=asyncio.Event())

        server.on("GET", "/v2/", never, Says(204))
        task = asyncio.create_task(client.transport.send("GET", client.url("/v2/"), {}))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.transport.send("GET", client.url("/v2/"), {})).status == 204
        assert server.connections == 2


# ── what goes out ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("target", ["/a%2Fb%2fc?x=%7E~&y=a+b%20c;d&z==", "/a/../b/./c", "/%41?q=%C3%BC"])
async def test_a_url_is_sent_byte_for_byte(target: str) -> None:
    async with Scripted() as server, opened(server.origin) as client:
        await client.transport.send("GET", f"{server.origin}{target}", {})
        assert server.seen[0].target == target


async def test_nothing_is_said_of_us_but_our_name() -> None:
    async with Scripted() as server, opened(server.origin, user_agent="registry-push/test") as client:
        server.on("POST", "/v2/", Says(202))
        await client.transport.send("POST", client.url("/v2/"), {"Content-Length": "0"})
        assert dict(server.seen[0].headers) == {
            "Host": f"127.0.0.1:{server.port}",
            "User-Agent": "registry-push/test",
            "Accept-Encoding": "identity",
            "Content-Length": "0",
        }


async def test_a_netrc_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with Scripted() as server, opened(server.origin) as client:
        await client.transport.send("GET", client.url("/v2/"), {})
        assert server.seen[0].authorization is None


@pytest.mark.parametrize("method", ["PUT", "DELETE", "GET"])
async def test_a_request_on_a_connection_that_the_server_has_closed_is_not_sent_again_behind_our_back(
    method: str,
) -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on(method, "/v2/x", Says(201), Says(cut_request_at=0), Says(201))
        await client.transport.send(method, client.url("/v2/x"), {}, b"")
        with pytest.raises(ConnectionLost):
            await client.transport.send(method, client.url("/v2/x"), {}, b"")
        assert len(server.seen) == 2
        assert server.connections == 1


# ── retries ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("trouble", [Says(500), Says(503), Says(429), Says(408), Says(raw=b""), Says(raw=b"nonsense")])
async def test_trouble_that_passes_is_retried_with_an_event(trouble: Says) -> None:
    events: list[Event] = []
    async with Scripted() as server, opened(server.origin, retries=5, sink=events.append) as client:
        server.on("GET", "/v2/x", trouble, Says(200))
        url = client.url("/v2/x?sig=secret")
        assert (await client.transport.request("GET", url, {})).status == 200
        (event,) = events
        assert isinstance(event, Retrying)
        assert "secret" not in event.what + event.reason


async def test_retries_are_bounded_and_the_last_trouble_is_told() -> None:
    clock = Clock()
    async with Scripted() as server, opened(server.origin, retries=3, clock=clock) as client:
        server.on("GET", "/v2/x", Says(503, body=b"maintenance"))
        server.on("GET", "/v2/", Says(200))
        await client.transport.request("GET", client.url("/v2/"), {})
        with pytest.raises(Unavailable, match="503: maintenance"):
            await client.transport.request("GET", client.url("/v2/x"), {})
        assert len(server.requests("GET", "/v2/x")) == 4
        assert len(clock.slept) == 3


async def test_an_origin_that_never_answered_is_tried_twice_only() -> None:
    clock = Clock()
    async with opened(f"http://127.0.0.1:{_closed_port()}", retries=5, clock=clock) as client:
        with pytest.raises(ConnectionLost):
            await client.transport.request("GET", client.url("/v2/"), {})
        assert len(clock.slept) == 1


@pytest.mark.parametrize(("value", "least", "most"), [("7", 7, 8), ("0", 0, 1), ("100000", 300, 301), ("soon", 0, 1)])
async def test_a_pause_that_the_registry_asks_for_is_kept(value: str, least: float, most: float) -> None:
    clock = Clock()
    async with Scripted() as server, opened(server.origin, retries=1, clock=clock) as client:
        server.on("GET", "/v2/x", Says(429, (("Retry-After", value),)), Says(200))
        await client.transport.request("GET", client.url("/v2/x"), {})
        assert least <= clock.slept[0] <= most


# ── proxies ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("environ", "used"),
    [
        ({"http_proxy": "{proxy}"}, True),
        ({"HTTP_PROXY": "{proxy}"}, True),
        ({"http_proxy": "127.0.0.1:{port}"}, True),
        ({"all_proxy": "{proxy}"}, True),
        ({"https_proxy": "{proxy}"}, False),
        ({"http_proxy": "{proxy}", "no_proxy": "registry.invalid"}, False),
        ({"http_proxy": "{proxy}", "NO_PROXY": ".invalid"}, False),
        ({"http_proxy": "{proxy}", "NO_PROXY": "other.test,*"}, True),
        ({"http_proxy": "{proxy}", "NO_PROXY": "*"}, False),
        ({"http_proxy": "{proxy}", "NO_PROXY": "other.test"}, True),
        ({}, False),
    ],
)
async def test_the_proxy_of_the_environment_is_used(environ: dict[str, str], used: bool) -> None:
    async with Scripted() as proxy:
        proxy.on("GET", "http://registry.invalid/v2/", Says(200))
        told = {name: value.format(proxy=proxy.origin, port=proxy.port) for name, value in environ.items()}
        async with opened("http://registry.invalid", environ=told) as client:
            if used:
                assert (await client.transport.send("GET", client.url("/v2/"), {})).status == 200
            else:
                with pytest.raises(ConnectionLost, match="cannot resolve"):
                    await client.transport.send("GET", client.url("/v2/"), {})
        assert len(proxy.seen) == used


async def test_a_proxy_that_speaks_tls_is_trusted_as_the_user_says(tmp_path: Path) -> None:
    # Not by aiohttp's own context, which the command leaves empty.
    made = self_signed(tmp_path)
    async with Scripted(made.server) as proxy:
        proxy.on("GET", "http://registry.invalid/v2/", Says(200))
        environ = {"http_proxy": proxy.origin}
        async with opened("http://registry.invalid", environ=environ, ca_file=made.cert) as client:
            assert (await client.transport.send("GET", client.url("/v2/"), {})).status == 200
        async with opened("http://registry.invalid", environ=environ) as client:
            with pytest.raises(TLSFailed):
                await client.transport.send("GET", client.url("/v2/"), {})


@pytest.mark.attack("S4")
async def test_a_proxys_login_is_for_the_proxy_alone_behind_connect_too() -> None:
    async with Scripted() as proxy:
        proxy.on("CONNECT", "registry.invalid:443", Says(403))
        environ = {"https_proxy": proxy.origin.replace("//", "//user:word@")}
        async with opened("https://registry.invalid", environ=environ) as client:
            with pytest.raises(ProxyRefused) as caught:
                await client.transport.send("GET", client.url("/v2/"), {})
        assert proxy.seen[0].headers["Proxy-Authorization"] == "Basic dXNlcjp3b3Jk"
        assert "word" not in f"{caught.value} {caught.value.__cause__}"


async def test_this_machine_is_never_asked_for_at_a_proxy() -> None:
    async with Scripted() as server, opened(server.origin, environ={"http_proxy": "http://127.0.0.1:1"}) as client:
        server.on("GET", "/v2/", Says(200))
        assert (await client.transport.send("GET", client.url("/v2/"), {})).status == 200


async def test_a_proxy_that_is_not_there_is_blamed_itself() -> None:
    environ = {"http_proxy": f"http://me:{PROXY_PASSWORD}@127.0.0.1:{_closed_port()}"}
    async with opened("http://registry.invalid", environ=environ) as client:
        with pytest.raises(ConnectionLost, match=r"the proxy on the way to registry\.invalid") as caught:
            await client.transport.send("GET", client.url("/v2/"), {})
        assert "word" not in str(caught.value)


@pytest.mark.attack("S4")
@pytest.mark.parametrize("proxy", ["http://[", "http://127.0.0.1:99999", "socks5://127.0.0.1:1080", "ftp://127.0.0.1"])
async def test_a_proxy_that_can_not_be_used_is_blamed_before_anything_is_sent(proxy: str) -> None:
    # aiohttp blames the registry's address, and speaks to a SOCKS proxy as if it were an HTTP one.
    with pytest.raises(InvalidSettings, match="proxy"):
        async with opened("http://registry.invalid", environ={"http_proxy": proxy}):
            pass


async def test_a_proxy_that_never_says_whether_it_connects_times_out() -> None:
    # aiohttp itself waits for ever.
    async with Scripted() as proxy:
        proxy.on("CONNECT", "registry.invalid:443", Says(after=asyncio.Event()))
        environ = {"https_proxy": proxy.origin}
        async with opened("https://registry.invalid", environ=environ, timeout=1) as client:
            with pytest.raises(TimedOut):
                await client.transport.send("GET", client.url("/v2/"), {})


async def test_a_proxy_that_wants_a_login_is_blamed_itself() -> None:
    async with Scripted() as proxy:
        proxy.on("CONNECT", "registry.invalid:443", Says(407))
        async with opened("https://registry.invalid", environ={"https_proxy": proxy.origin}) as client:
            with pytest.raises(ProxyRefused, match=r"the proxy on the way to registry.invalid failed: .*407"):
                await client.transport.send("GET", client.url("/v2/"), {})


def test_the_tests_home_is_empty() -> None:
    assert not NOWHERE.exists()


async def test_what_opens_a_connection_is_no_part_of_the_wait_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = aiohttp.TCPConnector.connect

    async def slow(self: Any, *arguments: Any, **named: Any) -> Any:
        await asyncio.sleep(0.3)
        return await connect(self, *arguments, **named)

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", slow)
    async with Scripted() as server, opened(server.origin) as client:
        server.on("HEAD", "/v2/", Says(200))
        response = await client.transport.send("HEAD", client.url("/v2/"), {})
        assert response.waited is not None and 0 < response.waited < 0.3
