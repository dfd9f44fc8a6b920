"""Values of foreign plans, from their nodes."""

from __future__ import annotations

from typing import Final

from ...text.patterns import LazyPattern
from ...text.suggestions import did_you_mean
from .converted import Notes, Unconvertible, unusable
from .yaml_tree import Items, Pair, Scalar, Table, is_null, parse_yaml

# As Go's YAML libraries read a truth value.
_TRUTH: Final = {
    "true": True,
    "yes": True,
    "on": True,
    "y": True,
    "false": False,
    "no": False,
    "off": False,
    "n": False,
}
# Each takes some 0.2 ms; a file with more is no plan that was mistyped.
_MOST_SUGGESTIONS: Final = 50
_WHOLE: Final = LazyPattern(r"-?[0-9]{1,15}")


def parse_root(text: str, name: str, what: str) -> Table:
    """Return the mapping that the file `name` holds; `what` it should be. Raises `UsageError`."""
    document = parse_yaml(text, name)
    root = document.root
    if root is None or is_null(root):
        raise unusable(name, None, f"the file is empty, and no {what}", "name another file")
    if not isinstance(root, Table):
        raise unusable(name, root.line, f"this is no {what}: it is no mapping", "name another file")
    if "apiVersion" in root.pairs and "kind" in root.pairs:
        hint = "save the plan that is in it as a file of its own, without the spaces before its lines"
        raise unusable(name, root.line, f"this is no {what} but an object of Kubernetes", hint)
    if document.second is not None:
        raise unusable(name, document.second, "a second document begins here", "convert each in a file of its own")
    return root


def texts_of(pair: Pair | None) -> list[tuple[str, int]]:
    """Return texts, each with its line; a single one needs no list. Raises `Unconvertible`: a filter must be whole."""
    if pair is None:
        return []
    nodes = pair.node.nodes if isinstance(pair.node, Items) else (pair.node,)
    found = []
    for node in nodes:
        if not isinstance(node, Scalar):
            raise Unconvertible("it has to be a list of texts")
        found.append(("" if node.is_null else node.text, node.line))
    return found


class Reader:
    """Reads values, and notes those that are not what they should be."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def text(self, pair: Pair | None, key: str) -> str | None:
        """Return a text; None if there is none."""
        if pair is None:
            return None
        if isinstance(pair.node, Scalar):
            return pair.node.text
        self._notes.add(pair.line, key, "this has to be text, and is left out")
        return None

    def table(self, pair: Pair | None, key: str) -> Table | None:
        """Return a mapping; None if there is none."""
        if pair is None:
            return None
        if isinstance(pair.node, Table):
            return pair.node
        self._notes.add(pair.line, key, "this has to be a mapping, and is left out")
        return None

    def tables(self, pair: Pair | None, key: str) -> list[Table]:
        """Return the mappings in a list."""
        if pair is None:
            return []
        if not isinstance(pair.node, Items):
            self._notes.add(pair.line, key, "this has to be a list, and is left out")
            return []
        found = []
        for node in pair.node.nodes:
            if isinstance(node, Table):
                found.append(node)
            elif not is_null(node):
                self._notes.add(node.line, key, "this has to be a mapping, and is left out")
        return found

    def switch(self, pair: Pair | None, key: str) -> bool | None:
        """Return a truth value; None if there is none."""
        text = self.text(pair, key)
        if pair is None or text is None:
            return None
        if text.lower() in _TRUTH:
            return _TRUTH[text.lower()]
        self._notes.add(pair.line, key, "this has to be true or false, and is left out")
        return None

    def whole(self, pair: Pair | None, key: str) -> int | None:
        """Return a whole number; None if there is none."""
        text = self.text(pair, key)
        if pair is None or text is None:
            return None
        if _WHOLE.compiled.fullmatch(text):
            return int(text)
        self._notes.add(pair.line, key, "this has to be a whole number, and is left out")
        return None

    def note_unknown(self, table: Table, known: frozenset[str], before: str, tool: str) -> None:
        """Note the keys of `table` that are not `known`, nor one's own (`x-…`)."""
        for key, pair in table.items():
            if key not in known and not key.startswith("x-"):
                self._notes.unknown_keys += 1
                hint = did_you_mean(key, known) if self._notes.unknown_keys <= _MOST_SUGGESTIONS else None
                said = f"{tool} has no such key" + (f": {hint}" if hint else "")
                self._notes.add(pair.line, f"{before}{key}", said)
