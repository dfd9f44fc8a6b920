"""Filters of tags: what is in, in which order, and why the rest is out."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_push.errors import InvalidFilter, UsageError
from registry_push.model.tag_filter import TagFilter

TAGS = ["latest", "3b", "8b", "8b-fp16", "v1", "1.0.0", "1.2.0", "1.10.0", "2.0.0-rc.1", "2.0.0", "v2.1", "3.0.0"]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, "1.0.0 1.2.0 1.10.0 2.0.0 2.0.0-rc.1 3.0.0 3b 8b 8b-fp16 latest v1 v2.1"),
        ({"include": ["8b*", "latest"]}, "8b 8b-fp16 latest"),
        ({"include": "8b*"}, "8b 8b-fp16"),
        ({"include": ["8b*", "!*-fp16"]}, "8b"),
        ({"include": ["!*.*", "!v*"]}, "3b 8b 8b-fp16 latest"),
        ({"exclude": ["*.*", "v?"]}, "3b 8b 8b-fp16 latest"),
        ({"semver": ">=1 <3"}, "1.0.0 1.2.0 1.10.0 2.0.0 v1 v2.1"),
        ({"semver": ">=1 <3", "exclude": "v*"}, "1.0.0 1.2.0 1.10.0 2.0.0"),
        ({"semver": ">=1 <3", "include": ["3b", "3.*"]}, "1.0.0 1.2.0 1.10.0 2.0.0 3.0.0 3b v1 v2.1"),
        ({"semver": ">=1 <3", "sort": "name"}, "1.0.0 1.2.0 1.10.0 2.0.0 v1 v2.1"),
        ({"semver": "*", "latest": 2}, "3.0.0 v2.1"),
        ({"semver": ">=1 <3", "include": ["3b", "latest"], "latest": 2}, "v2.1 2.0.0 3b latest"),
        ({"semver": ">=1 <3", "include": ["3b", "latest"], "exclude": "v*", "latest": 2}, "2.0.0 1.10.0 3b latest"),
        ({"semver": ">=1", "latest": 2, "sort": "name"}, "v2.1 v1"),
        ({"latest": 3}, "v2.1 v1 latest"),
        ({"include": "?b", "latest": 1}, "8b"),
        # Only a glob keeps what is no version.
        ({"latest": 3, "sort": "semver"}, "3.0.0 v2.1 2.0.0"),
        ({"latest": 5, "sort": "semver", "exclude": "3*"}, "v2.1 2.0.0 2.0.0-rc.1 1.10.0 1.2.0"),
        ({"include": ["*b", "1.*"], "latest": 1, "sort": "semver"}, "1.10.0 3b 8b"),
        ({"latest": 1000}, "v2.1 v1 latest 8b-fp16 8b 3b 3.0.0 2.0.0-rc.1 2.0.0 1.10.0 1.2.0 1.0.0"),
        ({"sort": "semver"}, "1.0.0 v1 1.2.0 1.10.0 2.0.0-rc.1 2.0.0 v2.1 3.0.0 3b 8b 8b-fp16 latest"),
        ({"include": "V*"}, ""),
        ({"include": "[v1].[!0]*"}, "1.2.0 1.10.0"),
        ({"include": "[38]b"}, "3b 8b"),
    ],
    ids=str,
)
def test_what_is_kept_and_in_which_order(parts: dict[str, Any], expected: str) -> None:
    found = TagFilter.parse(**parts).select(TAGS)
    assert " ".join(found.kept) == expected
    assert {*found.kept} | {tag for tag, _ in found.left_out} == {*TAGS}
    assert len(found.kept) + len(found.left_out) == len(TAGS)


@pytest.mark.parametrize(
    ("parts", "tag", "reason"),
    [
        ({"include": "8b*"}, "3b", "matches none of the include globs"),
        ({"exclude": "*-fp16"}, "8b-fp16", "excluded by *-fp16"),
        ({"include": ["8b*", "!*-fp16"]}, "8b-fp16", "excluded by *-fp16"),
        ({"semver": ">=1  <3"}, "3b", "is no version, so not in >=1 <3"),
        ({"semver": ">=1 <3"}, "3.0.0", "is not in >=1 <3"),
        ({"semver": ">=1 <3"}, "2.0.0-rc.1", "is a pre-release, and >=1 <3 names none of that version"),
        (
            {"semver": ">=1 <3", "include": "8b"},
            "3b",
            "matches none of the include globs and is no version, so not in >=1 <3",
        ),
        ({"semver": ">=1 <3", "latest": 2}, "1.0.0", "not among the latest 2"),
        ({"latest": 2}, "3b", "not among the latest 2"),
        ({"latest": 2, "sort": "semver"}, "3b", "is no version"),
    ],
    ids=str,
)
def test_why_a_tag_is_out(parts: dict[str, Any], tag: str, reason: str) -> None:
    assert dict(TagFilter.parse(**parts).select(TAGS).left_out)[tag] == reason


@pytest.mark.parametrize(
    ("parts", "tag", "reason"),
    [
        ({}, "3b", "is one of all tags"),
        ({"include": ["3?", "*"]}, "3b", "matches 3?"),
        ({"semver": ">=1"}, "2.0.0", "is in >=1"),
        ({"semver": ">=1", "latest": 2}, "3.0.0", "is in >=1, among the latest 2"),
        ({"latest": 2}, "v1", "among the latest 2"),
        ({"semver": ">=1", "include": "3b", "latest": 2}, "3b", "matches 3b, no version, so not counted"),
    ],
    ids=str,
)
def test_why_a_tag_is_in(parts: dict[str, Any], tag: str, reason: str) -> None:
    found = TagFilter.parse(**parts)
    assert tag in found.select(TAGS).kept and found.why_in(tag) == reason


def test_what_a_filter_is_about_includes_what_is_too_old() -> None:
    found = TagFilter.parse(semver=">=1 <3", latest=1, exclude="*-rc*")
    assert found.select(TAGS).kept == ("v2.1",)
    assert [tag for tag in TAGS if found.wants(tag)] == ["v1", "1.0.0", "1.2.0", "1.10.0", "2.0.0", "v2.1"]
    assert not TagFilter(latest=1, sort="semver").wants("3b")


def test_immutable_tags() -> None:
    assert [tag for tag in TAGS if TagFilter.parse(immutable="v*").is_immutable(tag)] == ["v1", "v2.1"]
    assert not TagFilter().is_immutable("v1")


def test_a_tag_that_is_listed_twice_is_one() -> None:
    assert TagFilter().select(["a", "b", "a"]).kept == ("a", "b")
    assert TagFilter(latest=2).select(["a", "b", "b"]).kept == ("b", "a")


@pytest.mark.parametrize(
    ("parts", "part"),
    [
        ({"include": [""]}, "include"),
        ({"include": ["!"]}, "include"),
        ({"include": [5]}, "include"),
        ({"include": 5}, "include"),
        ({"include": {"a": 1}}, "include"),
        ({"include": b"a"}, "include"),
        ({"include": ["x" * 600]}, "include"),
        ({"include": ["x"] * 1001}, "include"),
        ({"exclude": ["a", ""]}, "exclude"),
        ({"exclude": "!a"}, "exclude"),
        ({"immutable": ""}, "immutable"),
        ({"immutable": "!v*"}, "immutable"),
        ({"semver": ">=a"}, "semver"),
        ({"semver": 1}, "semver"),
        *(({"latest": value}, "latest") for value in (0, -1, True, 1.5, "5", 10**5000, 10**7)),
        *(({"min": value}, "min") for value in (-1, True, None, "1", 10**5000)),
        *(({"sort": value}, "sort") for value in ("date", "", 5, ["name"])),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_is_no_filter_is_a_typed_error_that_names_the_part(parts: dict[str, Any], part: str) -> None:
    with pytest.raises(InvalidFilter, match=rf"^{part} ") as caught:
        TagFilter.parse(**parts)
    assert (caught.value.part, caught.value.exit_code) == (part, UsageError.exit_code)
    renamed = caught.value.about(f"--{part}")
    assert renamed.message == f"--{caught.value.message}" and renamed.part == part
    assert renamed.hint == caught.value.hint


def test_what_is_constructed_is_checked_too() -> None:
    with pytest.raises(InvalidFilter, match=r"^semver "):
        TagFilter(semver=">=")
    with pytest.raises(InvalidFilter, match=r"^include "):
        TagFilter(include=["a"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"include": ["8b*", "!*-fp16"], "exclude": ["x"], "immutable": ["v*"]},
        {"semver": ">=1", "latest": 5, "sort": "name", "min": 1},
    ],
)
def test_a_filter_comes_back_from_json(parts: dict[str, Any]) -> None:
    found = TagFilter.parse(**parts)
    assert found.fields == parts
    assert TagFilter.read(json.loads(json.dumps(found.fields))) == found


@pytest.mark.parametrize("fields", [None, [], "x", {"x": 1}, {"semver": "a"}, {"latest": "5"}, {"include": {"a": 1}}])
def test_what_is_no_filter_in_json_is_none(fields: object) -> None:
    assert TagFilter.read(fields) is None


HOSTILE = [
    *(
        "",
        "9" * 100_000,
        f"{'9' * 5000}.0.0",
        f"1.0.0-{'9' * 5000}",
        "v" * 100_000,
        "1." * 50_000,
        "1.0.0-" + "a." * 9000,
    ),
    *("\u0663.0.0", "1.0.0-\u00b2", "\u00b2", "a\u0663b", "\x00", "\n", "\ud800", "!", "[", "*", "\u0130", "a" * 10**6),
]


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"include": ["*a*b*c*", "[!a]*"]},
        {"semver": ">=1 || 0.x", "latest": 3},
        {"latest": 1, "sort": "semver"},
        {"exclude": "*9", "sort": "semver"},
    ],
    ids=str,
)
def test_hostile_tags_are_no_error(parts: dict[str, Any]) -> None:
    found = TagFilter.parse(**parts)
    selected = found.select([*HOSTILE, *TAGS])
    assert len(selected.kept) + len(selected.left_out) == len({*HOSTILE, *TAGS})
    for tag in selected.kept:
        assert found.why_in(tag) and found.wants(tag)


@given(st.lists(st.text(max_size=20)), st.text(min_size=1, max_size=10))
def test_any_text_is_a_tag_and_nearly_any_a_glob(tags: list[str], glob: str) -> None:
    try:
        found = TagFilter.parse(include=glob, semver="*", latest=2)
    except InvalidFilter:
        assert glob == "!"
        return
    selected = found.select(tags)
    assert {*selected.kept} | {tag for tag, _ in selected.left_out} == {*tags}


def test_a_hundred_thousand_tags_take_about_a_second() -> None:
    """Ten, in CPU time, would be a filter that compiles a glob or reads a range anew for each tag."""
    tags = [f"v{n % 50}.{n % 97}.{n}{'-rc.1' if n % 7 == 0 else ''}" for n in range(100_000)]
    found = TagFilter.parse(include=["latest", "8b*"], semver=">=1 <30 || ^40.2", exclude="*.13.*", latest=100)
    began = time.process_time()
    assert len(found.select(tags).kept) == 100
    assert time.process_time() - began < 10
