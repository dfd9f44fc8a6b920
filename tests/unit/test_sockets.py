"""What the kernel is told of our sockets."""

from __future__ import annotations

import socket
import sys
from asyncio.trsock import TransportSocket

import pytest

from registry_push.errors import InvalidSettings
from registry_push.http.sockets import prepare_for, socket_factory

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the options are Linux's")
HERE = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))


def unsent(made: socket.socket) -> int:
    return made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)


@LINUX
def test_an_idle_connection_is_probed_and_little_waits_in_the_kernel() -> None:
    with socket_factory("system")(HERE) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 20
        assert unsent(made) == 1024 * 1024


@LINUX
@pytest.mark.parametrize(("length", "left"), [(16 * 1024 * 1024, 128 * 1024), (16 * 1024 * 1024 - 1, 1024 * 1024)])
def test_less_waits_of_a_long_body_to_this_machine(length: int, left: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket_factory("system")(HERE) as made:
        made.connect(server.getsockname())
        prepare_for(TransportSocket(made), length)
        assert unsent(made) == left


@LINUX
def test_a_congestion_control_that_is_none_is_named_before_anything_is_sent() -> None:
    with pytest.raises(InvalidSettings, match="no congestion control 'nonsense'"):
        socket_factory("nonsense")
