"""YAML, read into nodes that know their lines, within bounds.

The tree is built from PyYAML's events, in a loop: neither deep nesting nor aliases of aliases cost more than their
bounds allow. Scalars stay text as it stands in the file; as in Go, the type of the field decides: `3.10` is a tag.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from ...errors import UsageError, quoted
from .converted import unusable

# Characters. Foreign plans are written by people, or made from lists of some thousand images.
_MOST_TEXT: Final = 1024 * 1024
# The plans of both tools nest at most six deep.
_MOST_DEPTH: Final = 40
# Nodes, those that aliases repeat counted each time.
_MOST_NODES: Final = 100_000


class Scalar(Struct, frozen=True):
    """A text; `plain`: it is in no quotes, and may mean null or a truth value."""

    line: int
    text: str
    plain: bool
    size: int = 1

    @property
    def is_null(self) -> bool:
        """Whether this is YAML's null."""
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


class Items(Struct, frozen=True):
    """A list."""

    line: int
    nodes: tuple[Node, ...]
    size: int


class Pair(Struct, frozen=True):
    """A value, and the line of its key."""

    line: int
    node: Node


class Table(Struct, frozen=True):
    """A mapping, with what its merge keys bring."""

    line: int
    pairs: dict[str, Pair]
    size: int

    def get(self, key: str) -> Pair | None:
        """Return what stands under `key`; None if nothing does, or null."""
        found = self.pairs.get(key)
        return None if found is None or is_null(found.node) else found

    def items(self) -> Iterator[tuple[str, Pair]]:
        """Iterate over the keys and what stands under them."""
        return iter(self.pairs.items())


Node = Scalar | Items | Table


def is_null(node: Node) -> bool:
    """Return whether `node` is YAML's null."""
    return isinstance(node, Scalar) and node.is_null


class Document(Struct, frozen=True):
    """The first document of a file, None if it is empty; `second`: the line on which another one begins."""

    root: Node | None
    second: int | None


def parse_yaml(text: str, name: str) -> Document:
    """Return the document in `text`, which the file `name` holds. Raises `UsageError`."""
    if len(text) > _MOST_TEXT:
        raise unusable(name, None, f"the file has over {_MOST_TEXT} characters", "split it, and convert the parts")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise unusable(name, None, "the file is not UTF-8", "save it as UTF-8") from None
    import yaml  # takes 10 ms

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C library may be absent
    builder = _Builder(name)
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
            if builder.second is not None:
                break
    except yaml.YAMLError as error:
        raise _no_yaml(name, text, error) from error
    return Document(builder.root, builder.second)


def _no_yaml(name: str, text: str, error: Any) -> UsageError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        said, line = getattr(error, "problem", None) or "it ends too early", mark.line + 1
    else:  # of the reader, which knows a place but no line
        said, place = getattr(error, "reason", "it can't be read"), getattr(error, "position", 0)
        line = text.count("\n", 0, place) + 1
    return unusable(name, line, f"this is not YAML: {said}", "correct the line; spaces at its beginning count")


class _Open:
    """A list or a mapping whose end has not come yet."""

    def __init__(self, line: int, anchor: str | None, is_table: bool) -> None:
        self.line = line
        self.anchor = anchor
        self.is_table = is_table
        self.nodes: list[Node] = []
        # Of each node, the line where it or its alias stands.
        self.lines: list[int] = []


class _Builder:
    """Builds the tree from events."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._open: list[_Open] = []
        self._anchored: dict[str, Node] = {}
        self._has_document = False
        self.root: Node | None = None
        self.second: int | None = None

    def take(self, event: Any) -> None:
        """Take the next event."""
        line = event.start_mark.line + 1
        match type(event).__name__:
            case "DocumentStartEvent":
                if self._has_document:
                    self.second = line
                self._has_document = True
            case "ScalarEvent":
                self._add(Scalar(line, event.value, not event.style), line, event.anchor)
            case "AliasEvent":
                found = self._anchored.get(event.anchor)
                if found is None:
                    inside = any(each.anchor == event.anchor for each in self._open)
                    said = "stands inside its own anchor" if inside else "has no anchor before it"
                    raise self._wrong(line, f"the alias {quoted('*' + event.anchor)} {said}", "correct the alias")
                self._add(found, line, None)
            case "SequenceStartEvent" | "MappingStartEvent":
                if len(self._open) >= _MOST_DEPTH:
                    raise self._wrong(line, f"this is nested over {_MOST_DEPTH} deep", "no such plan is; correct it")
                self._open.append(_Open(line, event.anchor, type(event).__name__ == "MappingStartEvent"))
                self._anchored.pop(event.anchor, None)
            case "SequenceEndEvent" | "MappingEndEvent":
                ended = self._open.pop()
                self._add(self._table(ended) if ended.is_table else self._items(ended), ended.line, ended.anchor)

    def _add(self, node: Node, line: int, anchor: str | None) -> None:
        if anchor is not None:
            self._anchored[anchor] = node
        if self._open:
            self._open[-1].nodes.append(node)
            self._open[-1].lines.append(line)
        else:
            self.root = node

    def _items(self, ended: _Open) -> Items:
        return Items(ended.line, tuple(ended.nodes), self._sized(ended.line, ended.nodes))

    def _table(self, ended: _Open) -> Table:
        pairs: dict[str, Pair] = {}
        merged: list[Node] = []
        for key, value, line in zip(ended.nodes[::2], ended.nodes[1::2], ended.lines[::2], strict=True):
            if not isinstance(key, Scalar):
                raise self._wrong(line, "a key is a list or a mapping", "write the key as text")
            if key.text == "<<" and key.plain:
                merged += value.nodes if isinstance(value, Items) else (value,)
            elif key.text in pairs:
                first = pairs[key.text].line
                raise self._wrong(line, f"{quoted(key.text)} stands on line {first} already", "leave one of them out")
            else:
                pairs[key.text] = Pair(line, value)
        size = self._sized(ended.line, [*ended.nodes, *merged])
        for each in merged:
            if not isinstance(each, Table):
                raise self._wrong(ended.line, "<<: merges what is no mapping", "name a mapping's alias after <<:")
            for text, pair in each.items():
                pairs.setdefault(text, pair)
        return Table(ended.line, pairs, size)

    def _sized(self, line: int, nodes: list[Node]) -> int:
        size = 1 + sum(node.size for node in nodes)
        if size > _MOST_NODES:
            raise self._wrong(line, f"with its aliases the plan has over {_MOST_NODES} values", "split the plan")
        return size

    def _wrong(self, line: int, message: str, hint: str) -> UsageError:
        return unusable(self._name, line, message, hint)
