"""TLS as the user wants it, with a certificate that nobody but the user trusts."""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path

import pytest

from registry_push.content.body import FileBody
from registry_push.errors import InvalidSettings, KeyNotFound, ProtocolViolation, RegistryPushError, TLSFailed
from registry_push.http.body.payload import SpanPayload
from registry_push.http.tls import context_for
from registry_push.protocol.upload.chunks import Span
from registry_push.settings import Settings
from tests.support.scripted import NOWHERE, Clock, Says, Scripted, opened
from tests.support.tls import Certificate, self_signed

PULL = ("repository:a/b:pull",)


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    """For 127.0.0.1, good today."""
    return self_signed(tmp_path)


async def test_a_certificate_that_nobody_trusts_is_refused_without_retries(certificate: Certificate) -> None:
    clock = Clock()
    async with Scripted(certificate.server) as server, opened(server.origin, retries=5, clock=clock) as client:
        with pytest.raises(TLSFailed, match=r"no trusted TLS connection .*self.signed") as caught:
            await client.request("GET", client.url("/v2/"), PULL)
        assert caught.value.exit_code == 6
        assert "--ca-file" in (caught.value.hint or "")
        assert server.seen == []
        assert clock.slept == []


async def test_tls_verify_false_takes_anyself_signed(certificate: Certificate) -> None:
    async with Scripted(certificate.server) as server, opened(server.origin, tls_verify=False) as client:
        server.on("GET", "/v2/", Says(200))
        assert (await client.request("GET", client.url("/v2/"), PULL)).status == 200


async def test_a_ca_file_makes_it_trusted(certificate: Certificate) -> None:
    async with Scripted(certificate.server) as server, opened(server.origin, ca_file=certificate.cert) as client:
        server.on("GET", "/v2/", Says(200))
        assert (await client.request("GET", client.url("/v2/"), PULL)).status == 200


@pytest.mark.parametrize(
    ("host", "days", "why"), [("127.0.0.9", 1, "IP address mismatch|not valid for"), ("127.0.0.1", -1, "expired")]
)
async def test_a_trusted_ca_does_not_make_up_for_a_wrong_host_or_date(
    tmp_path: Path, host: str, days: int, why: str
) -> None:
    wrong = self_signed(tmp_path, host=host, days=days)
    async with Scripted(wrong.server) as server, opened(server.origin, ca_file=wrong.cert) as client:
        with pytest.raises(TLSFailed, match=why):
            await client.request("GET", client.url("/v2/"), PULL)


async def test_a_certificate_in_the_folder_of_its_host_is_trusted_for_that_host_only(
    certificate: Certificate, tmp_path: Path
) -> None:
    async with Scripted(certificate.server) as one, Scripted(certificate.server) as other:
        folder = tmp_path / ".config/containers/certs.d" / f"127.0.0.1:{one.port}"
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_bytes(certificate.cert.read_bytes())
        async with opened(one.origin, home=tmp_path) as client:
            one.on("GET", "/v2/", Says(200))
            assert (await client.transport.send("GET", client.url("/v2/"), {})).status == 200
            with pytest.raises(TLSFailed):
                await client.transport.send("GET", f"{other.origin}/v2/", {})


async def test_a_client_certificate_is_shown_to_who_asks(certificate: Certificate, tmp_path: Path) -> None:
    own = self_signed(tmp_path / "own")
    context = certificate.server
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(own.cert)
    async with Scripted(context) as server:
        server.on("GET", "/v2/", Says(200))
        async with opened(server.origin, ca_file=certificate.cert, cert=own.cert, key_file=own.key) as client:
            assert (await client.transport.send("GET", client.url("/v2/"), {})).status == 200
        async with opened(server.origin, ca_file=certificate.cert) as client:
            with pytest.raises(RegistryPushError) as caught:
                await client.transport.send("GET", client.url("/v2/"), {})
            assert caught.value.exit_code == 6


async def test_over_tls_a_file_goes_through_a_buffer_and_arrives_as_it_is(
    certificate: Certificate, tmp_path: Path
) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "blob").write_bytes(content)
    body, told = FileBody((tmp_path / "blob").open("rb", buffering=0)), list[int]()
    async with Scripted(certificate.server) as server, opened(server.origin, ca_file=certificate.cert) as client:
        server.on("PUT", "/up", Says(201))
        payload = SpanPayload(body, Span(10, 2_900_000), stall=60, on_sent=told.append)
        response = await client.transport.send("PUT", client.url("/up"), {"Content-Length": "2899990"}, payload)
        assert response.status == 201
        assert server.seen[0].body == content[10:2_900_000]
        assert told[-1] == 2_899_990 and told == sorted(told)
    await body.close()


async def test_an_early_413_is_seen_over_tls(certificate: Certificate, tmp_path: Path) -> None:
    size = 64 * 1024 * 1024
    (tmp_path / "blob").touch()
    os.truncate(tmp_path / "blob", size)
    body = FileBody((tmp_path / "blob").open("rb", buffering=0))
    async with Scripted(certificate.server) as server, opened(server.origin, ca_file=certificate.cert) as client:
        server.on("PUT", "/up", Says(413, early=True))
        payload = SpanPayload(body, Span(0, size), stall=60, on_sent=lambda _: None)
        response = await client.transport.send("PUT", client.url("/up"), {"Content-Length": str(size)}, payload)
        assert response.status == 413
        assert not payload.complete
    await body.close()


async def test_a_redirect_from_https_to_http_is_not_followed(certificate: Certificate) -> None:
    async with (
        Scripted(certificate.server) as server,
        Scripted() as plain,
        opened(server.origin, tls_verify=False) as client,
    ):
        server.on("GET", "/v2/x", Says(307, (("Location", f"{plain.origin}/x"),)))
        with pytest.raises(ProtocolViolation, match="from https to http"):
            await client.request("GET", client.url("/v2/x"), PULL)
        assert plain.connections == 0


async def test_http_at_a_port_that_speaks_tls_is_a_lost_connection(certificate: Certificate) -> None:
    async with Scripted(certificate.server) as server, opened(server.origin.replace("https", "http")) as client:
        with pytest.raises(RegistryPushError) as caught:
            await client.transport.send("GET", client.url("/v2/"), {})
        assert caught.value.exit_code == 6


def test_a_file_that_is_missing_is_named(certificate: Certificate, tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    for settings in (
        Settings(home=NOWHERE, ca_file=missing),
        Settings(home=NOWHERE, cert=missing, key_file=certificate.key),
        Settings(home=NOWHERE, cert=certificate.cert, key_file=missing),
    ):
        with pytest.raises(KeyNotFound, match=r"missing\.pem") as caught:
            context_for("r.example", settings, is_registry=True)
        assert caught.value.exit_code == 3


def test_a_file_that_is_no_certificate_is_a_wrong_setting(certificate: Certificate, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    other = self_signed(tmp_path / "other")
    for settings in (
        Settings(home=NOWHERE, ca_file=tmp_path / "empty.pem"),
        Settings(home=NOWHERE, ca_file=tmp_path),
        Settings(home=NOWHERE, cert=certificate.cert, key_file=other.key),
    ):
        with pytest.raises(InvalidSettings) as caught:
            context_for("r.example", settings, is_registry=True)
        assert caught.value.exit_code == 2


@pytest.mark.parametrize("is_trusted", [False, True])
async def test_the_system_s_store_is_asked_if_that_is_wanted(certificate: Certificate, is_trusted: bool) -> None:
    """On Linux it is OpenSSL's; on macOS and Windows, where this was not tried, it is the system's."""
    trusted = certificate.cert if is_trusted else None
    async with (
        Scripted(certificate.server) as server,
        opened(server.origin, system_certs=True, ca_file=trusted) as client,
    ):
        server.on("GET", "/v2/", Says(200))
        if is_trusted:
            assert (await client.request("GET", client.url("/v2/"), PULL)).status == 200
        else:
            with pytest.raises(TLSFailed, match="no trusted TLS connection"):
                await client.request("GET", client.url("/v2/"), PULL)


def test_the_system_s_store_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "truststore", None)
    with pytest.raises(InvalidSettings, match="truststore") as missing:
        context_for("r.example", Settings(home=NOWHERE, system_certs=True), is_registry=True)
    assert "pip install 'registry-push[truststore]'" in (missing.value.hint or "")
