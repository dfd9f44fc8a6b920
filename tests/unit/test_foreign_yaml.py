"""YAML from elsewhere: every value knows its line, and nothing costs more than its bounds allow."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest
import yaml

from registry_push.errors import UsageError
from registry_push.verbs.conversion.yaml_tree import Items, Node, Scalar, Table, parse_yaml


def plain(node: Node | None) -> Any:
    """The values alone."""
    match node:
        case Table(_, pairs):
            return {key: plain(pair.node) for key, pair in pairs.items()}
        case Items(_, nodes):
            return [plain(each) for each in nodes]
        case Scalar(_, text):
            return None if node.is_null else text
        case None:
            return None


@pytest.fixture(params=["the C library", "Python alone"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "Python alone":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\nb: [x, 3.10, '~', ~, true]\n", {"a": "1", "b": ["x", "3.10", "~", None, "true"]}),
        ("a: &a {b: c}\nd: *a\n", {"a": {"b": "c"}, "d": {"b": "c"}}),
        ("a: &a {b: c, e: f}\nd:\n  <<: *a\n  b: own\n", {"a": {"b": "c", "e": "f"}, "d": {"b": "own", "e": "f"}}),
        ("a: &a {b: c}\ne: &e {b: x, f: g}\nd: {<<: [*a, *e]}\n", None),
        ("'<<': a\n", {"<<": "a"}),
        ("a: |\n  b\n  c\n", {"a": "b\nc\n"}),
        ("\ufeffa: b\n", {"a": "b"}),
        ("---\na: b\n...\n", {"a": "b"}),
        ("", None),
        ("# nothing\n", None),
    ],
)
def test_values_are_texts(text: str, value: Any) -> None:
    found = plain(parse_yaml(text, "x.yml").root)
    if "*e]" in text:
        assert found["d"] == {"b": "c", "f": "g"}
    else:
        assert found == value


def test_values_know_their_lines() -> None:
    root = parse_yaml("\na: &a\n  b:\n  - c\n  - d\ne:\n  <<: *a\n", "x.yml").root
    assert isinstance(root, Table)
    table = root.pairs["e"].node
    assert isinstance(table, Table)
    items = table.pairs["b"].node
    assert isinstance(items, Items)
    assert (root.pairs["e"].line, table.pairs["b"].line, [node.line for node in items.nodes]) == (6, 3, [4, 5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b\n c: d\n", "x.yml, line 2: this is not YAML"),
        ("a: [b\n", "x.yml, line 2: this is not YAML"),
        ("a\n\tb: c", "x.yml, line 2: this is not YAML"),
        ("a: b\nc: \x00\n", "x.yml, line 2: this is not YAML"),
        ("a: *b\n", "x.yml, line 1: the alias '*b' has no anchor before it"),
        ("a: &a [*a]\n", "x.yml, line 1: the alias '*a' stands inside its own anchor"),
        ("a: 1\nb: 2\na: 3\n", "x.yml, line 3: 'a' stands on line 1 already"),
        ("? [a]\n: b\n", "x.yml, line 1: a key is a list or a mapping"),
        ("a:\n  <<: b\n", "x.yml, line 2: <<: merges what is no mapping"),
        ("a: \ud800", "x.yml: the file is not UTF-8"),
        ("a: '" + "b" * 1_100_000, "x.yml: the file has over 1048576 characters"),
        ("[" * 50 + "]" * 50, "x.yml, line 1: this is nested over 40 deep"),
    ],
)
def test_what_is_refused_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_yaml(text, "x.yml")
    assert message in str(raised.value)
    assert raised.value.hint


@pytest.mark.parametrize("merges", [False, True])
def test_aliases_of_aliases_are_bounded(merges: bool) -> None:
    """Ten aliases in each of 30 levels stand for 10^30 values."""
    levels = ["a0: &a0 {k: v}"]
    for level in range(1, 30):
        inner = ", ".join([f"*a{level - 1}"] * 10)
        levels.append(
            f"a{level}: &a{level} {{k: [{inner}]}}" if not merges else f"a{level}: &a{level} {{<<: [{inner}]}}"
        )
    began = time.process_time()
    with pytest.raises(UsageError, match="with its aliases"):
        parse_yaml("\n".join(levels), "x.yml")
    assert time.process_time() - began < 1


def test_what_is_nested_deeper_than_python_calls_is_refused() -> None:
    with pytest.raises(UsageError, match="nest"):
        parse_yaml("[" * (2 * sys.getrecursionlimit()), "x.yml")
