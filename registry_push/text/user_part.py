"""The user part of an address: a name and a password, or a token, which no message may show."""

from __future__ import annotations

import re
from typing import Final

from .patterns import LazyPattern

# A URL in prose, with its scheme or without (`//host/…`). Possessive and bounded: it never looks twice at a character.
_URL: Final = LazyPattern(r"((?:[a-z][a-z0-9+.-]{0,20}+:)?//)([^\s\"<>]++)", re.IGNORECASE)
_SCHEME: Final = LazyPattern(r"[a-z][a-z0-9+.-]*+://", re.IGNORECASE)
_AUTHORITY_END: Final = LazyPattern(r"[/?#]")
_QUERY: Final = LazyPattern(r"[?#]")
_HOST_AND_PORT: Final = LazyPattern(r"(?:\[[^\[\]]*\]|[^:\[\]]*)(?::[0-9]{0,5})?")
# Characters that Unicode considers the same as an @ (NFKC); input methods write them.
OTHER_ATS: Final = "\uff20\ufe6b"
# The @ that ends a login. The @ of a reference does not: a whole digest follows it, and nothing else. (A host may be
# called `sha256`.)
_AT: Final = LazyPattern(rf"[@{OTHER_ATS}](?!sha[0-9]{{3}}[:-][0-9a-f]{{64,128}}+(?![\w/:@{OTHER_ATS}-]))")
# The last character of `printable` if it had to cut.
_CUT: Final = "…"


def without_user_parts(prose: str) -> str:
    """Return `prose` without the user part of its URLs.

    A password that is not percent-encoded may hold any of `/?#@`, so all up to the last @ is taken for it.
    """
    return _URL.compiled.sub(_without_user_part, prose) if "//" in prose else prose


def without_login(address: str) -> str:
    """Return `address`, with a scheme or without, less what comes before its last @."""
    at = _last_at(address)
    if at < 0:
        return address
    scheme = _SCHEME.compiled.match(address)
    return f"{scheme[0] if scheme else ''}{_CUT}{address[at:]}"


def _without_user_part(url: re.Match[str]) -> str:
    start, rest = url.groups()
    ends = _AUTHORITY_END.compiled.search(rest)
    authority = rest[: ends.start()] if ends else rest
    is_host = _HOST_AND_PORT.compiled.fullmatch(authority[_last_at(authority) + 1 :]) is not None
    query = _QUERY.compiled.search(rest)
    # An @ in a query after a host belongs to the query; if what precedes it can't be a host, it ends a password.
    at = _last_at(rest[: query.start()] if is_host and query else rest)
    if at >= 0:
        return f"{start}{'' if at < len(authority) else _CUT + '@'}{rest[at + 1 :]}"
    return f"{start}{_CUT}" if rest.endswith(_CUT) and not is_host else url[0]


def _last_at(text: str) -> int:
    """Return where the last @ is that ends a login, -1 if there is none. From the end: a text may be full of them."""
    for other in OTHER_ATS:
        text = text.replace(other, "@")
    at = text.rfind("@")
    while at >= 0 and not _AT.compiled.match(text, at):
        at = text.rfind("@", 0, at)
    return at
