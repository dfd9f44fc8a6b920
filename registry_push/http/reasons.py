"""Why a connection failed, in words for people."""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Mapping
from typing import Final

from ..errors import redacted
from ..text.patterns import LazyPattern
from .tls import words_of

# If several addresses failed, asyncio puts them into one text, without an error number.
_NUMBER: Final = LazyPattern(r"\[Errno ([0-9]{1,5})\]")
_IN_WORDS: Final[Mapping[int, str]] = {
    errno.ECONNREFUSED: "connection refused: nothing listens there",
    errno.ECONNRESET: "the other side reset the connection",
    errno.ECONNABORTED: "the connection was aborted",
    errno.EPIPE: "the other side closed the connection",
    errno.ETIMEDOUT: "nothing answered in time",
    errno.EHOSTUNREACH: "there is no way to this host",
    errno.ENETUNREACH: "there is no way to this network",
    errno.ENETDOWN: "the network is down",
}


def reason_of(error: BaseException) -> str:
    """Return why a connection failed, without error numbers and Python's spelling of addresses."""
    cause = getattr(error, "os_error", error)
    words = _of_the_system(cause) if isinstance(cause, OSError) else str(cause)
    return redacted(words if words not in ("", "None") else "it was closed")


def _of_the_system(error: OSError) -> str:
    number = error.errno
    if number is None and (found := _NUMBER.compiled.search(str(error))):
        number = int(found[1])
    if number is None or number < 0 or isinstance(error, ssl.SSLError):  # negative numbers are from the DNS lookup
        return words_of(error)
    return _IN_WORDS.get(number) or os.strerror(number)
