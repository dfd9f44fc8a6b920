"""Servers in front of a registry: firewalls that refuse a method, redirects to another spelling of a path."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from .answers import html
from .auth import origin, other_origin
from .quirks import Quirks

_WRITES: Final = ("POST", "PATCH", "PUT")


class Front:
    """Answers requests before the registry sees them."""

    def __init__(self, quirks: Quirks) -> None:
        self._quirks = quirks

    def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Return the answer, or None if the registry is to handle the request."""
        if request.method == "PATCH" and self._quirks.refuses_patch is not None:
            return html("method refused", status=self._quirks.refuses_patch)
        status = self._quirks.slash_redirect
        if status is not None and request.method in _WRITES and not _is_toggled(request.path):
            query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
            base = other_origin(request) if self._quirks.redirects_elsewhere else origin(request)
            location = f"{base}{_toggled(request.rel_url.raw_path)}{query}"
            return web.Response(status=status, headers={"Location": location})
        return None

    def path(self, request: web.Request) -> str:
        """Return the path as the registry's routes spell it."""
        if self._quirks.slash_redirect is not None and request.method in _WRITES:
            return _toggled(request.path)
        return request.path


def _is_toggled(path: str) -> bool:
    """Return whether the path is not as the specification spells it: only `…/blobs/uploads/` ends in a slash there."""
    return path.endswith("/blobs/uploads") or (path.endswith("/") and not path.endswith("/blobs/uploads/"))


def _toggled(path: str) -> str:
    return path[:-1] if path.endswith("/") else f"{path}/"
