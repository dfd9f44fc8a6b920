"""A registry that keeps nothing: for content that no storage here could hold. Run as a script: `sink.py PORT`.

It checks no digest, so what it is told is not verified there: only the client's own cost is measured on it.
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_BUFFER = 1 << 20


class Handler(BaseHTTPRequestHandler):
    """Takes every blob and every manifest; has none until it was put."""

    protocol_version = "HTTP/1.1"
    manifests: set[str] = set()  # noqa: RUF012  # one for the server, which makes a handler for each connection

    def setup(self) -> None:
        super().setup()
        self.buffer = memoryview(bytearray(_BUFFER))

    def do_HEAD(self) -> None:
        self._answer(200 if self.path in self.manifests else 404)

    do_GET = do_HEAD  # noqa: N815  # as the base class names them

    def do_POST(self) -> None:
        self._answer(202, Location=f"{self.path}session?offset=0", Range="0-0")

    def do_PATCH(self) -> None:
        offset = int(parse_qs(urlsplit(self.path).query)["offset"][0]) + self._swallow()
        path = urlsplit(self.path).path
        self._answer(202, Location=f"{path}?offset={offset}", Range=f"0-{offset - 1}")

    def do_PUT(self) -> None:
        self._swallow()
        if "/manifests/" in self.path:
            self.manifests.add(self.path)
        self._answer(201)

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def _swallow(self) -> int:
        left = length = int(self.headers.get("Content-Length", "0"))
        while left:
            got = self.rfile.readinto(self.buffer[:left])
            if not got:
                raise ConnectionAbortedError("the body ended early")
            left -= got
        return length

    def _answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.daemon_threads = True
    server.serve_forever()
