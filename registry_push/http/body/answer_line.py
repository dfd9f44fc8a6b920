"""The line of an answer: threads read from it what aiohttp would read in the loop."""

from __future__ import annotations

import os
import socket

import aiohttp

from ..bounded_handler import BoundedHandler


def line_of(response: aiohttp.ClientResponse) -> socket.socket | None:
    """The socket from which the rest of the body can be read, past aiohttp; None if it comes encrypted or in chunks.

    3.14: there is no public way to read a body but through its stream, which copies it twice, on the loop.
    """
    connection = response.connection
    protocol = connection.protocol if connection is not None else None
    if not isinstance(protocol, BoundedHandler) or protocol.transport is None or not hasattr(os, "readv"):
        return None
    transport = protocol.transport
    if transport.is_closing() or transport.get_extra_info("sslcontext") is not None:
        return None
    if response.content_length is None or "Transfer-Encoding" in response.headers or response.content.exception():
        return None
    line: socket.socket | None = transport.get_extra_info("socket")
    return line


def take_line(response: aiohttp.ClientResponse) -> bytes:
    """Have aiohttp read no more of a body that has a `line_of`, and return what it has read."""
    protocol = response.connection.protocol if response.connection is not None else None
    assert isinstance(protocol, BoundedHandler), "it has a line"
    come = response.content.read_nowait()  # also what its parser holds
    if not response.content.is_eof():
        protocol.exchange_is_over()
        protocol.stop_reading()
    return come


def return_line(response: aiohttp.ClientResponse) -> None:
    """The body was read to its end past aiohttp: its connection can be used again."""
    protocol = response.connection.protocol if response.connection is not None else None
    if isinstance(protocol, BoundedHandler) and protocol.transport is not None:
        protocol.take_nothing()
        protocol.read_again()
        response.content.feed_eof()
