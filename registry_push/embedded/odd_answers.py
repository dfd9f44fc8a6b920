"""Answers that no honest registry sends: a captive portal's, one that never ends, one that echoes credentials."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Iterator
from html import escape
from itertools import chain, repeat
from typing import Final
from urllib.parse import unquote

from aiohttp import web

_PAGE: Final = b"<!DOCTYPE html>\n<html><head><title>Sign in to the network</title></head><body>Welcome</body></html>\n"
# Seconds between two bytes, under any limit on the silence of a line; and how long the server keeps that up.
_DRIP: Final = 10.0
_PATIENCE: Final = 1200.0
_INFORMATIONAL: Final = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
# The parameters of URLs here that are capabilities.
_CAPABILITIES: Final = re.compile(r"(?:_state|X-Amz-Signature|uploadId)=([^&]*)")
# Shorter ones occur by chance.
_TELLING: Final = 8


def portal(form: str) -> web.StreamResponse:
    """Return the answer of a captive portal: a page, the same without a Content-Length, or nothing (204)."""
    if form == "empty":
        return web.Response(status=204)
    page = web.Response(body=_PAGE, content_type="text/html", charset="utf-8")
    if form == "chunked":
        page.enable_chunked_encoding()
    return page


def echo(request: web.Request, status: int, form: str) -> tuple[web.Response, frozenset[str]]:
    """Return an error that repeats the request's Authorization and target, and what of these is secret."""
    header = request.headers.get("Authorization", "")
    login = _login(header)
    message = f"refused: GET {request.raw_path} at {request.url} with {header} ({login})"
    match form:
        case "json":
            entry = {
                "code": "UNKNOWN",
                "message": message,
                "detail": {"Authorization": header, "url": str(request.url)},
            }
            response = web.Response(body=json.dumps({"errors": [entry]}).encode(), content_type="application/json")
        case "page":
            page = f"<html><head><title>{escape(message, quote=False)}</title></head></html>"
            response = web.Response(body=page.encode(), content_type="text/html")
        case _:
            response = web.Response(body=message.encode(), content_type="text/plain")
    response.set_status(status)
    capabilities = _CAPABILITIES.findall(request.raw_path)
    found = {header.partition(" ")[2] or header, login.partition(":")[2], *capabilities, *map(unquote, capabilities)}
    return response, frozenset(secret for secret in found if len(secret) >= _TELLING)


async def drip(request: web.Request, response: web.StreamResponse, form: str) -> bool:
    """Send an answer that never ends, piece by piece; return whether the client has had the patience for it.

    `form`: `informational` answers, a `head`, a `body` of a stated length, or the extension of a `chunk`.
    """
    transport = request.transport
    waited = 0.0
    for piece in _pieces(request, response, form):
        if transport is None or transport.is_closing():
            return False
        if waited >= _PATIENCE:
            return True
        transport.write(piece)
        await asyncio.sleep(_DRIP)
        waited += _DRIP
    raise AssertionError("drips never end")


def _pieces(request: web.Request, response: web.StreamResponse, form: str) -> Iterator[bytes]:
    if form == "informational":
        return repeat(_INFORMATIONAL)
    headers = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items() if name not in _FRAMING)
    head = f"HTTP/1.1 {response.status} OK\r\n{headers}".encode()
    has_body = request.method != "HEAD" and response.status not in (204, 304)
    if form == "body" and has_body:
        return chain([head + b"Content-Length: 1000000\r\n\r\n"], repeat(b"a"))
    if form == "chunk" and has_body:
        return chain([head + b"Transfer-Encoding: chunked\r\n\r\n1;"], repeat(b"a"))
    return chain([head + b"X-Drip: "], repeat(b"a"))


_FRAMING: Final = ("Content-Length", "Transfer-Encoding", "Connection")


def _login(header: str) -> str:
    """Return `user:password` of Basic, else an empty string."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
