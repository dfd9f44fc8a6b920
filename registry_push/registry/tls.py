"""TLS as the user and the usual folders want it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from ..errors import InvalidSettings, KeyNotFound
from ..settings import Settings

# containers-certs.d(5) and docker's own folder; every `*.crt` joins the roots, `x.cert` goes with `x.key`.
_SYSTEM_FOLDERS: Final = (Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))


def context_for(netloc: str, settings: Settings, *, is_registry: bool) -> ssl.SSLContext:
    """The TLS context for `netloc` (host or host:port); only a registry is shown the certificate of `--cert`.

    Raises `InvalidSettings` where a certificate can't be read, `KeyNotFound` where one that was named is missing.
    """
    context = ssl.create_default_context()
    if not settings.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.ca_file is not None:
        _load_roots(context, settings.ca_file)
    folders = (settings.home / ".config/containers/certs.d", *_SYSTEM_FOLDERS)
    for folder in (folder / netloc for folder in folders):
        if folder.is_dir():
            for roots in sorted(folder.glob("*.crt")):
                _load_roots(context, roots)
            for cert in sorted(folder.glob("*.cert")):
                _load_chain(context, cert, cert.with_suffix(".key"))
    if is_registry and settings.cert is not None and settings.key_file is not None:
        _load_chain(context, settings.cert, settings.key_file)
    return context


def _load_roots(context: ssl.SSLContext, file: Path) -> None:
    try:
        context.load_verify_locations(cafile=file)
    except FileNotFoundError as error:
        raise KeyNotFound(f"the CA file {file} is not there", hint="check --ca-file") from error
    except (ssl.SSLError, OSError) as error:
        raise InvalidSettings(f"the CA file {file} can't be used: {error}") from error


def _no_passphrase(key: Path) -> str:
    raise InvalidSettings(f"the key {key} has a passphrase", hint="write one without: openssl pkey -in KEY -out NEW")


def _load_chain(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    try:
        context.load_cert_chain(cert, key, password=lambda: _no_passphrase(key))
    except FileNotFoundError as error:
        raise KeyNotFound(f"the client certificate {cert} or its key {key} is not there") from error
    except (ssl.SSLError, OSError) as error:
        raise InvalidSettings(f"the client certificate {cert} with {key} can't be used: {error}") from error
