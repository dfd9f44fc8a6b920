"""Text from elsewhere, made safe for a terminal and a log: no control or invisible characters, no logins."""

from __future__ import annotations

import re

from .patterns import LazyPattern
from .user_part import without_login, without_user_parts

# All of Unicode's Cc, Cf, Zl and Zp, and the whole plane of tags: they control a terminal, or are invisible.
_UNPRINTABLE = LazyPattern(
    "[\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def printable(text: str, *, limit: int = 600) -> str:
    """Return `text` without control and invisible characters, and not longer than `limit`.

    Text from registries and files ends up on terminals and in logs; escape sequences in it must have no effect.
    """
    text = text[: limit + 1]
    text = text.encode("utf-8", "replace").decode()  # half a surrogate pair, which JSON can spell, can't be printed
    cleaned = _UNPRINTABLE.compiled.sub(_escaped, text)
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + "…"


def _escaped(found: re.Match[str]) -> str:
    if found[0] in "\n\t":
        return " "
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def redacted(text: str) -> str:
    """Return `text` without secrets (see `redaction`) and without the user part of each URL in it.

    It is cut after a few thousand characters: text from a registry can have any length.
    """
    # Imported only when there is a failure to report: compiling the patterns takes 2 ms, a hundredth of a short push.
    try:
        from .redaction import MOST, without_marked_secrets
    except OSError:  # no file can be opened any more: better to show too little than a secret
        return without_user_parts(text.partition("?")[0][:300])
    return without_marked_secrets(without_user_parts(text[:MOST]))


def quoted(text: str, *, limit: int = 120) -> str:
    """Return what somebody wrote in quotes, for a message: safe to print, and without a login."""
    return printable(repr(without_login(text)), limit=limit)
