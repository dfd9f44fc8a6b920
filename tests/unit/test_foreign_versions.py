"""Ranges of versions: what skopeo (by Masterminds' semver) and regsync take, our range takes too."""

from __future__ import annotations

import random
from itertools import product

import pytest

from registry_push.verbs.conversion.converted import Unconvertible
from registry_push.verbs.conversion.versions import masterminds_range, regsync_range

Numbers = tuple[int, ...]


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        (">= 3.12.0", ">=3.12.0"),
        ("1.2.3", "=1.2.3"),
        ("=v1.2", ">=1.2.0 <1.3.0"),
        ("1.x", ">=1.0.0 <2.0.0"),
        ("1.2.*", ">=1.2.0 <1.3.0"),
        ("*", ">=0.0.0"),
        (">1", ">=2.0.0"),
        (">1.2", ">=1.3.0"),
        (">1.2.3", ">1.2.3"),
        ("<1.2", "<1.2.0"),
        ("<=1.2", "<1.3.0"),
        ("=<1.2.3", "<=1.2.3"),
        ("=>1", ">=1.0.0"),
        ("~>1", ">=1.0.0 <2.0.0"),
        ("~1.2.3", ">=1.2.3 <1.3.0"),
        ("^1.2", ">=1.2.0 <2.0.0"),
        ("^0.2.3", ">=0.2.3 <0.3.0"),
        ("^0.0.3", ">=0.0.3 <0.0.4"),
        ("^0.0", ">=0.0.0 <0.1.0"),
        (">=1, <3", ">=1.0.0 <3.0.0"),
        (">=1 <3 || >=5.1", ">=1.0.0 <3.0.0 || >=5.1.0"),
        ("1.2 - 2.3.4", ">=1.2.0 <=2.3.4"),
        (">=1.2.3+build", ">=1.2.3"),
    ],
)
def test_a_range_of_skopeo_is_spelt_with_three_numbers(text: str, spelt: str) -> None:
    assert masterminds_range(text).text == spelt


@pytest.mark.parametrize(
    ("texts", "spelt"),
    [
        ([">=3.5.1 <4.0"], ">=3.5.1 <4.0.0"),
        (["1.2"], "=1.2.0"),
        (["=v1"], "=1.0.0"),
        (["~1"], ">=1.0.0 <1.1.0"),
        (["^0.2.3"], ">=0.2.3 <0.3.0"),
        (["^0"], ">=0.0.0 <0.0.1"),
        ([">=1", ">=3 <4"], ">=1.0.0 || >=3.0.0 <4.0.0"),
        (["1.2.3.0"], "=1.2.3"),
        (["<2.0.0-rc.1"], "<2.0.0-rc.1"),
    ],
)
def test_a_range_of_regsync_is_spelt_with_three_numbers(texts: list[str], spelt: str) -> None:
    found = regsync_range(texts)
    assert found is not None
    assert found.text == spelt


def test_no_range_is_none() -> None:
    assert regsync_range([]) is None
    assert regsync_range([""]) is None


@pytest.mark.parametrize(
    "text", ["", "latest", "!=1.2.3", ">*", "1.2.3.4", ">=1 ||", "1" * 30, ">=1;2", "> = 1", "1" * 999]
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(Unconvertible):
        masterminds_range(text)


@pytest.mark.parametrize("text", ["latest", "1.2.3.4", ">= 1", " ", "1" * 30, "1.x", "1,2", "٣"])
def test_what_is_no_range_of_regsync_is_refused(text: str) -> None:
    with pytest.raises(Unconvertible):
        regsync_range([text])


def test_a_pre_release_in_a_bound_is_told() -> None:
    assert masterminds_range(">=1.0.0-rc.1").names_pre_release
    assert not masterminds_range(">=1.0.0 <2").names_pre_release


# ── compared with what the tools do, for releases ─────────────────────────────────────────────────


def within(version: Numbers, spelt: str) -> bool:
    """Whether a range in our words, of bounds with three numbers, has the version."""

    def holds(bound: str) -> bool:
        sign = bound.rstrip("0123456789.")
        other = tuple(int(each) for each in bound[len(sign) :].split("."))
        return {
            "=": version == other, ">": version > other, ">=": version >= other,
            "<": version < other, "<=": version <= other,
        }[sign]  # fmt: skip

    return any(all(map(holds, choice.split())) for choice in spelt.split(" || "))


def masterminds_has(version: Numbers, sign: str, given: tuple[int, ...]) -> bool:
    """As the functions of its constraints.go decide, where `given` are the numbers that were written."""
    bound = (*given, 0, 0)[:3]
    minor_dirty, patch_dirty = len(given) == 1, len(given) == 2
    major, minor, _ = version
    match sign:
        case ">" if minor_dirty or patch_dirty:
            return major > bound[0] or (major == bound[0] and not minor_dirty and minor > bound[1])
        case "<=" if minor_dirty or patch_dirty:
            return not (major > bound[0] or (major == bound[0] and minor > bound[1] and not minor_dirty))
        case "=" | "" if len(given) == 3:
            return version == bound
        case "~" if given == (0, 0, 0):
            return True
        case "=" | "" | "~":
            return version >= bound and major == bound[0] and (minor == bound[1] or minor_dirty)
        case "^":
            if version < bound:
                return False
            if bound[0] > 0 or minor_dirty:
                return major == bound[0]
            if major > 0:
                return False
            return minor == bound[1] if bound[1] > 0 or patch_dirty else version[1:] == bound[1:]
        case _:
            return {">": version > bound, "<": version < bound, ">=": version >= bound, "<=": version <= bound}[sign]


def test_a_bound_takes_the_releases_that_masterminds_takes() -> None:
    dice = random.Random(1)
    versions = list(product(range(4), repeat=3))
    for sign in ("", "=", ">", "<", ">=", "<=", "~", "^"):
        for length in (1, 2, 3):
            for given in product(range(3), repeat=length):
                spelt = masterminds_range(f"{sign}{' ' * dice.randrange(2)}{'.'.join(map(str, given))}").text
                for version in versions:
                    assert within(version, spelt) == masterminds_has(version, sign, given), (sign, given, version)
