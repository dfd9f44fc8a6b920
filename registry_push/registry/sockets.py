"""The sockets that requests go over."""

from __future__ import annotations

import socket
from typing import Any, Final

# Seconds. Home routers and load balancers forget a silent connection after a minute and more (AWS NLB 350 s, Azure
# 240 s, cheap routers 60 s): a registry that hashes 40 GB before it answers is silent for longer.
_IDLE: Final = 20
_BETWEEN: Final = 10
_PROBES: Final = 6
# Bytes that may wait in the kernel, unsent. Without it megabytes do (4 MiB on Linux): progress runs ahead of the line,
# and on a slow one the answer seems late. 1 GiB on loopback took 0.50-0.61 s so, and 0.55-0.58 s without.
_UNSENT: Final = 1024 * 1024
# Linux has all; macOS calls the first one TCP_KEEPALIVE, its own default does.
_OPTIONS: Final = {
    "TCP_KEEPIDLE": _IDLE,
    "TCP_KEEPINTVL": _BETWEEN,
    "TCP_KEEPCNT": _PROBES,
    "TCP_NOTSENT_LOWAT": _UNSENT,
}


def upload_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for `address` (as getaddrinfo gives it) whose connection the kernel probes while nothing moves."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
