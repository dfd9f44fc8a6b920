"""Loads aiohttp without the system's certificates, of which it would make two sets that nobody uses."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from typing import Final

# What OpenSSL looks at to find the system's certificates (openssl-env(7)).
_VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def load_aiohttp(environ: MutableMapping[str, str]) -> None:
    """Import aiohttp while OpenSSL is told by the process' `environ` that there are no certificates.

    aiohttp makes two TLS contexts for its own use when it is imported, and reads every root of the system into both
    (3.14, connector.py): a quarter of the time that the import takes, 25 ms of a push that has nothing to send. Each
    of our connections brings a context of its own (`tls.py`). For commands only: in a program that uses aiohttp too,
    its connections would trust nobody.
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
