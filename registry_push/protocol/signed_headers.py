"""The headers that a direct upload's URL was signed with, which we repeat to the storage. Pure.

The registry chooses their names and values. If we repeated more than presigners sign, it could send requests of its own
to any host: a `Transfer-Encoding` beside our Content-Length smuggles a second request (CVE-2026-85180).
"""

from __future__ import annotations

from typing import Final

from ..errors import ProtocolViolation, printable
from ..model import HTTPOrigin
from ..text.patterns import LazyPattern

# What the presigners of S3, Google Cloud Storage and Azure sign besides the host.
_SIGNED: Final = LazyPattern(
    r"(?:content-(?:type|md5|disposition|encoding)|cache-control|if-none-match|x-(?:amz|goog|ms)-[a-z0-9_-]{1,100})\Z"
)
_VALUE: Final = LazyPattern(r"[\x20-\x7e\xa0-\xff\t]{0,4096}\Z")


def to_repeat(named: tuple[tuple[str, str], ...], *, url: str, size: int) -> dict[str, str]:
    """Return the headers of `named` that a PUT of `size` bytes to `url` repeats.

    `Host` and `Content-Length` are signed too, and may be named (AWS's SDK for Go lists them): they are skipped if they
    match the request. Raises `ProtocolViolation` for everything else that no presigner signs, and for a header with two
    values.
    """
    implied = {"host": HTTPOrigin.of(url).netloc, "content-length": str(size)}
    repeated: dict[str, tuple[str, str]] = {}
    for name, value in named:
        key = name.lower()
        if implied.get(key) == value.strip().lower():
            continue
        if (
            not _SIGNED.compiled.match(key)
            or not _VALUE.compiled.match(value)
            or repeated.get(key, (name, value))[1] != value
        ):
            raise ProtocolViolation(
                f"the registry wants a direct upload to carry the header {printable(repr(name), limit=80)}",
                hint="nothing was sent there: no storage signs that; ask the registry's owner about X-Signed-Header",
                url=url,
            )
        repeated[key] = name, value
    return dict(repeated.values())
