"""Ranges of versions: those of Masterminds' semver, which skopeo uses, and regsync's, in the words of our plans.

Each bound is written with three parts, because the tools differ in what `<=1` and `~1` mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from ...text.patterns import LazyPattern
from .converted import Unconvertible

# Numbers have so few digits that none takes long to read.
_PART: Final = r"[0-9]{1,18}|[xX*]"
_VERSION: Final = (
    rf"v?({_PART})(?:\.({_PART}))?(?:\.({_PART}))?(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?"
)
_BOUND: Final = LazyPattern(rf"\s*+(=>|=<|>=|<=|!=|~>|[=><~^]?)\s*+{_VERSION}(?:\s*+,|(?=\s|\Z))")
_SPAN: Final = LazyPattern(r"(?<!\S)(\S+)\s+-\s+(\S+)(?!\S)")
_REGSYNC_BOUND: Final = LazyPattern(r"(>=|<=|[=><~^]?)v?([0-9]{1,18}(?:\.[0-9]{1,18})*)(?:-([0-9A-Za-z.-]+))?(?:\+.*)?")
# Characters, of a range in a plan that a person wrote.
_MOST_TEXT: Final = 500
_NOT_ONE: Final = "it is no range of versions"


class Range(Struct, frozen=True):
    """A range as our plans write it; `names_pre_release`: one of its bounds is a pre-release."""

    text: str
    names_pre_release: bool = False


class _Bound(Struct, frozen=True):
    numbers: tuple[int, ...]
    pre: str | None = None

    @property
    def text(self) -> str:
        major, minor, patch = (*self.numbers, 0, 0)[:3]
        return f"{major}.{minor}.{patch}" + (f"-{self.pre}" if self.pre else "")

    def above(self, place: int) -> str:
        """Return the first version with the next number at `place`: 1.2.3 at 1 is 1.3.0."""
        numbers = (*self.numbers, 0, 0, 0)[:3]
        return _Bound((*numbers[:place], numbers[place] + 1)).text


def masterminds_range(text: str) -> Range:
    """Return the range that skopeo reads in `text`. Raises `Unconvertible`."""
    if len(text) > _MOST_TEXT:
        raise Unconvertible(_NOT_ONE)
    choices = [_masterminds_bounds(each) for each in _SPAN.compiled.sub(r">=\1 <=\2", text).split("||")]
    return _range(choices)


def _masterminds_bounds(text: str) -> list[tuple[str, _Bound | None]]:
    found: list[tuple[str, _Bound | None]] = []
    text, at = text.strip(), 0
    if not text:
        raise Unconvertible(_NOT_ONE)
    while at < len(text):
        bound = _BOUND.compiled.match(text, at)
        if bound is None or bound.end() == at:
            raise Unconvertible(_NOT_ONE)
        at = bound.end()
        operator = {"=>": ">=", "=<": "<=", "~>": "~", "": "="}.get(bound[1], bound[1])
        numbers = []
        for part in bound.groups()[1:4]:
            if part is None or not part.isdigit():
                break
            numbers.append(int(part))
        found += _spelt(operator, _Bound(tuple(numbers), bound[5]))
    return found


def _spelt(operator: str, bound: _Bound) -> list[tuple[str, _Bound | None]]:
    """Return one bound of Masterminds' as bounds with three parts. Those without all parts stand for a whole range."""
    given = len(bound.numbers)
    if operator == "!=":
        raise Unconvertible("a range can't leave out one version here")
    if given == 0:
        if operator not in ("=", ">=", "~"):
            raise Unconvertible("it has a bound that bounds nothing")
        return [(">=0.0.0", None)]
    last = given - 1
    match operator:
        case "=" if given == 3:
            return [(f"={bound.text}", bound)]
        case "=":
            return [(f">={bound.text}", bound), (f"<{bound.above(last)}", None)]
        case ">" if given < 3:
            return [(f">={bound.above(last)}", None)]
        case "<=" if given < 3:
            return [(f"<{bound.above(last)}", None)]
        case "~" if bound.numbers == (0, 0, 0):  # which Masterminds reads as any version
            return [(f">={bound.text}", bound)]
        case "~":
            return [(f">={bound.text}", bound), (f"<{bound.above(min(last, 1))}", None)]
        case "^":
            place = next((place for place, number in enumerate(bound.numbers) if number), last)
            return [(f">={bound.text}", bound), (f"<{bound.above(place)}", None)]
        case _:
            return [(f"{operator}{bound.text}", bound)]


def regsync_range(texts: Sequence[str]) -> Range | None:
    """Return the range that regsync reads in the list `texts`, None if it has none. Raises `Unconvertible`."""
    choices = [_regsync_bounds(text) for text in texts if text]
    return _range(choices) if choices else None


def _regsync_bounds(text: str) -> list[tuple[str, _Bound | None]]:
    found: list[tuple[str, _Bound | None]] = []
    if len(text) > _MOST_TEXT:
        raise Unconvertible(_NOT_ONE)
    for word in text.split():
        read = _REGSYNC_BOUND.compiled.fullmatch(word)
        if read is None:
            raise Unconvertible(f"{word}: {_NOT_ONE}")
        numbers = tuple(map(int, read[2].split(".")))
        if any(numbers[3:]):
            raise Unconvertible(f"{word}: versions have three numbers here")
        bound = _Bound((*numbers, 0, 0)[:3], read[3])
        match read[1]:
            case "~":
                found += [(f">={bound.text}", bound), (f"<{bound.above(1)}", None)]
            case "^":
                place = next((place for place, number in enumerate(bound.numbers) if number), 2)
                found += [(f">={bound.text}", bound), (f"<{bound.above(place)}", None)]
            case operator:
                found.append((f"{operator or '='}{bound.text}", bound))
    if not found:
        raise Unconvertible(_NOT_ONE)
    return found


def _range(choices: list[list[tuple[str, _Bound | None]]]) -> Range:
    text = " || ".join(" ".join(dict.fromkeys(said for said, _ in bounds)) for bounds in choices)
    return Range(text, any(bound is not None and bound.pre for bounds in choices for _, bound in bounds))
