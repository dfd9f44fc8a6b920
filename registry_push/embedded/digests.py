"""Digests in requests. Only sha256 is supported here, but digests of other algorithms are recognised."""

from __future__ import annotations

import re
from typing import Any, Final

from ..errors import InvalidDigest
from ..model import Digest
from .answers import Code, RefusedRequest

# image-spec, descriptor.md, "Digests". The registered algorithms have a length; the others may be anything.
_GRAMMAR: Final = re.compile(r"([a-z0-9]+(?:[+._-][a-z0-9]+)*):([A-Za-z0-9=_-]+)\Z")
_LOWER_HEX: Final = frozenset("0123456789abcdef")
_HEX_DIGITS: Final = {"sha256": 64, "sha384": 96, "sha512": 128, "blake3": 64}


def digest_of(text: str, *, unknown: Code | None = None) -> Digest:
    """Return the digest that `text` spells. Raises `RefusedRequest`.

    A digest of another algorithm is UNSUPPORTED, or `unknown` if content is requested by it, since it can't be here.
    """
    try:
        return Digest.parse(text)
    except InvalidDigest as error:
        if is_of_another_algorithm(text):
            raise RefusedRequest(unknown or Code.UNSUPPORTED, text) from error
        raise RefusedRequest(Code.DIGEST_INVALID, str(error)) from error


def is_of_another_algorithm(text: object) -> bool:
    """Return whether this is a digest, and not of sha256."""
    match = _GRAMMAR.match(text) if isinstance(text, str) else None
    if match is None or match[1] == "sha256":
        return False
    digits = _HEX_DIGITS.get(match[1])
    return digits is None or (len(match[2]) == digits and set(match[2]) <= _LOWER_HEX)


def names_another_algorithm(document: Any) -> bool:
    """Return whether one of a manifest's descriptors has such a digest."""
    if not isinstance(document, dict):
        return False
    lists = [found for key in ("layers", "manifests") if isinstance(found := document.get(key), list)]
    named = [document.get("config"), document.get("subject"), *(each for found in lists for each in found)]
    return any(isinstance(each, dict) and is_of_another_algorithm(each.get("digest")) for each in named)
