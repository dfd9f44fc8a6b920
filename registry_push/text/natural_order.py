"""The order in which people expect names: numbers by their value, upper and lower case alike. Pure."""

from __future__ import annotations

import re
from typing import Final

_NUMBER: Final = re.compile("[0-9]+")
# How many characters there are. Numbers of more digits are in no order, and are no error.
_CODE_POINTS: Final = 0x110000


def natural_order(text: str) -> str:
    """Return the key to sort `text` by: `v9` is before `v10`, and `8b` before `70B`; a number is before a letter."""
    return _NUMBER.sub(_keyed, text.lower())


def number_order(digits: str) -> str:
    """Return the key to sort a decimal number by: how many digits it has, as a character, and the digits.

    Python refuses to read a number of more than 4,300 digits, and texts are compared faster than tuples.
    """
    return chr(len(digits) % _CODE_POINTS) + digits


def _keyed(found: re.Match[str]) -> str:
    return "\0" + number_order(found[0].lstrip("0"))
