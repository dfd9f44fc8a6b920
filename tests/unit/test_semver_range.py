"""Ranges of versions mean what npm's do, and hostile tags are never an untyped error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_push.errors import InvalidFilter
from registry_push.model.semver_range import SemverRange, Version

TEXT = st.text(st.sampled_from(list("0123456789.xX*vV-+~^<>=| abrc\x00\x1b\u0663\u00b2\ud800")), max_size=30)


@pytest.mark.parametrize("text", ["1.2.3", "v1.2.3", "1.2", "v1", "0", "1.2.3-rc.1", "1.2.3-0a", "1.2.3+build.5"])
def test_versions(text: str) -> None:
    assert Version.read(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        *("", "v", "3b", "8b-q4_K_M", "latest", "1.2.3.4", "01.2.3", "1.02", "1.2.3-01", "1.2.3-", "1.2.3-a..b"),
        *("1.2-rc.1", "3-slim", "V1.2.3", " 1.2.3", "1.2.3\n", "\u0663.0.0", "1.\u00b2", "1.2.3-\u0663"),
    ],
)
def test_no_versions(text: str) -> None:
    assert Version.read(text) is None


def test_the_order_is_that_of_semver() -> None:
    """The example of semver 2.0.0, "Precedence", and numbers by their value."""
    texts = (
        *("0.9.10", "1.0.0-0", "1.0.0-2", "1.0.0-10", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta"),
        *("1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0-rc-1", "1.0.0", "1.0.1", "1.9", "1.10"),
        *("v2", "10", "1" * 5000),
    )
    versions = [Version.read(text) for text in texts]
    orders = [version.order for version in versions if version is not None]
    assert len(orders) == len(texts)
    assert orders == sorted(orders) and len({*orders}) == len(texts)


def test_missing_parts_are_zero() -> None:
    one, two, three = (Version.read(text) for text in ("v1", "1.0", "1.0.0"))
    assert one == two == three


# The range, versions that are in, and versions that are not: npm's own documentation and tests.
RANGES = [
    ("*", "0.0.0 1.2.3 v99", "1.2.3-rc.1"),
    ("1.2.3", "1.2.3 v1.2.3", "1.2.4 1.2.3-rc.1"),
    ("=1.2.3", "1.2.3", "1.2.2"),
    ("v1.2.3", "1.2.3", "1.2.4"),
    ("1", "1 1.0.0 1.9.9", "0.9.9 2.0.0 2.0.0-0"),
    ("1.2", "1.2.0 1.2.9", "1.3.0"),
    ("1.x", "1.0.0 1.99.0", "2.0.0 0.9.0"),
    ("1.2.*", "1.2.7", "1.3.0"),
    ("1.X.X", "1.2.7", "2.0.0"),
    (">1", "2.0.0", "1.0.0 1.9.9"),
    (">1.2", "1.3.0", "1.2.9"),
    (">1.2.3", "1.2.4 2.0.0", "1.2.3"),
    (">=1", "1.0.0 9.0.0", "0.9.9"),
    (">= 1.2", "1.2.0", "1.1.9"),
    ("<2", "1.9.9 0.0.0", "2.0.0 2.0.0-rc.1"),
    ("<1.2.3", "1.2.2", "1.2.3"),
    ("<=1", "1.9.9", "2.0.0"),
    ("<=1.2", "1.2.9", "1.3.0"),
    ("<=1.2.3", "1.2.3", "1.2.4"),
    (">=1 <3", "1.0.0 2.9.9", "3.0.0 0.9.0 2.0.0-rc.1"),
    ("^1.2.3", "1.2.3 1.9.0", "1.2.2 2.0.0 2.0.0-0"),
    ("^1.2", "1.2.0 1.9.0", "1.1.9 2.0.0"),
    ("^1", "1.0.0 1.9.0", "2.0.0"),
    ("^1.x", "1.0.0 1.9.0", "2.0.0"),
    ("^0.2.3", "0.2.3 0.2.9", "0.3.0"),
    ("^0.0.3", "0.0.3", "0.0.4"),
    ("^0.0", "0.0.0 0.0.9", "0.1.0"),
    ("^0", "0.0.0 0.9.0", "1.0.0"),
    ("^0.0.0", "0.0.0", "0.0.1"),
    ("~1.2.3", "1.2.3 1.2.9", "1.2.2 1.3.0"),
    ("~1.2", "1.2.0 1.2.9", "1.3.0"),
    ("~1", "1.0.0 1.9.9", "2.0.0"),
    ("1 - 2", "1.0.0 2.9.9", "0.9.9 3.0.0"),
    ("1.2.3 - 2.3.4", "1.2.3 2.3.4", "2.3.5"),
    ("1.2 - 2.3", "1.2.0 2.3.9", "2.4.0"),
    ("1.x || >=3.1 <4", "1.5.0 3.1.0", "2.0.0 3.0.0 4.0.0"),
    ("1.0.0||2.0.0", "1.0.0 2.0.0", "1.5.0"),
    (">1.2.3-alpha.3", "1.2.3-alpha.7 1.2.3 3.4.5", "3.4.5-alpha.9 1.2.3-alpha.3"),
    ("^1.2.3-beta.2", "1.2.3-beta.4 1.2.3 1.9.0", "1.2.4-beta.2 1.2.3-beta.1"),
    (">=2.0.0-rc.1 <3", "2.0.0-rc.2 2.0.0", "2.0.1-rc.1 3.0.0-rc.1"),
    ("~1.2.3-rc.1 || 5", "1.2.3-rc.2 5.1.0", "5.0.0-rc.1"),
]


@pytest.mark.parametrize(("text", "inside", "outside"), RANGES, ids=[text for text, _, _ in RANGES])
def test_ranges(text: str, inside: str, outside: str) -> None:
    found = SemverRange.parse(text)
    for each, is_in in [(one, True) for one in inside.split()] + [(one, False) for one in outside.split()]:
        version = Version.read(each)
        assert version is not None and found.has(version) is is_in, each


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "||", "1 ||", "|| 1", "a", ">", ">=a", "1 -", "- 2", "x.1", "1.x.3", "1 - 2 <5", ">1 - 2", ">*"),
        *("<x", "1.2.3.4", "01", "1.2-rc", "1.x-rc", ">=1, <3", "=>1", "~>1", "!1", "\u0663", "1\x00"),
        *("1" * 5000, "1 " * 501),
    ],
)
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(InvalidFilter, match=r"^semver "):
        SemverRange.parse(text)


@given(TEXT, TEXT)
def test_no_text_is_an_untyped_error(text: str, tag: str) -> None:
    version = Version.read(tag)
    try:
        found = SemverRange.parse(text)
    except InvalidFilter:
        return
    if version is not None:
        found.has(version)


@given(st.tuples(*[st.integers(0, 20)] * 3), st.tuples(*[st.integers(0, 20)] * 3))
def test_releases_are_compared_as_numbers(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    left, right = (Version.read(".".join(map(str, each))) for each in (one, other))
    assert left is not None and right is not None
    assert (left.order < right.order) == (one < other) and (left == right) == (one == other)
