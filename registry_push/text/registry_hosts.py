"""Hosts of registries as the keys of tables: what is one, and which are the same."""

from __future__ import annotations

from typing import Final

from .patterns import LazyPattern

_HOST: Final = LazyPattern(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z")
_LAST_PORT: Final = 65535


def is_host(text: str) -> bool:
    """Return whether `text` is a `HOST` or `HOST:PORT`, without a scheme, a login or a path."""
    port = text.rpartition(":")[2]
    return bool(_HOST.compiled.match(text)) and not (port.isdigit() and ":" in text and int(port) > _LAST_PORT)


def compared(host: str) -> str:
    """Return what two spellings of one host have in common: case and the usual port don't count."""
    return host.lower().removesuffix(":443")
