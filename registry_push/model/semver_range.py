"""`Version` and `SemverRange`: tags that are versions, and which of them a range means, as npm reads it. Pure.

`semver` of the Python Package Index has versions too. It knows no ranges and none of `v1` and `1.2`, takes digits of
every script, and raises a bare `ValueError` for a number of more than 4,300 digits, which a registry can list.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import Final, Self

from msgspec import Struct

from ..errors import InvalidFilter, quoted
from ..text.natural_order import number_order

_NUMBER: Final = "(0|[1-9][0-9]*)"
_IDENTIFIER: Final = "(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_REST: Final = rf"(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
_VERSION: Final = re.compile(rf"v?{_NUMBER}(?:\.{_NUMBER}(?:\.{_NUMBER}{_REST})?)?\Z")
_WILDCARD: Final = "[xX*]"
_PARTIAL: Final = re.compile(
    rf"(\^|~|>=|<=|>|<|=|)v?(?:{_WILDCARD}|{_NUMBER})"
    rf"(?:\.(?:{_WILDCARD}|{_NUMBER})(?:\.(?:{_WILDCARD}|{_NUMBER}{_REST}))?)?\Z"
)
# Characters. No honest range has a hundred, and the numbers in it stay far below what Python reads.
_LONGEST: Final = 1000
_OPERATORS: Final = ("^", "~", ">=", "<=", ">", "<", "=")

# What follows the numbers of a release, and what a pre-release begins with, so that it comes before.
_RELEASE: Final = "~"
_PRERELEASE: Final = "-"


class Version(Struct, frozen=True, gc=False):
    """A version as two texts that are in the order of semver 2.0.0, "Precedence": its numbers, and what follows them.

    As texts, numbers of any length can be compared, and a hundred thousand tags within a second.
    """

    numbers: str
    rest: str = _RELEASE

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return the version in `text`, such as `1.2.3`, `v1` or `1.2.3-rc.1`; None if it is none.

        A pre-release needs all three numbers: `3-slim` and `8b` are no versions.
        """
        found = _VERSION.match(text)
        if found is None:
            return None
        major, minor, patch, pre = found.groups("")
        return cls.of((major, minor or "0", patch or "0"), pre)

    @classmethod
    def of(cls, numbers: Iterable[str], pre: str = "") -> Self:
        """Return the version of these three numbers; `pre` is what follows the dash of a pre-release."""
        return cls("".join(map(number_order, numbers)), _PRERELEASE + _order_of(pre) if pre else _RELEASE)

    @property
    def order(self) -> str:
        """The key to sort by."""
        return self.numbers + self.rest

    @property
    def is_prerelease(self) -> bool:
        """Whether something follows the numbers after a dash."""
        return self.rest != _RELEASE

    @property
    def release(self) -> Version:
        """The version that a pre-release comes before."""
        return Version(self.numbers)


def _order_of(pre: str) -> str:
    """Return the order of what follows the dash: numbers are before words, and no identifier is before any."""
    return "".join(f"\1{number_order(each)}" if each.isdigit() else f"\2{each}" for each in pre.split("."))


class _Bound(Struct, frozen=True):
    """One side of a range."""

    compare: Callable[[str, str], bool]
    order: str


class _Comparators(Struct, frozen=True):
    """What lies between two `||`: a version has to be within all bounds.

    `prereleases` are the versions of which a pre-release is named; those of others are left out.
    """

    bounds: tuple[_Bound, ...]
    prereleases: frozenset[str]

    def has(self, version: Version) -> bool:
        if version.is_prerelease and version.numbers not in self.prereleases:
            return False
        return all(bound.compare(version.order, bound.order) for bound in self.bounds)


class SemverRange(Struct, frozen=True):
    """A range of versions, such as `>=1 <3`, `^1.2`, `~1.2.3`, `1.x`, `1.2 - 2` or `1.x || >=3.1`."""

    text: str
    alternatives: tuple[_Comparators, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the range that `text` spells. Raises `InvalidFilter`."""
        if len(text) > _LONGEST:
            raise InvalidFilter("semver", f"{quoted(text, limit=40)} is longer than {_LONGEST} characters")
        return cls(" ".join(text.split()), tuple(_alternative(part, text) for part in text.split("||")))

    def has(self, version: Version) -> bool:
        """Return whether the version is in the range; a pre-release only if the range names one of its version."""
        return any(each.has(version) for each in self.alternatives)


class _Partial(Struct, frozen=True):
    """A version in a range: the numbers that were written, up to the first wildcard."""

    operator: str
    numbers: tuple[int, ...]
    pre: str

    @classmethod
    def read(cls, word: str, text: str) -> Self:
        found = _PARTIAL.match(word)
        if found is None:
            raise _unreadable(word, text)
        written = found.groups()[1:4]
        numbers = tuple(int(digits) for digits in written if digits is not None)
        if None in written[: len(numbers)] or (not numbers and found[1] in (">", "<")):
            raise _unreadable(word, text)  # a number follows a wildcard; or no version is greater than any
        return cls(found[1], numbers, found[5] or "")

    @property
    def first(self) -> Version:
        """The version with zeros for what is missing."""
        return _version((*self.numbers, 0, 0, 0)[:3], self.pre)

    def after(self, kept: int) -> Version:
        """Return the first version that differs in its first `kept` numbers."""
        *same, last = self.numbers[:kept]
        return _version((*same, last + 1, 0, 0)[:3])

    @property
    def bounds(self) -> tuple[_Bound, ...]:
        """What the comparator demands, as npm does ("Advanced Range Syntax")."""
        given, first = len(self.numbers), self.first.order
        if not given:
            return ()
        from_first, below_next = _Bound(operator.ge, first), _below(self.after(given))
        match self.operator:
            case ">":
                return (_Bound(operator.gt, first),) if given == 3 else (_Bound(operator.ge, self.after(given).order),)
            case ">=":
                return (from_first,)
            case "<":
                return (_Bound(operator.lt, first),) if given == 3 else (_below(self.first),)
            case "<=":
                return (_Bound(operator.le, first),) if given == 3 else (below_next,)
            case "~":
                return from_first, _below(self.after(min(given, 2)))
            case "^":
                leading = next((at for at, number in enumerate(self.numbers, 1) if number), given)
                return from_first, _below(self.after(leading))
            case _:
                return (_Bound(operator.eq, first),) if given == 3 else (from_first, below_next)


def _version(numbers: tuple[int, ...], pre: str = "") -> Version:
    return Version.of(map(str, numbers), pre)


def _below(version: Version) -> _Bound:
    """Return the bound below the version and its pre-releases."""
    return _Bound(operator.lt, version.numbers + _PRERELEASE)


def _alternative(part: str, text: str) -> _Comparators:
    words = _words(part)
    if not words:
        raise InvalidFilter(
            "semver",
            f"{quoted(text)} is empty" if not text.strip() else f"{quoted(text)} has nothing on one side of ||",
            hint="for all versions write *",
        )
    comparators: tuple[_Partial, ...]
    if "-" in words:
        if len(words) != 3 or words[1] != "-":
            raise _unreadable(part.strip(), text)
        comparators = _Partial.read(f">={words[0]}", text), _Partial.read(f"<={words[2]}", text)
    else:
        comparators = tuple(_Partial.read(word, text) for word in words)
    return _Comparators(
        tuple(bound for each in comparators for bound in each.bounds),
        frozenset(each.first.numbers for each in comparators if each.pre),
    )


def _words(part: str) -> list[str]:
    """Return the comparators in `part`, each with its operator, which may stand apart: `>= 1`."""
    words: list[str] = []
    for word in part.split():
        if words and words[-1] in _OPERATORS:
            words[-1] += word
        else:
            words.append(word)
    return words


def _unreadable(word: str, text: str) -> InvalidFilter:
    of = "" if word == text.strip() else f" in {quoted(text)}"
    return InvalidFilter(
        "semver",
        f"{quoted(word, limit=60)}{of} is not a range of versions",
        hint='for example: ">=1 <3", "^1.2", "~1.2.3", "1.x", "1.2 - 2", "1.x || >=3.1"',
    )
