"""Lines of keys in TOML."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_push.text.toml_lines import Key, TomlLines

TEXT = '''# [[sync]]
top.a-b = 1  # [x]
"q.r" = 'x#y'
several = """
[[sync]]
tags = 3
\\""" ""quoted"""""
literal = \'\'\'
[host]
it's \'\'\'\'
times = [  # ]
  1979-05-27 07:32:00, "a]b",
  { x = 1, y.z = [2] },
]
[[sync]]
source = "a"
tags = { include = ["}"], latest = "x" }
[sync.more]
latest = 3
  [ sync . "d\\u0065ep" . 'er' ]
  key-of-it = 1
[[sync]]
[host."a.example:5000"]
plain-http = true
'''


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("top", "a-b"), 2),
        (("top", "a_b"), 2),
        (("q.r",), 3),
        (("several",), 4),
        (("literal",), 8),
        (("times",), 11),
        (("times", 0), 12),
        (("times", 2, "y", "z"), 13),
        (("sync",), 15),
        (("sync", 0), 15),
        (("sync", 0, "source"), 16),
        (("sync", 0, "tags", "latest"), 17),
        (("sync", 0, "more"), 18),
        (("sync", 0, "more", "latest"), 19),
        (("sync", 0, "deep", "er"), 20),
        (("sync", 0, "deep", "er", "key_of_it"), 21),
        (("sync", 0, "deep", "er", "none", "at", "all"), 20),
        (("sync", 1), 22),
        (("sync", 1, "source"), 22),
        (("host", "a.example:5000"), 23),
        (("host", "a.example:5000", "plain_http"), 24),
        (("host", "b.example"), 23),
        (("none",), None),
    ],
    ids=str,
)
def test_the_line_of_a_key(keys: tuple[Key, ...], line: int | None) -> None:
    tomllib.loads(TEXT)
    assert TomlLines.of(TEXT).line_of(keys) == line
    assert TomlLines.of(TEXT.replace("\n", "\r\n")).line_of(keys) == line


def test_what_has_no_end_of_line() -> None:
    assert TomlLines.of("a = 1").line_of(("a",)) == 1
    assert TomlLines.of("").line_of(("a",)) is None
    assert TomlLines.of("[a]").line_of(("a", "b")) == 1


NAMES = st.sampled_from(["a", "b-c", '"d.e"', "'f g'", "source"])
SCALARS = st.sampled_from(
    ["1", "true", '"x]},#"', "'it'", '"""\n[a]\nb = 1\n"""', "'''\n# '' x''''", "1979-05-27 07:32:00", '""', "''"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda each: f"[{', '.join(each)}]"),
        st.lists(inner, max_size=3).map(lambda each: "[ # x ]\n" + "".join(f"  {one},\n" for one in each) + "]"),
        st.dictionaries(NAMES, inner, max_size=3).map(
            lambda each: "{ " + ", ".join(f"{name} = {one}" for name, one in each.items()) + " }"
        ),
    ),
    max_leaves=6,
)


@given(st.lists(st.tuples(st.sampled_from(["[[sync]]", "  [[ sync ]] # x"]), st.dictionaries(NAMES, VALUES))))
def test_each_key_is_found_on_its_line(entries: list[tuple[str, dict[str, str]]]) -> None:
    lines: list[str] = []
    expected: dict[tuple[Key, ...], int] = {}
    for number, (header, pairs) in enumerate(entries):
        lines.append(header)
        expected["sync", number] = len(lines)
        for name, value in pairs.items():
            expected["sync", number, name.strip("\"'")] = len(lines) + 1
            lines += f"{name} = {value}".split("\n")
    text = "\n".join(lines)
    values: dict[str, Any] = tomllib.loads(text)
    assert len(values.get("sync", [])) == len(entries)
    found = TomlLines.of(text)
    assert {keys: found.line_of(keys) for keys in expected} == expected
