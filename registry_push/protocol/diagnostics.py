"""The registry's own words in an error's body."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from msgspec import Struct

from ..errors import printable, redacted

# Enough for any error document; a gateway's HTML page is of no use beyond its title.
MAX_ERROR_BYTES: Final = 64 * 1024
# Bytes of plain text. More than is shown: a login in a URL is only recognised by the @ that follows it.
_MOST_PLAIN: Final = 4 * 1024
# Many servers begin a page or a plain text with the status, which the message shows already.
_STATUS: Final = re.compile(r"\A\s*[45][0-9]{2}\s+")
_TITLE = re.compile(rb"<title>([^<]{1,200})</title>", re.IGNORECASE)


class Diagnosis(Struct, frozen=True):
    """The registry's own words: its error codes (distribution-spec, "Error Codes") and one line of text."""

    codes: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return self.text


def diagnose(body: bytes) -> Diagnosis:
    """Read the body of a 4xx or 5xx answer. It can be anything; never raises, never more than a line."""
    if not body:  # as of every HEAD
        return Diagnosis((), "")
    try:
        # Decoded as UTF-8, since `loads` would also guess UTF-16, in which no secrets have been looked for.
        document = json.loads(body[:MAX_ERROR_BYTES].decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        title = _TITLE.search(body[:MAX_ERROR_BYTES])
        words = title[1] if title else b"" if body.lstrip()[:1] == b"<" else body[:_MOST_PLAIN]
        return Diagnosis((), _line(_STATUS.sub("", words.decode("utf-8", "replace")).strip(), limit=200))
    match document:
        case {"errors": [_, *_] as errors}:
            entries = [entry for entry in errors[:5] if isinstance(entry, dict)]
            codes = tuple(code for entry in entries if isinstance(code := entry.get("code"), str))
            return Diagnosis(codes, _line("; ".join(filter(None, map(_entry, entries)))))
        case {"error": str(text)} | {"message": str(text)} | {"details": str(text)}:
            return Diagnosis((), _line(text))
        case _:
            return Diagnosis((), "")


def _line(text: str, *, limit: int = 300) -> str:
    """Make text fit to be shown: a presigned URL that a registry quotes must not get into our logs."""
    return printable(redacted(text), limit=limit)


def _entry(entry: dict[str, Any]) -> str:
    code, message, detail = entry.get("code"), entry.get("message"), entry.get("detail")
    words = message if isinstance(message, str) and message else code if isinstance(code, str) else ""
    # Registries put the one useful fact in `detail`: GHCR its limit, distribution the digest it misses.
    if isinstance(detail, str) and detail and detail not in words:
        return f"{words} ({detail})" if words else detail
    if isinstance(detail, dict) and detail:
        return f"{words} ({redacted(json.dumps(detail))[:160]})".lstrip()
    return words
