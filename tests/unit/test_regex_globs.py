"""Filters of globs say exactly what the regular expressions say, or nothing."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

import pytest

from registry_push.verbs.conversion.converted import Unconvertible
from registry_push.verbs.conversion.globs import Filter, name_filters, tag_filters

# Expressions, and what of them becomes a tag filter: globs to include, and `!` before those that exclude.
TAG_EXPRESSIONS = {
    "^latest$": [["latest"]],
    "latest": [["*latest*"]],
    "^latest": [["latest*"]],
    "rc$": [["*rc"]],
    "^3$|^latest$": [["3", "latest"]],
    "^(3|latest)$": [["3", "latest"]],
    "^a|b$": [["a*", "*b"]],
    r"^1\.13\.[12]-alpine-perl$": [["1.13.[12]-alpine-perl"]],
    "^3.9$": [["3?9"]],
    r"^v1\..*$": [["v1.*"]],
    r"^v1\..+$": [["v1.?*"]],
    r"^v?\d$": [["[0-9]", "v[0-9]"]],
    r"^\d+$": [["[0-9]*", "!*[!0-9]*"]],
    r"^[0-9]*$": [["*", "!*[!0-9]*"]],
    r"^\d+\.\d+$": [["[0-9]*.[0-9]*", "!*[!0-9]*[!0-9]*"]],
    r"^v\d+\.\d+\.\d+$": [["v[0-9]*.[0-9]*.[0-9]*", "!v*[!0-9]*[!0-9]*[!0-9]*"]],
    r"^3.\d+$": [["3?[0-9]*", "!3?*[!0-9]*"]],
    r"^\d.\d+$": [["[0-9]?[0-9]*", "![0-9]?*[!0-9]*"]],
    r"^\d+.\d+$": [["[0-9]*[0-9][0-9]*", "!*[!0-9]*"], ["[0-9]*[!0-9][0-9]*", "!*[!0-9]*[!0-9]*"]],
    r"^v[0-9\.]+$": [["v[.0-9]*", "!v*[!.0-9]*"]],
    r"^v\d+": [["v[0-9]*"]],
    r"^\d+-alpine$": [["[0-9]*-alpine", "!*[!0-9]*-alpine"]],
    r"^\d+(\.\d+)?$": [["[0-9]*", "!*[!0-9]*"], ["[0-9]*.[0-9]*", "!*[!0-9]*[!0-9]*"]],
    r"^(v|release-)\d{2,3}$": [["v[0-9][0-9]", "v[0-9][0-9][0-9]", "release-[0-9][0-9]", "release-[0-9][0-9][0-9]"]],
    r"^\d{2,}$": [["[0-9][0-9]*", "!*[!0-9]*"]],
    r"^[\w.-]+$": [[]],
    r"^[^:]*$": [[]],
    ".*": [[]],
    "": [[]],
    r"^[[:alpha:]]$": [["[A-Za-z]"]],
    r"^[^a-z]$": [["[!a-z]"]],
    r"^\D\S\W$": [["[!0-9]?[.-]"]],
    r"^a*?b$": [["*b", "!*[!a]*b"]],
    "^(?:a|b)(?P<n>c)$": [["ac", "bc"]],
    r"^.*-.*$": [["*-*"]],
    r"^latest$|a:b": [["latest"]],
    r"^^x$$": [["x"]],
    r"\Ax\z": [["x"]],
}

UNCONVERTIBLE = (
    r"^.*-rc\d+$",
    r"^\d+[a-z]+$",
    r"^(\.\d+)*$",
    "(?i)latest",
    r"\bx",
    "a^b",
    "(",
    ")",
    "[",
    "[z-a]",
    "*",
    "a**",
    "a{2",
    "a{,3}",
    "a{99}",
    "(a|b|c|d|e|f|g|h|i)(a|b|c|d|e|f|g|h|i)",
    "(" * 50 + "a" + ")" * 50,
    "a" * 1000,
    "a:b",
    "\\",
)


def globs_of(found: Iterable[Filter]) -> list[list[str]]:
    return [[*each.include, *(f"!{glob}" for glob in each.exclude)] for each in found]


@pytest.mark.parametrize("expression", TAG_EXPRESSIONS)
def test_an_expression_becomes_globs(expression: str) -> None:
    assert globs_of(tag_filters([expression], [])) == TAG_EXPRESSIONS[expression]


@pytest.mark.parametrize("expression", UNCONVERTIBLE)
def test_an_expression_that_globs_can_not_follow_is_refused(expression: str) -> None:
    with pytest.raises(Unconvertible):
        tag_filters([expression], [])


def lets_in(found: Filter, tag: str) -> bool:
    included = not found.include or any(fnmatchcase(tag, glob) for glob in found.include)
    return included and not any(fnmatchcase(tag, glob) for glob in found.exclude)


def texts_near(expressions: Iterable[str], alphabet: str, dice: random.Random) -> list[str]:
    """Texts made of pieces of the expressions and of what their classes mean."""
    pieces = ["0", "7", "10", "v", ".", "..", "-", "a", "b", "ab", "c", "x", "rc", "latest", "alpine", "1.13.2", "3.9"]
    pieces += [piece for text in expressions for piece in re.findall(r"[A-Za-z0-9]+|[._/-]", text)]
    made = {"".join(dice.choice(pieces) for _ in range(dice.randrange(1, 6))) for _ in range(2000)}
    made |= {"".join(dice.choice("013va.-") for _ in range(dice.randrange(1, 7))) for _ in range(2000)}
    return sorted(text for text in made if not set(text) - set(alphabet))


_TAG_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"


@pytest.mark.parametrize("expression", TAG_EXPRESSIONS)
def test_the_globs_match_what_the_expression_matches(expression: str) -> None:
    filters = tag_filters([expression], [])
    spelt = re.compile(expression.replace("[[:alpha:]]", "[A-Za-z]").replace(r"\z", r"\Z"))
    for text in texts_near([expression], _TAG_CHARACTERS, random.Random(1)):
        assert any(lets_in(each, text) for each in filters) == (spelt.search(text) is not None), text


def test_several_expressions_match_what_one_of_them_matches() -> None:
    dice = random.Random(2)
    known = list(TAG_EXPRESSIONS)
    texts = texts_near(known, _TAG_CHARACTERS, dice)
    denies = ["^3.0$", "^.*-dev$", "rc", "^v"]
    converted = 0
    for _ in range(150):
        allow, deny = dice.sample(known, dice.randrange(4)), dice.sample(denies, dice.randrange(3))
        filters = tag_filters(allow, deny)
        converted += len(filters) > 1
        spelt = [re.compile(each.replace("[[:alpha:]]", "[A-Za-z]").replace(r"\z", r"\Z")) for each in allow]
        for text in dice.sample(texts, 300):
            wanted = not allow or any(each.search(text) for each in spelt)
            wanted = wanted and not any(re.search(each, text) for each in deny)
            assert any(lets_in(each, text) for each in filters) == wanted, (allow, deny, text)
    assert converted > 20


def test_what_would_disturb_each_other_is_divided() -> None:
    assert globs_of(tag_filters(["^latest$", r"^3\.\d+$", r"^3\.1-alpine$"], ["^latest$"])) == [
        ["latest", "3.[0-9]*", "!3.*[!0-9]*", "!latest"],
        ["3.1-alpine", "!latest"],
    ]


def test_what_takes_more_than_globs_can_not_be_left_out() -> None:
    with pytest.raises(Unconvertible):
        tag_filters([], [r"^\d+$"])


# ── names of repositories ─────────────────────────────────────────────────────────────────────────


def lets_name_in(found: Filter, name: str) -> bool:
    """As a plan compares: the whole name, or its last part."""
    spellings = {name, name.rpartition("/")[2]}
    included = not found.include or any(fnmatchcase(each, glob) for each in spellings for glob in found.include)
    return included and not any(fnmatchcase(each, glob) for each in spellings for glob in found.exclude)


@pytest.mark.parametrize(
    ("allow", "globs"),
    [
        (["^team-x/.*$"], [["team-x/*"]]),
        (["^.*backup$"], [["*backup"]]),
        (["^alpine$"], [["alpine", "!*/alpine"]]),
        (["^alpine$", "^library/alpine$"], [["alpine", "!*/alpine"], ["library/alpine"]]),
        (["^library/[^/]+$"], [["library/[!/]*", "!library/*/*"]]),
        (["^.*$"], [[]]),
    ],
)
def test_names_are_matched_as_a_whole(allow: list[str], globs: list[list[str]]) -> None:
    filters, _ = name_filters(allow, [])
    assert globs_of(filters) == globs
    pieces = ["alpine", "library", "team-x", "backup", "a", "/", "/", "-"]
    dice = random.Random(3)
    names = {"".join(dice.choice(pieces) for _ in range(dice.randrange(1, 7))) for _ in range(2000)}
    for name in sorted(names):
        wanted = any(re.search(each, name) for each in allow)
        assert any(lets_name_in(each, name) for each in filters) == wanted, name


def test_a_name_that_can_not_be_matched_as_a_whole_is_refused() -> None:
    with pytest.raises(Unconvertible):
        name_filters(["^a.*b$"], [])


@pytest.mark.parametrize(("deny", "leaves_more"), [("^.*backup$", False), ("^team/.*$", False), ("^backup$", True)])
def test_it_is_said_when_more_names_are_left_out(deny: str, leaves_more: bool) -> None:
    assert name_filters([], [deny])[1] is leaves_more
