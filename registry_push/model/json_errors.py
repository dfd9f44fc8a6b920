"""Why a text is no JSON, in words for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

# The beginnings of what Python's decoder says (json/decoder.py, _json.c).
_IN_WORDS: Final[Mapping[str, str]] = {
    "Expecting value": "there is no value",
    "Expecting property name": "there is no name in double quotes",
    "Illegal trailing comma": "there is a comma too many",
    "Expecting ',' delimiter": "a comma is missing",
    "Expecting ':' delimiter": "a colon is missing",
    "Extra data": "more follows where it should end",
    "Unterminated string": "a string has no end",
    "Invalid control character": "a string has a line break or another control character in it",
    "Invalid \\": "a string has a backslash that means nothing",
}


def why_not_json(error: ValueError | RecursionError) -> str:
    """Return what is wrong with the JSON that `error` is about, and where."""
    match error:
        case json.JSONDecodeError():
            begins = error.doc.lstrip()[:1]
            if not begins:
                return "it is empty"
            if begins == "<":
                return "it is a web page or XML"
            words = next((ours for theirs, ours in _IN_WORDS.items() if error.msg.startswith(theirs)), "it is broken")
            return f"{words} (line {error.lineno}, column {error.colno})"
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case RecursionError():
            return "it is nested too deep"
        case _:
            return "it has a number that is too long" if "digits" in str(error) else str(error)
