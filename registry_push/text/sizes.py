"""Bytes for people. Decimal units (GB = 10⁹ bytes), as in Ollama and registries."""

from __future__ import annotations

from typing import Final

UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def size(count: float) -> str:
    """Return bytes with three significant digits: `999 B`, `1.93 GB`, `156 MB`."""
    power, decimals = scale(count)
    return f"{count / 1000**power:.{decimals}f} {UNITS[power]}"


def scale(value: float) -> tuple[int, int]:
    """Return the power of 1000 and the decimals that show `value` with three significant digits."""
    for power in range(len(UNITS)):
        scaled = value / 1000**power
        if power == 0 and scaled < 999.5:
            return 0, 0
        # The limits are those of the rounded number: 9.996 becomes 10.0, and 999.6 belongs to the next unit.
        if scaled < 999.5:
            return power, 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
    return len(UNITS) - 1, 0
