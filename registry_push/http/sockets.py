"""The sockets that requests go over."""

from __future__ import annotations

import socket
from asyncio.trsock import TransportSocket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from ..errors import InvalidSettings, printable
from ..model.origin import is_loopback

# Seconds. Home routers and load balancers drop a silent connection after a minute or more (AWS NLB 350 s, Azure
# 240 s, cheap routers 60 s): a registry that hashes 40 GB before it answers is silent for longer.
_IDLE: Final = 20
_BETWEEN: Final = 10
_PROBES: Final = 6
# Bytes that may wait unsent in the kernel. By default it is megabytes (4 MiB on Linux): progress would run ahead of the
# line, and on a slow line the answer would seem late. On loopback it costs nothing.
_UNSENT: Final = 1024 * 1024
# The same for a long body to a registry on this machine, which then reads bytes that are still in a cache: 0.92 of the
# time for 1 GiB in one blob. Short bodies would take longer.
_UNSENT_HERE: Final = 128 * 1024
_LONG: Final = 16 * 1024 * 1024
# With 0.1 % of loss at 50 ms, CUBIC takes three times as long as BBR with 16 connections, and ten times with one.
_BEST: Final = "bbr"
# Linux has all of them; macOS calls the first one TCP_KEEPALIVE, and its default is good enough.
_OPTIONS: Final = {
    "TCP_KEEPIDLE": _IDLE,
    "TCP_KEEPINTVL": _BETWEEN,
    "TCP_KEEPCNT": _PROBES,
    "TCP_NOTSENT_LOWAT": _UNSENT,
}


def socket_factory(congestion: str) -> Callable[[tuple[Any, ...]], socket.socket]:
    """Return a factory of sockets for addresses of getaddrinfo; the kernel probes their idle connections.

    `congestion` is `auto`, `system` or the name of a congestion control. Raises `InvalidSettings` for one that the
    kernel does not have or does not allow us.
    """
    if congestion not in ("auto", "system"):
        with socket.socket() as trial:
            _set_congestion(trial, congestion)

    def made_for(address: tuple[Any, ...]) -> socket.socket:
        made = _probed_socket(*address[:3])
        if congestion == "auto" and not is_loopback(str(address[4][0])):
            with suppress(InvalidSettings):
                _set_congestion(made, _BEST)
        elif congestion not in ("auto", "system"):
            _set_congestion(made, congestion)
        return made

    return made_for


def prepare_for(line: TransportSocket, length: int) -> None:
    """Tune the connected socket for a body of `length` bytes that this process copies into it."""
    if length >= _LONG and hasattr(socket, "TCP_NOTSENT_LOWAT") and is_loopback(str(line.getpeername()[0])):
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_HERE)


def _set_congestion(made: socket.socket, name: str) -> None:
    try:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
    except (OSError, AttributeError) as error:  # AttributeError: not Linux
        allowed = "cat /proc/sys/net/ipv4/tcp_allowed_congestion_control"
        raise InvalidSettings(
            f"this kernel gives us no congestion control {printable(repr(name), limit=40)}",
            hint=f"see which it does: {allowed}",
        ) from error


def _probed_socket(family: int, kind: int, protocol: int) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
