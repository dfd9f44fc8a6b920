"""Imports aiohttp without the roots that it loads while it is imported."""

from __future__ import annotations

import ssl
import sys


def import_aiohttp() -> None:
    """For a process that is ours alone: whoever else used aiohttp in it would trust no certificate.

    aiohttp makes two contexts of its own when it is imported and loads the system's roots into both (connector.py of
    3.14): 470 of the 1,560 million instructions of a push that has nothing to send. Each of our connections brings its
    own context (`tls.py`), those to proxies too, so these two may stay empty.
    """
    if "aiohttp" in sys.modules:
        return
    inherited = "set_default_verify_paths"  # of `_ssl._SSLContext`: to take it away again, it need only be deleted
    setattr(ssl.SSLContext, inherited, lambda _: None)
    try:
        import aiohttp  # noqa: F401  # for those who import it after this
    finally:
        delattr(ssl.SSLContext, inherited)
