"""Imports aiohttp without loading the system's certificates, which nothing would use."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from typing import Final

# Variables that tell OpenSSL where the system's certificates are (openssl-env(7)).
_VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def load_aiohttp(environ: MutableMapping[str, str]) -> None:
    """Import aiohttp while variables in the process's `environ` make OpenSSL find no certificates.

    aiohttp creates two TLS contexts when it is imported, and reads every root of the system into both (3.14,
    connector.py): 25 ms, a quarter of the import. Our connections have contexts of their own (`tls.py`). For commands
    only: in a program that uses aiohttp itself, its connections would trust no server.
    """
    if "aiohttp" in sys.modules:
        return
    before = {name: environ.get(name) for name in _VARIABLES}
    environ.update(dict.fromkeys(_VARIABLES, os.devnull))
    try:
        import aiohttp  # noqa: F401  # for those who import it after this
    finally:
        for name, value in before.items():
            if value is None:
                del environ[name]
            else:
                environ[name] = value
