"""Certificates that nobody but the test trusts."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class Certificate(NamedTuple):
    """The files of a certificate and its key."""

    cert: Path
    key: Path

    @property
    def server(self) -> ssl.SSLContext:
        """For a server that has it."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.cert, self.key)
        return context


def self_signed(folder: Path, *, host: str = "127.0.0.1", days: int = 1) -> Certificate:
    """Self-signed, for an address; ended `-days` days ago if `days` is negative."""
    key, name = ec.generate_private_key(ec.SECP256R1()), _name("registry-push test")
    built = (
        _builder(name, name, key, [host], first=-10, last=days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _written(folder, [built], key)


@dataclass(frozen=True, slots=True)
class Authority:
    """A private CA as they are made by hand: no keyUsage, basicConstraints not critical, no key identifiers.

    `cert` is the file to trust.
    """

    cert: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(
        cls, folder: Path, *, name: str = "Old Corp CA", by: Authority | None = None, last: int = 30
    ) -> Authority:
        """A root, or an intermediate if it is made `by` another; it ends in `last` days."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer, signer = (_name(name), key) if by is None else (by.certificate.subject, by.key)
        built = (
            _builder(_name(name), issuer, key, (), first=-60, last=last)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=False)
            .sign(signer, hashes.SHA256())
        )
        folder.mkdir(exist_ok=True)
        (folder / "ca.crt").write_bytes(built.public_bytes(Encoding.PEM))
        return cls(folder / "ca.crt", built, key)

    def issue(
        self,
        folder: Path,
        *,
        hosts: Sequence[str] = ("127.0.0.1",),
        first: int = -10,
        last: int = 10,
        sends: Sequence[Authority] = (),
    ) -> Certificate:
        """A certificate for `hosts`, good from `first` to `last` days from now; the server `sends` CAs with it."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name("a server"), self.certificate.subject, key, hosts, first=first, last=last)
        return _written(folder, [builder.sign(self.key, hashes.SHA256()), *(each.certificate for each in sends)], key)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    hosts: Sequence[str],
    *,
    first: int,
    last: int,
) -> x509.CertificateBuilder:
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    builder = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now + first * day)
        .not_valid_after(now + last * day)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_alternative, hosts))), critical=False)
    return builder


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _written(folder: Path, chain: Sequence[x509.Certificate], key: ec.EllipticCurvePrivateKey) -> Certificate:
    folder.mkdir(exist_ok=True)
    (folder / "it.crt").write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in chain))
    (folder / "it.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Certificate(folder / "it.crt", folder / "it.key")
