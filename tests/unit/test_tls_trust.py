"""Which authorities are trusted: those that the user names, as curl, Go and Python 3.11 take them, on every Python."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from registry_push.errors import InvalidSettings, KeyNotFound, TLSFailed
from registry_push.http.tls import context_for
from registry_push.settings import Settings
from tests.support.scripted import NOWHERE, Says, Scripted, opened
from tests.support.tls import Authority, Certificate, self_signed


async def _reach(server: Certificate, authority: Authority) -> int:
    async with (
        Scripted(server.server, otherwise=Says(200)) as registry,
        opened(registry.origin, ca_file=authority.cert) as client,
    ):
        return (await client.transport.send("GET", client.url("/v2/"), {})).status


async def test_a_private_ca_without_key_usage_is_trusted(tmp_path: Path) -> None:
    """Python 3.13 sets VERIFY_X509_STRICT, which refuses it, and certificates without key identifiers."""
    authority = Authority.create(tmp_path / "ca")
    assert await _reach(authority.issue(tmp_path / "server"), authority) == 200


@pytest.mark.parametrize("folder", [".config/containers/certs.d", ".config/docker/certs.d", ".docker/certs.d"])
async def test_a_private_ca_is_trusted_in_each_folder_of_its_host(tmp_path: Path, folder: str) -> None:
    authority = Authority.create(tmp_path / "ca")
    async with Scripted(authority.issue(tmp_path / "server").server, otherwise=Says(200)) as registry:
        place = tmp_path / folder / f"127.0.0.1:{registry.port}"
        place.mkdir(parents=True)
        (place / "ca.crt").write_bytes(authority.cert.read_bytes())
        async with opened(registry.origin, home=tmp_path) as client:
            assert (await client.transport.send("GET", client.url("/v2/"), {})).status == 200


async def test_an_intermediate_that_is_named_is_trusted_without_its_root(tmp_path: Path) -> None:
    """So have curl, Go and Python since 3.13."""
    root = Authority.create(tmp_path / "root", name="root")
    between = Authority.create(tmp_path / "between", name="between", by=root)
    assert await _reach(between.issue(tmp_path / "server"), between) == 200


async def test_what_a_lax_ca_signs_is_judged_all_the_same(tmp_path: Path) -> None:
    authority, other = Authority.create(tmp_path / "ca"), Authority.create(tmp_path / "other")
    for wrong in (
        authority.issue(tmp_path / "name", hosts=["other.example"]),
        authority.issue(tmp_path / "old", last=-1),
        other.issue(tmp_path / "foreign"),
    ):
        with pytest.raises(TLSFailed):
            await _reach(wrong, authority)


async def test_a_server_certificate_signs_no_others(tmp_path: Path) -> None:
    """Only a CA's certificate may: that check stays without VERIFY_X509_STRICT."""
    authority = Authority.create(tmp_path / "ca")
    server = authority.issue(tmp_path / "server", hosts=["mine.example"])
    key = load_pem_private_key(server.key.read_bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    forger = Authority(server.cert, x509.load_pem_x509_certificate(server.cert.read_bytes()), key)
    forged = forger.issue(tmp_path / "forged", sends=[forger])
    with pytest.raises(TLSFailed):
        await _reach(forged, authority)


def _folder_of(home: Path) -> Path:
    folder = home / ".docker/certs.d/r.example"
    folder.mkdir(parents=True)
    return folder


def test_a_client_certificate_without_its_key_says_which_file_is_missing(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path / "it")
    folder = _folder_of(tmp_path)
    (folder / "client.cert").write_bytes(certificate.cert.read_bytes())
    with pytest.raises(KeyNotFound) as caught:
        context_for("r.example", Settings(home=tmp_path), is_registry=True)
    assert str(folder / "client.key") in str(caught.value)
    assert caught.value.hint == "put the key of client.cert there; if that is a CA's certificate, call it client.crt"


@pytest.mark.parametrize("missing", ["cert", "key_file"])
def test_a_named_client_certificate_that_is_missing_proposes_no_new_key(tmp_path: Path, missing: str) -> None:
    certificate = self_signed(tmp_path / "it")
    files = {"cert": certificate.cert, "key_file": certificate.key, missing: tmp_path / "gone.pem"}
    with pytest.raises(KeyNotFound, match=r"gone\.pem") as caught:
        context_for("r.example", Settings(home=NOWHERE, **files), is_registry=True)  # type: ignore[arg-type]  # paths
    assert caught.value.hint == "check --cert and --key-file"


@pytest.mark.parametrize("file", ["ca.crt", "client.cert", "client.key"])
@pytest.mark.parametrize("content", ["", "nonsense", None])
def test_a_file_in_a_folder_of_certificates_that_is_none_is_named(
    tmp_path: Path, file: str, content: str | None
) -> None:
    certificate, folder = self_signed(tmp_path / "it"), _folder_of(tmp_path)
    (folder / "client.cert").write_bytes(certificate.cert.read_bytes())
    (folder / "client.key").write_bytes(certificate.key.read_bytes())
    (folder / file).unlink(missing_ok=True)
    if content is None:
        os.mkfifo(folder / file)  # nobody waits for its writer
    else:
        (folder / file).write_text(content)
    with pytest.raises(InvalidSettings) as caught:
        context_for("r.example", Settings(home=tmp_path), is_registry=True)
    assert str(folder / file) in str(caught.value)
    assert "_ssl.c" not in str(caught.value)
    assert "[" not in str(caught.value)
