"""Where an upload continues: `Location` headers, resolved and judged."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urldefrag, urljoin, urlsplit, urlunsplit

from ..errors import InvalidName, ProtocolViolation, redacted
from ..model import Digest, HTTPOrigin
from ..model.origin import beginning
from .astray import CHECK_PROXY

_UNUSABLE: Final = re.compile(r"[^\x21-\x7e]")


def resolve(base: str, location: str) -> str:
    """Return the absolute URL that `location` means, answered at `base`; its query is kept as it is.

    Registries behind a TLS proxy answer with `http://`, or without their port: on the same host, the scheme and port of
    `base` are kept (regclient and containerd do the same). Any other host is used as given, but never by http after
    https. Raises `ProtocolViolation`.
    """
    if not location or not is_line(location):
        raise ProtocolViolation("the registry opened an upload but gave no usable Location", url=base)
    if location.startswith(f"{beginning(base)}/") and "#" not in location and location[-1] != "?":
        return location  # the usual case: 1 µs, and the code below takes 9
    try:
        url = urldefrag(urljoin(base, location)).url  # a fragment is not sent, and the digest would become part of it
        here, there = HTTPOrigin.of(base), HTTPOrigin.of(url)
    except (ValueError, InvalidName) as error:
        raise ProtocolViolation(f"the registry gave an odd Location: {redacted(location)}", url=base) from error
    if there == here:
        return url
    parts = urlsplit(url)
    if there.host == here.host and (parts.port is None or (here.scheme, there.scheme) == ("https", "http")):
        return urlunsplit((here.scheme, here.netloc, parts.path, parts.query, ""))
    if here.scheme == "https" and there.scheme == "http":
        raise ProtocolViolation(f"the registry sends the upload from https to {there}", hint=CHECK_PROXY, url=base)
    return url


def is_line(url: str) -> bool:
    """Return whether `url` fits into the first line of a request: it has no space and no control character."""
    return not _UNUSABLE.search(url)


def absolute(base: str, url: str) -> str:
    """Return `url`, answered at `base`, unchanged: it is signed, so no byte of it may be written differently.

    Raises `ProtocolViolation` if it is relative, or leads from https to http.
    """
    resolve(base, url)
    try:
        HTTPOrigin.of(url)
    except InvalidName as error:
        raise ProtocolViolation(
            f"the registry gave a direct URL that is not absolute: {redacted(url)}", url=base
        ) from error
    return url


def is_usable(location: str) -> bool:
    """Return whether `location` is an absolute URL, as `resolve` returns; for URLs stored by an earlier run."""
    try:
        HTTPOrigin.of(location)
        location.encode()
    except (InvalidName, UnicodeEncodeError):
        return False
    return not _UNUSABLE.search(location) and "#" not in location


def closing(location: str, digest: Digest, *, etag: str | None = None) -> str:
    """Return the URL of the PUT that closes a session: its query with `digest` added (spec, "Pushing blobs").

    `etag` is that of the parts, at an Ollama registry.
    """
    closed = f"{location}{'&' if '?' in location else '?'}digest=sha256%3A{digest.hex}"
    return f"{closed}&etag={etag}" if etag else closed
