"""The answers of token services."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Self

from ...errors import ProtocolViolation

# docker's token specification: without `expires_in` a token is good for 60 seconds.
_DEFAULT_LIFE: Final = 60.0
# Seconds. Tokens are renewed this long before they expire, so that none expires on the way.
_MARGIN: Final = 5.0
# The largest answer of a token service that is read; the longest tokens seen (Azure's) have a few kilobytes.
MAX_TOKEN_BYTES: Final = 64 * 1024
HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]++\Z")


# The clock skew that Ollama's token service accepts in a signature.
_SKEW: Final = 300.0
_ASK: Final = "ask who runs the registry: its token service answers so"


def clock_skew(date: str | None, *, now: float) -> str | None:
    """Return how far our clock (`now`, unix seconds) is off an answer's `Date`, as `12 minutes behind`; or None."""
    try:
        told = parsedate_to_datetime(date or "")
        ahead = now - told.replace(tzinfo=told.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    if abs(ahead) <= _SKEW:
        return None
    return f"{abs(ahead) / 60:.0f} minutes {'ahead of' if ahead > 0 else 'behind'}"


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token, good until `expires` (unix seconds, a margin taken off)."""

    value: str = field(repr=False)
    expires: float

    @classmethod
    def read(cls, body: bytes, *, now: float) -> Self:
        """Return the token in `{"token": …}` or `{"access_token": …}`. Raises `ProtocolViolation`."""
        try:
            document = json.loads(body[:MAX_TOKEN_BYTES])
        except (ValueError, RecursionError) as error:
            raise ProtocolViolation("the token service gave no JSON", hint=_ASK) from error
        match document:
            case {"token": str(value)} if value:
                pass
            case {"access_token": str(value)} if value:
                pass
            case _:
                raise ProtocolViolation("the token service's answer has no token in it", hint=_ASK)
        if not HEADER_SAFE.match(value):
            raise ProtocolViolation("the token service's token has characters that no header can carry", hint=_ASK)
        life = document.get("expires_in")
        known = isinstance(life, int | float) and not isinstance(life, bool) and 0 < life < 10**9
        # Of a lifetime shorter than twice the margin, half is the margin: else the token would never be used.
        seconds = float(life) if known else _DEFAULT_LIFE
        return cls(value, now + seconds - min(_MARGIN, seconds / 2))


def refresh_token(body: bytes) -> str | None:
    """Return the refresh token in an answer, for the next use; None if it has none."""
    try:
        document = json.loads(body[:MAX_TOKEN_BYTES])
    except (ValueError, RecursionError):
        return None
    match document:
        case {"refresh_token": str(value)} if HEADER_SAFE.match(value):
            return value
        case _:
            return None
