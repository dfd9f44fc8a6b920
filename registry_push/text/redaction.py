"""Secrets that are recognised by their surroundings: queries of URLs, signed parameters, what follows `Bearer`.

For text from elsewhere, whose secrets we can't know. Every pattern is linear: no character is scanned again from a
later start.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

# Characters. Nothing that is shown is longer than half of this, so a secret that is cut here in two is not shown.
MOST: Final = 8 * 1024

_RUN: Final = re.compile(r"[^\s\"'<>]++")
_VALUE: Final = r"[^\s&\"'<>;,()\\]++"
# `name=value`, also with its `=` encoded; `"name": "value"`, also in a JSON text that is a JSON string itself.
_PARAMETER: Final = re.compile(
    rf"(?<![\w.-])([\w.-]{{1,64}}+)((?:\s*+=\s*+|%3D)\\?[\"']?){_VALUE}", re.ASCII | re.IGNORECASE
)
_MEMBER: Final = re.compile(
    r"(?<![\w.-])([\w.-]{1,64}+)(\\?[\"']\s*+:\s*+\\?[\"'])(?:[^\"'\\]|\\.)++", re.ASCII | re.DOTALL
)
_HEADER: Final = re.compile(
    r"(?<![\w.-])(x-[\w-]{1,64}+|(?:proxy-)?authorization)(\\?[\"']?\s*+:\s*+\\?[\"']?)"
    r"(?:(?:Bearer|Basic|Digest|Negotiate|NTLM)\s++)?[^\s\"',;\\]++",
    re.ASCII | re.IGNORECASE,
)
_BEARER: Final = re.compile(
    r"\b(bearer)((?:\s*+[:=]\s*+|\s++|%20|\+)\\?[\"']?)([\w.~+/=%-]++)", re.ASCII | re.IGNORECASE
)
_BASIC: Final = re.compile(
    r"\b(basic)((?:\s*+[:=]\s*+|\s++|%20|\+)\\?[\"']?)([\w+/-]{4,}+(?:=|%3D)*+)", re.ASCII | re.IGNORECASE
)
# JSON Web Tokens begin with the base64 of `{"`.
_JWT: Final = re.compile(r"\beyJ[\w-]{8,}+(?:\.[\w-]*+)*+", re.ASCII)

# How names of secrets end, written without `-` and `_`: X-Amz-Signature, X-Amz-Security-Token, sessionToken, sig.
_ENDINGS: Final = (
    *("token", "signature", "sig", "password", "passwd", "pwd", "passphrase", "secret", "credential", "credentials"),
    *("apikey", "accesskey", "accesskeyid", "secretkey", "privatekey", "keypairid", "authorization", "auth", "jwt"),
)
# What follows "bearer" in sentences and in challenges.
_WORDS: Final = frozenset(
    {
        *("a", "access", "and", "auth", "authentication", "authorization", "challenge", "credentials", "error", "for"),
        *("from", "has", "header", "in", "is", "login", "must", "not", "of", "or", "realm", "required", "scheme"),
        *("scope", "service", "that", "to", "token", "tokens", "was", "with"),
    }
)


def is_secret(name: str) -> bool:
    """Return whether a parameter or header called `name` carries a secret."""
    name = name.lower()
    return name.replace("-", "").replace("_", "").endswith(_ENDINGS) or name.endswith("_state")


def without_marked_secrets(text: str) -> str:
    """Return the beginning of `text`, with `…` for each secret that its surroundings reveal."""
    text = without_queries(text[:MOST])
    text = _HEADER.sub(_without_value, text)
    text = _BEARER.sub(_without_token, text)
    text = _BASIC.sub(_without_login, text)
    text = _JWT.sub("…", text)
    text = _PARAMETER.sub(_without_value, text)
    return _MEMBER.sub(_without_value, text)


def without_queries(text: str) -> str:
    """Return `text` with `…` for the query of each URL in it."""
    return _RUN.sub(_without_query, text) if "?" in text else text


def _without_query(found: re.Match[str]) -> str:
    """Return `…` for a whole query, which can be a capability: after a URL, and after what may be a relative one."""
    before, _, query = found[0].partition("?")
    is_query = (bool(query) and "://" in before) or "=" in query or "%3d" in query.lower()
    return f"{before}?…" if is_query else found[0]


def _without_value(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}…" if is_secret(found[1]) else found[0]


def _without_token(found: re.Match[str]) -> str:
    word = found[3].partition("=")[0].lower()
    return found[0] if word.rstrip(".") in _WORDS else f"{found[1]}{found[2]}…"


def _without_login(found: re.Match[str]) -> str:
    """Return whether this is a login and not a sentence that begins with `Basic`.

    A login has padding, or decodes to something with a colon.
    """
    word = found[3].rstrip("=").replace("-", "+").replace("_", "/")
    try:
        decoded = binascii.a2b_base64(word[: len(word) // 4 * 4])
    except binascii.Error:
        return found[0]
    is_login = b":" in decoded or found[3][-1] == "=" or found[3][-3:].lower() == "%3d"
    return f"{found[1]}{found[2]}…" if is_login else found[0]
