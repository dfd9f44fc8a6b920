"""Sizes, rates and durations, as people write them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from ..errors import InvalidSettings, printable
from .patterns import LazyPattern

_UNITS: Final = {
    "": 1,
    "b": 1,
    **{prefix + suffix: 1000**n for n, prefix in enumerate("kmgt", 1) for suffix in ("", "b")},
    **{prefix + "ib": 1024**n for n, prefix in enumerate("kmgt", 1)},
}
_NUMBER: Final = r"([0-9]{1,9}(?:\.[0-9]{1,6})?)"
_DURATION: Final = LazyPattern(
    rf"\s*+(?:{_NUMBER}|(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m(?:in)?)?(?:{_NUMBER}s)?)\s*+\Z", re.IGNORECASE
)
_SECONDS: Final = (86_400.0, 3600.0, 60.0, 1.0)
# The largest first: a number is spelt by the largest that divides it.
_SPELT: Final = (
    *((1000**4, "TB"), (1024**4, "TiB"), (1024**3, "GiB"), (1000**3, "GB")),
    *((1024**2, "MiB"), (1000**2, "MB"), (1024, "KiB"), (1000, "kB")),
)
_SIZE: Final = LazyPattern(r"\s*+([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*+([A-Za-z]{0,3})\s*+\Z")


def parse_size(text: str, *, setting: str | None = None) -> int:
    """Return bytes in `64MiB`, `100MB`, `5g` or `1048576` (k, M, G, T are powers of 1000, with `i` of 1024).

    Raises `InvalidSettings`.
    """
    found = _SIZE.compiled.match(text)
    unit = _UNITS.get(found[2].lower()) if found else None
    if found is None or unit is None:
        shown = printable(repr(text), limit=60)
        raise InvalidSettings(
            f"{shown} is not a size", hint="write a number with B, kB, MB, GB, KiB, MiB or GiB", setting=setting
        )
    return int(Decimal(found[1]) * unit)


def parse_rate(text: str, *, setting: str | None = None) -> int:
    """Return bytes a second in `20MB`, `20M`, `20MiB/s` or `off`, which is 0: no limit. Raises `InvalidSettings`."""
    bare = text.strip().lower()
    if bare in ("0", "off", "none"):
        return 0
    try:
        return parse_size(bare.removesuffix("/s").removesuffix("ps"))
    except InvalidSettings:
        shown = printable(repr(text), limit=60)
        raise InvalidSettings(
            f"{shown} is not a rate", hint="write bytes a second: 20MB, 20MiB/s, or off", setting=setting
        ) from None


def parse_duration(text: str, *, setting: str | None = None) -> float:
    """Return seconds in `90`, `90s`, `5m`, `1h30m` or `1d`. Raises `InvalidSettings`."""
    found = _DURATION.compiled.match(text)
    if found is None or not any(found.groups()):
        shown = printable(repr(text), limit=60)
        raise InvalidSettings(
            f"{shown} is not a duration",
            hint="write seconds, or a number with s, m, h or d: 90s, 5m",
            setting=setting,
        )
    bare, *parts = found.groups()
    if bare is not None:
        return float(bare)
    return sum(float(part) * seconds for part, seconds in zip(parts, _SECONDS, strict=True) if part)


def spelt_size(number: float) -> str:
    """Return bytes as people write them: `64 KiB`, `20 MB`."""
    for factor, unit in _SPELT:
        if number >= factor and number % factor == 0:
            return f"{number / factor:g} {unit}"
    return f"{number:g} B"


def spelt_duration(number: float) -> str:
    """Return seconds as a setting takes them: `90s`, `5m`."""
    for factor, unit in zip(_SECONDS, ("d", "h", "m"), strict=False):
        if number >= factor and number % factor == 0:
            return f"{number / factor:g}{unit}"
    return f"{number:g}s"
