"""What Python says of a failure is told in plain words: no numbers of errors, no tuples, no decoder's terms."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from pathlib import Path

import pytest

from registry_push.auth.credentials import CredentialStore
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import ConnectionLost, InvalidSettings, ManifestCorrupt, Refused, RegistryPushError
from registry_push.http.reasons import reason_of
from registry_push.model import Manifest
from registry_push.model.json_errors import why_not_json
from registry_push.protocol.refusals import hint_for
from registry_push.protocol.response import RegistryResponse
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.support.scripted import Says, Scripted, Seen, opened


def _closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def _is_plain(text: str) -> bool:
    return not any(word in text for word in ("Errno", "('", "Expecting", "(char", "Multiple exceptions", "_ssl"))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_port_where_nobody_listens(host: str) -> None:
    async with opened(f"http://{host}:{_closed_port()}") as client:
        with pytest.raises(ConnectionLost, match="connection refused: nothing listens there") as caught:
            await client.transport.send("GET", client.url("/v2/"), {})
    assert _is_plain(caught.value.message)


async def test_a_connection_that_is_reset() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        line = writer.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    async with server, opened(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
        with pytest.raises(ConnectionLost, match="the other side reset the connection") as caught:
            await client.transport.send("GET", client.url("/v2/"), {})
    assert _is_plain(caught.value.message)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 5999)"), "connection refused"),
        (
            OSError(
                "Multiple exceptions: [Errno 111] Connect call failed ('::1', 5999, 0, 0),"
                " [Errno 111] Connect call failed ('127.0.0.1', 5999)"
            ),
            "connection refused" if errno.ECONNREFUSED == 111 else "",
        ),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "reset the connection"),
        (OSError(errno.EHOSTUNREACH, "Connect call failed ('192.0.2.1', 443)"), "no way to this host"),
        (OSError(errno.ENETUNREACH, "Connect call failed ('2001:db8::1', 443, 0, 0)"), "no way to this network"),
        (TimeoutError(errno.ETIMEDOUT, "Connect call failed ('192.0.2.1', 443)"), "nothing answered in time"),
        (OSError(errno.EADDRNOTAVAIL, "[Errno 99] x ('192.0.2.1', 443)"), ""),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (OSError(), "it was closed"),
    ],
)
def test_why_a_connection_failed(error: OSError, words: str) -> None:
    assert words in reason_of(error)
    assert _is_plain(reason_of(error))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("<html>", "it is a web page or XML"),
        ("x", "there is no value (line 1, column 1)"),
        ("{,", "there is no name in double quotes (line 1, column 2)"),
        ("{'a': 1}", "there is no name in double quotes (line 1, column 2)"),
        ('{"a" 1}', "a colon is missing (line 1, column 6)"),
        ('{"a": 1\n "b": 2}', "a comma is missing (line 2, column 2)"),
        ("{} {}", "more follows where it should end (line 1, column 4)"),
        ('{"a": "b', "a string has no end (line 1, column 7)"),
        ('{"a": "\n"}', "a string has a line break or another control character in it (line 1, column 8)"),
        (f'{{"a": {"9" * 5000}}}', "it has a number that is too long"),
        ("[" * 200_000, "it is nested too deep"),
    ],
)
async def test_why_a_text_is_no_json(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, RecursionError)) as caught:
        json.loads(text)
    assert isinstance(caught.value, ValueError | RecursionError)
    assert why_not_json(caught.value) == words
    with pytest.raises(ManifestCorrupt) as corrupt:
        Manifest.parse(text.encode())
    assert words in corrupt.value.message and _is_plain(corrupt.value.message)
    if text.strip():
        with pytest.raises(InvalidSettings) as invalid:
            await CredentialStore(None, {"DOCKER_AUTH_CONFIG": text}, tmp_path, None).lookup("h", "x")
        assert words in invalid.value.message and _is_plain(invalid.value.message)


def test_what_is_not_utf_8_is_told_so() -> None:
    with pytest.raises(ManifestCorrupt, match="it is not UTF-8"):
        Manifest.parse(b'{"a": "\xff\xfe"}')


@pytest.mark.parametrize("size", [1000, 700_000, 3_000_000])
async def test_a_413_below_1_mib_names_client_max_body_size(tmp_path: Path, size: int) -> None:
    def answer(seen: Seen) -> Says:
        if seen.method == "POST":
            return Says(202, (("Location", "/up"),))
        if seen.method == "GET":
            return Says(204, (("Location", "/up"),))
        return Says(413 if seen.method in ("PATCH", "PUT") else 404, body=b"<title>413 Too Large</title>")

    write_sample_store(tmp_path / "models", weights=size)
    async with Scripted(otherwise=answer) as server:
        told = Settings(home=tmp_path, models=tmp_path / "models", retries=0)
        report = await push(["me/tiny"], to=f"{server.origin}/x/", settings=told)
    assert isinstance(report.error, Refused)
    assert "client_max_body_size" in str(report.error.hint)


def test_other_refusals_have_no_such_hint() -> None:
    assert all(hint_for(RegistryResponse(status, "http://r.test/")) is None for status in (400, 403, 404, 416))
    assert issubclass(Refused, RegistryPushError)
