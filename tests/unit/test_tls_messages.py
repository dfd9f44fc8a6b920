"""What is said when TLS fails: which side, which dates and names, and only what mends it."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from registry_push.daemon.failures import words_of
from registry_push.errors import ConnectionLost, RegistryPushError, TLSFailed
from registry_push.text.hint import Setting, step
from tests.support.scripted import Says, Scripted, opened
from tests.support.tls import Authority, Certificate, self_signed

V1_2, V1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = [(V1_2, V1_2), (V1_2, V1_3), (V1_3, V1_3)]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A private CA."""
    return Authority.create(tmp_path / "ca")


def dates(file: Path) -> tuple[str, str]:
    """From when and to when the first certificate in `file` is valid, as messages have it."""
    made = x509.load_pem_x509_certificate(file.read_bytes())
    first, last = (
        moment.strftime("%Y-%m-%d %H:%M UTC") for moment in (made.not_valid_before_utc, made.not_valid_after_utc)
    )
    return first, last


def plainly(error: RegistryPushError) -> str:
    """Message and hint, in which nothing is of Python or OpenSSL alone."""
    text = f"{error.message} → {error.hint}"
    assert "_ssl.c" not in text
    assert not re.search(r"\[[A-Z0-9_]+(: |\])", text), text
    assert "--plain-http" not in text, "the server speaks TLS"
    return text


async def failure(server: ssl.SSLContext, **settings: Any) -> str:
    """What is said when a server with this context can't be reached."""
    async with Scripted(server, otherwise=Says(200)) as registry:
        async with opened(registry.origin, **settings) as client:
            with pytest.raises(TLSFailed) as caught:
                await client.transport.send("HEAD", client.url("/v2/"), {})
        assert registry.seen == [], "nothing was sent to it"
        assert caught.value.exit_code == 6
        return plainly(caught.value)


@pytest.mark.parametrize(("first", "last", "state"), [(-20, -3, "has expired"), (3, 20, "is not valid yet")])
@pytest.mark.parametrize("versions", VERSIONS, ids=["1.2", "both", "1.3"])
async def test_a_certificate_out_of_date_names_its_dates_and_the_clock(
    authority: Authority,
    tmp_path: Path,
    first: int,
    last: int,
    state: str,
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion],
) -> None:
    made = authority.issue(tmp_path / "server", first=first, last=last)
    context = made.server
    context.minimum_version, context.maximum_version = versions
    text = await failure(context, ca_file=authority.cert)
    begins, ends = dates(made.cert)
    assert f"its certificate {state}: it is valid from {begins} to {ends}, and this machine's clock says 2" in text
    assert "check this machine's clock" in text
    assert "--ca-file" not in text, "that would mend nothing"


async def test_an_authority_out_of_date_is_named(tmp_path: Path) -> None:
    root = Authority.create(tmp_path / "root")
    between = Authority.create(tmp_path / "between", name="Between CA", by=root, last=-2)
    text = await failure(between.issue(tmp_path / "server", sends=[between]).server, ca_file=root.cert)
    assert "the CA 'Between CA' above its certificate has expired" in text
    assert dates(between.cert)[1] in text
    assert "check this machine's clock" in text


async def test_a_trusted_root_out_of_date_is_told_from_the_certificate(tmp_path: Path) -> None:
    root = Authority.create(tmp_path / "root", last=-2)
    text = await failure(root.issue(tmp_path / "server").server, ca_file=root.cert)
    assert "a CA above its certificate, known here, has expired" in text
    assert "check this machine's clock" in text


@pytest.mark.parametrize(
    ("hosts", "named"),
    [
        (["registry.corp.test"], "is for registry.corp.test, and not valid for 127.0.0.1"),
        (["*.corp.test", "10.1.2.3", "::1"], "is for *.corp.test, 10.1.2.3, ::1, and not"),
        ([f"host{number}.test" for number in range(20)], "host7.test and 12 more, and not"),
        ([], "its certificate names no host: it has no subjectAltName"),
        (["\x1b[31m.test"], "is for \\x1b[31m.test, and not"),
    ],
)
async def test_a_certificate_for_others_names_them(
    authority: Authority, tmp_path: Path, hosts: list[str], named: str
) -> None:
    text = await failure(authority.issue(tmp_path / "server", hosts=hosts).server, ca_file=authority.cert)
    assert named in text
    assert "--ca-file" not in text


@pytest.mark.parametrize("versions", VERSIONS, ids=["1.2", "both", "1.3"])
async def test_an_unknown_authority_is_named_and_ca_file_proposed(
    authority: Authority, tmp_path: Path, versions: tuple[ssl.TLSVersion, ssl.TLSVersion]
) -> None:
    context = authority.issue(tmp_path / "server").server
    context.minimum_version, context.maximum_version = versions
    text = await failure(context)
    assert "from a CA that is not trusted here: 'Old Corp CA'" in text
    assert "--ca-file" in text


async def test_a_self_signed_certificate_is_called_so(tmp_path: Path) -> None:
    text = await failure(self_signed(tmp_path).server)
    assert "its certificate is self-signed" in text
    assert "--ca-file" in text


async def test_a_ca_file_that_does_not_hold_the_authority_is_named(authority: Authority, tmp_path: Path) -> None:
    """Also one of the same name: a private CA was made anew."""
    server = authority.issue(tmp_path / "server").server
    for name, words in (("Another CA", "is not trusted here: 'Old Corp CA'"), ("Old Corp CA", "and another key")):
        other = Authority.create(tmp_path / name, name=name)
        text = await failure(server, ca_file=other.cert)
        assert words in text and f"{other.cert} does not hold it; name its CA: --ca-file FILE" in text


async def test_what_ca_file_does_not_mend_comes_before_it(authority: Authority, tmp_path: Path) -> None:
    text = await failure(authority.issue(tmp_path / "server", hosts=["a.test"], last=-1).server)
    message, _, hint = text.partition(" → ")
    assert message.index("has expired") < message.index("is for a.test") < message.index("not trusted here")
    assert hint.index("clock") < hint.index("--ca-file")


# ── a client certificate ──────────────────────────────────────────────────────────────────────────


def demanding(
    server: Certificate, clients: Authority, versions: tuple[ssl.TLSVersion, ssl.TLSVersion]
) -> ssl.SSLContext:
    """For a server that serves those only whose certificates are from `clients`. asyncio's sends no alert."""
    context = server.server
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(clients.cert)
    context.minimum_version, context.maximum_version = versions
    return context


@pytest.mark.parametrize("versions", VERSIONS, ids=["1.2", "both", "1.3"])
async def test_a_server_that_wants_a_client_certificate_is_understood(
    authority: Authority, tmp_path: Path, versions: tuple[ssl.TLSVersion, ssl.TLSVersion]
) -> None:
    server = demanding(authority.issue(tmp_path / "server"), authority, versions)
    text = await failure(server, ca_file=authority.cert)
    assert "wants a client certificate" in text
    assert "--cert FILE --key-file FILE" in text
    assert "--ca-file" not in text


@pytest.mark.parametrize("versions", VERSIONS, ids=["1.2", "both", "1.3"])
async def test_a_client_certificate_that_is_not_taken_is_named(
    authority: Authority, tmp_path: Path, versions: tuple[ssl.TLSVersion, ssl.TLSVersion]
) -> None:
    server = demanding(authority.issue(tmp_path / "server"), authority, versions)
    other = self_signed(tmp_path / "other")
    async with (
        Scripted(server) as registry,
        opened(registry.origin, ca_file=authority.cert, cert=other.cert, key_file=other.key) as client,
    ):
        with pytest.raises(TLSFailed) as caught:
            await client.transport.send("HEAD", client.url("/v2/"), {})
    assert f"does not take the client certificate {other.cert}" in plainly(caught.value)


async def test_a_server_that_answers_400_for_want_of_a_certificate_is_understood(
    authority: Authority, tmp_path: Path
) -> None:
    """As nginx: its handshake is lenient, and HEAD has no body that says why."""
    server = authority.issue(tmp_path / "server").server
    server.verify_mode = ssl.CERT_OPTIONAL
    server.load_verify_locations(authority.cert)
    async with (
        Scripted(server, otherwise=Says(400, then_closes=True)) as registry,
        opened(registry.origin, ca_file=authority.cert) as client,
    ):
        with pytest.raises(TLSFailed) as caught:
            await client.transport.send("HEAD", client.url("/v2/"), {})
    assert "wants a client certificate" in plainly(caught.value)


async def test_a_400_of_who_asks_for_no_certificate_is_an_answer(authority: Authority, tmp_path: Path) -> None:
    server = authority.issue(tmp_path / "server").server
    async with (
        Scripted(server, otherwise=Says(400)) as registry,
        opened(registry.origin, ca_file=authority.cert) as client,
    ):
        assert (await client.transport.send("HEAD", client.url("/v2/"), {})).status == 400


# ── http and https ────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def saying(raw: bytes) -> AsyncIterator[str]:
    """A server that says `raw` to whatever comes; gives its `host:port`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(raw)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def spoken_http_to(netloc: str, method: str = "HEAD") -> RegistryPushError:
    """What comes of http to it."""
    async with opened(f"http://{netloc}") as client:
        with pytest.raises(RegistryPushError) as caught:
            await client.transport.send(method, client.url("/v2/"), {})
    return caught.value


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("versions", VERSIONS, ids=["1.2", "both", "1.3"])
async def test_http_to_a_port_for_https_names_the_address_to_write(
    tmp_path: Path, method: str, versions: tuple[ssl.TLSVersion, ssl.TLSVersion]
) -> None:
    context = self_signed(tmp_path).server
    context.minimum_version, context.maximum_version = versions
    async with Scripted(context) as registry:
        netloc = f"127.0.0.1:{registry.port}"
        error = await spoken_http_to(netloc, method)
    assert isinstance(error, TLSFailed)
    assert error.message == f"{netloc} speaks https: write https:// before it (https://{netloc})"


async def test_an_alert_in_answer_to_http_is_understood() -> None:
    async with saying(b"\x15\x03\x01\x00\x02\x02\x46") as netloc:
        assert f"{netloc} speaks https" in (await spoken_http_to(netloc)).message


@pytest.mark.parametrize("raw", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"220 smtp.example ESMTP\r\n"])
async def test_what_speaks_neither_is_not_told_to_be_https(raw: bytes) -> None:
    async with saying(raw) as netloc:
        error = await spoken_http_to(netloc)
    assert isinstance(error, ConnectionLost)
    assert "https" not in error.message


async def test_a_400_of_a_plain_server_is_an_answer() -> None:
    async with Scripted(otherwise=Says(400)) as registry, opened(registry.origin) as client:
        assert (await client.transport.send("HEAD", client.url("/v2/"), {})).status == 400


@pytest.mark.parametrize("tls", [False, True])
async def test_who_has_answered_is_not_looked_at_again(authority: Authority, tmp_path: Path, tls: bool) -> None:
    """The second look is for first contacts: a connection that breaks later is no riddle."""
    context = authority.issue(tmp_path / "server").server if tls else None
    async with Scripted(context) as registry, opened(registry.origin, ca_file=authority.cert) as client:
        registry.on("GET", "/v2/", Says(200), Says(raw=b""), Says(400))
        assert (await client.transport.send("GET", client.url("/v2/"), {})).status == 200
        with pytest.raises(ConnectionLost):
            await client.transport.send("GET", client.url("/v2/"), {})
        assert (await client.transport.send("GET", client.url("/v2/"), {})).status == 400
        assert registry.connections == 2


async def test_who_was_named_by_a_registry_is_not_looked_at(authority: Authority, tmp_path: Path) -> None:
    """Nobody makes us knock twice at an address of their choice."""
    other = self_signed(tmp_path / "other")
    async with Scripted(other.server) as storage, Scripted() as registry, opened(registry.origin) as client:
        registry.on("GET", "/v2/", Says(200))
        await client.transport.send("GET", client.url("/v2/"), {})
        with pytest.raises(TLSFailed) as caught:
            await client.transport.send("GET", f"{storage.origin}/x", {}, named_by=client.origin)
        assert "not known here" in plainly(caught.value) or "self-signed" in plainly(caught.value)
        assert storage.connections == 0, "its handshake was not completed, and there was no other"


async def test_a_certificate_of_a_proxy_is_told_to_be_the_proxys(tmp_path: Path) -> None:
    async with Scripted(self_signed(tmp_path).server) as proxy:
        environ = {"https_proxy": f"https://127.0.0.1:{proxy.port}"}
        async with opened("https://registry.invalid", environ=environ) as client:
            with pytest.raises(RegistryPushError) as caught:
                await client.transport.send("HEAD", client.url("/v2/"), {})
    text = plainly(caught.value)
    assert "proxy" in text
    assert "self-signed" in text


def test_a_client_of_the_service_is_told_of_no_flags() -> None:
    for hint in (step("if it is to be trusted, name its CA: ", Setting("ca_file", "FILE")), None):
        words = words_of(TLSFailed("no trusted TLS connection to r.example", hint=hint))
        assert "the operator of this service" in words
        assert "--" not in words
