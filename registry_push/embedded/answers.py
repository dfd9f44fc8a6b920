"""The registry's answers in the specification's words (distribution-spec, "Error Codes")."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from aiohttp import web


class Code(Enum):
    """The specification's error codes that are used here, each with its status and message."""

    BLOB_UNKNOWN = (404, "blob unknown to registry")
    BLOB_UPLOAD_INVALID = (400, "blob upload invalid")
    BLOB_UPLOAD_UNKNOWN = (404, "blob upload unknown to registry")
    DIGEST_INVALID = (400, "provided digest did not match uploaded content")
    # 400, not 404, is what distribution says here; clients expect it.
    MANIFEST_BLOB_UNKNOWN = (400, "blob unknown to registry")
    MANIFEST_INVALID = (400, "manifest invalid")
    MANIFEST_UNKNOWN = (404, "manifest unknown")
    NAME_UNKNOWN = (404, "repository name not known to registry")
    RANGE_INVALID = (416, "invalid content range")
    SIZE_INVALID = (400, "provided length did not match content length")
    # serverless-registry's word for whatever R2 refuses.
    INTERNAL_ERROR = (500, "internal error")
    UNSUPPORTED = (400, "the operation is unsupported")
    UNAUTHORIZED = (401, "authentication required")
    # Ollama's cmd/cmd_test.go has its registry's 403 as "ACCESS DENIED"; no specification knows that code.
    DENIED = (403, "access denied")
    TOO_LARGE = (413, "request body is too large")

    @property
    def status(self) -> int:
        """The HTTP status of the code."""
        return self.value[0]

    @property
    def spelled(self) -> str:
        """The code in an error document."""
        return "ACCESS DENIED" if self is Code.DENIED else self.name

    @property
    def message(self) -> str:
        """The message."""
        return self.value[1]


class RefusedRequest(Exception):
    """Raised to end the handling of a request with an answer."""

    def __init__(self, code: Code, detail: Any = None, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code.name)
        self.response = error(code, [detail], headers=headers)


def error(code: Code, details: Sequence[Any], *, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return the answer that says `code` once for each of `details`."""
    entry = {"code": code.spelled, "message": code.message}
    errors = [entry if detail is None else entry | {"detail": detail} for detail in details]
    return document({"errors": errors}, status=code.status, headers=headers)


def undeletable(status: int, code: Code) -> web.Response:
    """Return the answer of a registry that does not delete: 404 as one that has no such path, else with `code`."""
    if status == 404:
        return html("The path was not found.", status=404)
    refused = error(code, [None])
    refused.set_status(status)
    return refused


def document(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a JSON answer."""
    return web.Response(
        body=json.dumps(content, separators=(",", ":")).encode() + b"\n",
        status=status,
        headers=headers,
        content_type="application/json",
        charset="utf-8",
    )


def plain(text: str, *, status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an answer that is not the specification's, as distribution's router sends it."""
    return web.Response(text=text + "\n", status=status, headers=headers)


def html(text: str, *, status: int) -> web.Response:
    """Return a page, as a server that is no registry does."""
    page = f"<!DOCTYPE html>\n<html><head><title>{status}</title></head><body>{text}</body></html>\n"
    return web.Response(text=page, status=status, content_type="text/html")


def empty(status: int, headers: Mapping[str, str]) -> web.Response:
    """Return an answer of headers alone."""
    return web.Response(status=status, headers=headers)
