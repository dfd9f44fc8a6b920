"""How much of a body is read and encrypted at once to go over TLS. All bodies together have to stay small.

Each body has that much in memory four times: the next piece, what OpenSSL makes of it, that again for the transport,
and what waits there. Smaller pieces cost CPU: 256 KiB 1.15 of what 512 KiB do, 1 MiB 0.97.
"""

from __future__ import annotations

from typing import Final

# Bytes.
ENCRYPTED_AT_ONCE: Final = 512 * 1024
# The same when many bodies are in flight: near by memory is what counts, and on a long line there is CPU enough.
_NEAR: Final = 384 * 1024
_FAR: Final = 128 * 1024
_FEW: Final = 2


def encrypted_at_once(*, bodies: int, is_first_chunk: bool, is_near: bool) -> int:
    """Return the bytes to read and encrypt at once, if so many `bodies` go to the registry."""
    # With a first chunk others are about to begin; what OpenSSL has needed once for a connection, it keeps.
    if bodies <= _FEW and not is_first_chunk:
        return ENCRYPTED_AT_ONCE
    return _NEAR if is_near else _FAR
