"""Globs for what regular expressions match: exactly that, or nothing.

A glob has no `[0-9]+`. But tags `v[0-9]+[.][0-9]+` are those of `v[0-9]*.[0-9]*` without those of
`v*[!0-9]*[!0-9]*`: between `v` and the end the first one demands a dot, and the second one leaves out what has two
characters that are no digits. So the filter of an entry, of globs that include and globs that exclude, says what no
glob alone does. Where one filter would take away what another one includes, there are two: entries of a plan add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Final

from msgspec import Struct

from .converted import Unconvertible
from .regex_items import NAME_CHARACTERS, TAG_CHARACTERS, Item, sequences

# Parts of a glob: one of these characters each; None is `*`.
_Part = frozenset[str] | None
_Parts = tuple[_Part, ...]

# A plan in which one item takes more entries is not one that a person keeps in mind.
_MOST_FILTERS: Final = 8
# Pairs of parts of globs that are compared; so many take a third of a second.
_MOST_COMPARED: Final = 500_000
# Of one entry. A plan takes a thousand; unlike those that include, they can't be divided among entries.
_MOST_LEFT_OUT: Final = 900


class Filter(Struct, frozen=True):
    """Globs of which one has to match, and those of which none may; `semver`: a range whose versions are in too.

    Without globs to include and without a range everything is in.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    semver: str | None = None

    def joined(self, other: Filter) -> Filter | None:
        """Return the filter for what either lets in; None if there is none, or it is not seen to be one."""
        if self == other:
            return self
        everything = Filter()
        if everything in (self, other):
            return everything
        if self.exclude or other.exclude:
            return None
        ranges = _distinct(each.semver for each in (self, other) if each.semver)
        return Filter(_distinct((*self.include, *other.include)), (), " || ".join(ranges) or None)


class _Pattern(Struct, frozen=True):
    """What `include` matches and `exclude` does not."""

    include: _Parts
    exclude: _Parts | None = None

    def disturbs(self, other: _Pattern) -> bool:
        """Return whether one of the two takes away what the other includes."""
        return (self.exclude is not None and overlap(self.exclude, other.include)) or (
            other.exclude is not None and overlap(other.exclude, self.include)
        )


def tag_filters(allow: Sequence[str], deny: Sequence[str]) -> list[Filter]:
    """Return the filters that add up to the tags in which one of `allow` is found, or any, and none of `deny`.

    Raises `Unconvertible`.
    """
    patterns = _patterns(allow, TAG_CHARACTERS)
    denied = tuple(_text(each, TAG_CHARACTERS) for each in _plain(deny, TAG_CHARACTERS))
    if not allow or any(_is_all(each) for each in patterns):
        return [Filter(exclude=denied)]
    return [_filter(each, TAG_CHARACTERS, denied) for each in _grouped(patterns)]


def check(expression: str, alphabet: frozenset[str], *, leaves_out: bool) -> None:
    """Raise `Unconvertible` if globs can't say what `expression` matches, or leave that out."""
    if leaves_out:
        _plain([expression], alphabet)
    else:
        _of_expression(expression, alphabet)


def name_filters(allow: Sequence[str], deny: Sequence[str]) -> tuple[list[Filter], bool]:
    """As `tag_filters`, for names of repositories, with which a glob is also compared less the path before the name.

    The second value: whether a glob that excludes leaves out more than the expression does.
    """
    patterns = _patterns(allow, NAME_CHARACTERS)
    denied = _plain(deny, NAME_CHARACTERS)
    texts = tuple(_text(each, NAME_CHARACTERS) for each in denied)
    leaves_more = any(_reaches_below(each) for each in denied)
    if not allow or any(_is_all(each) for each in patterns):
        return [Filter(exclude=texts)], leaves_more
    exact = [_anchored(each) for each in patterns]
    return [_filter(each, NAME_CHARACTERS, texts) for each in _grouped(exact)], leaves_more


def _anchored(pattern: _Pattern) -> _Pattern:
    """Return the pattern for whole names only: `alpine` without `*/alpine`."""
    if not _reaches_below(pattern.include):
        return pattern
    deeper = (None, frozenset("/"), *pattern.include)
    if pattern.exclude is not None or overlap(deeper, pattern.include):
        raise Unconvertible("here a glob without / is compared with the last part of a name too")
    return _Pattern(pattern.include, deeper)


def _reaches_below(parts: _Parts) -> bool:
    """Return whether the glob may match the last part of a name that it does not match as a whole."""
    return not (parts and parts[0] is None) and frozenset("/") not in parts


def _patterns(expressions: Sequence[str], alphabet: frozenset[str]) -> list[_Pattern]:
    found = [each for text in expressions for each in _of_expression(text, alphabet)]
    if expressions and not found:
        raise Unconvertible("nothing can match it")
    return list(dict.fromkeys(found))


@lru_cache(maxsize=1024)
def _of_expression(text: str, alphabet: frozenset[str]) -> tuple[_Pattern, ...]:
    found = [part for each in sequences(text, alphabet) if each for part in _split(each, alphabet)]  # no name is empty
    return tuple(_pattern(each, alphabet) for each in found)


def _plain(expressions: Sequence[str], alphabet: frozenset[str]) -> list[_Parts]:
    """Return the globs for what one of `expressions` matches; they must need no others that exclude."""
    found = [each for text in expressions for each in _of_expression(text, alphabet)]
    if any(each.exclude is not None for each in found):
        raise Unconvertible("to leave out what it matches would take more than globs")
    if len(found) > _MOST_LEFT_OUT:
        raise Unconvertible(f"it would take over {_MOST_LEFT_OUT} globs")
    return list(dict.fromkeys(each.include for each in found))


def _split(sequence: tuple[Item, ...], alphabet: frozenset[str]) -> list[tuple[Item, ...]]:
    """Return sequences that add up to `sequence`, in which no character between runs is both in their set and not."""
    runs = [at for at, item in enumerate(sequence) if item.many and item.chars != alphabet]
    if not runs:
        return [sequence]
    ran = sequence[runs[0]].chars
    for at in range(runs[0], runs[-1]):
        item = sequence[at]
        if not item.many and item.chars & ran and item.chars - ran:
            parts = [Item(item.chars & ran), Item(item.chars - ran)]
            found = [each for part in parts for each in _split((*sequence[:at], part, *sequence[at + 1 :]), alphabet)]
            if len(found) > _MOST_FILTERS:
                raise Unconvertible("it stands for too many globs")
            return found
    return [sequence]


def _pattern(sequence: tuple[Item, ...], alphabet: frozenset[str]) -> _Pattern:
    include = tuple(part for item in sequence for part in _parts(item))
    runs = [at for at, item in enumerate(sequence) if item.many and item.chars != alphabet]
    if not runs:
        return _Pattern(include)
    sets = {item.chars for item in sequence if item.many}
    if len(sets) > 1:
        raise Unconvertible("no globs match exactly the same")
    (ran,) = sets
    first, last = runs[0], runs[-1]
    others = sum(1 for item in sequence[first:last] if not item.many and not item.chars & ran)
    before = tuple(part for item in sequence[:first] for part in _parts(item))
    after = tuple(part for item in sequence[last + 1 :] for part in _parts(item))
    return _Pattern(include, (*before, *(None, alphabet - ran) * (others + 1), None, *after))


def _parts(item: Item) -> _Parts:
    return (*(item.chars,) * item.least, *((None,) if item.many else ()))


def _is_all(pattern: _Pattern) -> bool:
    """Return whether the pattern matches everything; no name is empty."""
    return pattern.exclude is None and pattern.include in ((None,), (TAG_CHARACTERS, None), (NAME_CHARACTERS, None))


def overlap(one: _Parts, other: _Parts) -> bool:
    """Return whether some text matches both globs."""
    reached = [[False] * (len(other) + 1) for _ in range(len(one) + 1)]
    reached[0][0] = True
    for i in range(len(one) + 1):
        for j in range(len(other) + 1):
            if not reached[i][j]:
                continue
            left = one[i] if i < len(one) else frozenset[str]()
            right = other[j] if j < len(other) else frozenset[str]()
            if left is None:
                reached[i + 1][j] = True
            if right is None:
                reached[i][j + 1] = True
            if left is None and right:
                reached[i][j + 1] = True
            if right is None and left:
                reached[i + 1][j] = True
            if left and right and left & right:
                reached[i + 1][j + 1] = True
    return reached[-1][-1]


def _grouped(patterns: list[_Pattern]) -> list[list[_Pattern]]:
    """Return the patterns in groups, in which none disturbs another."""
    if not any(each.exclude for each in patterns):
        return [patterns]
    compared = sum(len(each.exclude or ()) for each in patterns) * sum(len(each.include) for each in patterns)
    if compared > _MOST_COMPARED:
        raise Unconvertible("there are too many expressions")
    groups: list[list[_Pattern]] = []
    for pattern in patterns:
        group = next((each for each in groups if not any(map(pattern.disturbs, each))), None)
        if group is not None:
            group.append(pattern)
            continue
        if len(groups) == _MOST_FILTERS:
            raise Unconvertible(f"it would take over {_MOST_FILTERS} entries")
        groups.append([pattern])
    return groups


def _filter(group: list[_Pattern], alphabet: frozenset[str], denied: tuple[str, ...]) -> Filter:
    include = _distinct(_text(each.include, alphabet) for each in group)
    exclude = _distinct(_text(each.exclude, alphabet) for each in group if each.exclude is not None)
    return Filter(include, _distinct((*exclude, *denied)))


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _text(parts: _Parts, alphabet: frozenset[str]) -> str:
    return "".join("*" if part is None else _one_of(part, alphabet) for part in parts)


@lru_cache(maxsize=256)
def _one_of(chars: frozenset[str], alphabet: frozenset[str]) -> str:
    if len(chars) == 1:
        return min(chars)
    if chars == alphabet:
        return "?"
    said, left = _class(chars), _class(alphabet - chars)
    return f"[{said}]" if len(said) <= len(left) + 1 else f"[!{left}]"


def _class(chars: frozenset[str]) -> str:
    """Return the inside of a class, with ranges; a dash comes last."""
    spans = []
    for _, span in groupby(enumerate(sorted(chars - {"-"})), key=lambda pair: ord(pair[1]) - pair[0]):
        found = [char for _, char in span]
        is_range = len(found) > 2 and found[0].isalnum() and found[-1].isalnum()
        spans.append(f"{found[0]}-{found[-1]}" if is_range else "".join(found))
    return "".join(spans) + ("-" if "-" in chars else "")
