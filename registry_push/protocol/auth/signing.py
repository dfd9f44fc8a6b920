"""What Ollama signs to get a token (auth/auth.go and server/auth.go there). Pure: the key is elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote_plus, unquote_to_bytes

# The hash is of a GET's empty body; the server expects the base64 of its hex digits, not of its bytes.
_EMPTY_BODY: Final = base64.b64encode(hashlib.sha256(b"").hexdigest().encode()).decode()
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


def signed_text(url: str) -> bytes:
    """Return the bytes to sign for a GET of `url`, which must be sent unchanged: not normalised, not quoted again."""
    return f"GET,{url},{_EMPTY_BODY}".encode("utf-8", "surrogateescape")


def token_query(realm: str, service: str, scopes: Iterable[str], nonce: str, ts: int) -> str:
    """Return the URL that asks `realm` for a token; the realm's own query is kept, a fragment is not.

    `scopes` are a challenge's, each perhaps several separated by spaces. Each becomes one parameter, as Ollama's client
    sends them; without any there is an empty one. `nonce` is base64url without padding, `ts` unix seconds.
    """
    base, _, query = realm.partition("#")[0].partition("?")
    pairs = _pairs(query)
    pairs.append((b"service", _bytes(service)))
    pairs += [(b"scope", _bytes(scope)) for scope in " ".join(scopes).split(" ")]
    pairs += [(b"ts", str(ts).encode()), (b"nonce", _bytes(nonce))]
    # Go's url.Values.Encode sorts by key alone: equal keys stay in the order they were added.
    pairs.sort(key=lambda pair: pair[0])
    # quote_plus and Go's QueryEscape leave the same characters as they are: letters, digits and "-_.~".
    return f"{base}?" + "&".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in pairs)


def authorization(public_wire: bytes, signature: bytes) -> str:
    """Return the value of `Authorization`: the public key in SSH's wire form and 64 raw bytes, without a scheme."""
    return f"{base64.b64encode(public_wire).decode()}:{base64.b64encode(signature).decode()}"


def _pairs(query: str) -> list[tuple[bytes, bytes]]:
    """Parse a query as Go's url.ParseQuery does: skip parts with a `;` or a broken escape, keep the others as bytes."""
    pairs = []
    for part in query.split("&"):
        if part and ";" not in part and not _BAD_ESCAPE.search(part):
            key, _, value = part.replace("+", " ").partition("=")
            pairs.append((unquote_to_bytes(_bytes(key)), unquote_to_bytes(_bytes(value))))
    return pairs


def _bytes(text: str) -> bytes:
    # Bytes of a header that are not UTF-8 reach us as lone surrogates; like Go, we keep them.
    return text.encode("utf-8", "surrogateescape")
