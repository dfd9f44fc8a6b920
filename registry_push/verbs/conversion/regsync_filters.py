"""The filters of regsync's items: expressions on names and tags, and ranges of versions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from .converted import Notes, Unconvertible
from .globs import Filter, check, name_filters, tag_filters
from .reading import Reader, texts_of
from .regex_items import NAME_CHARACTERS, TAG_CHARACTERS
from .versions import regsync_range
from .yaml_tree import Items, Pair, Table

Made = TypeVar("Made")

# Entries that one item may become.
_MOST_ENTRIES: Final = 32
_PRE_RELEASES: Final = (
    "regsync also takes 1.3.0-rc.1 or 1.3-alpine for a version between 1.2 and 1.4; here a pre-release is in a range"
    " only if a bound names one of the same version"
)


class UnconvertibleAt(Exception):
    """Why an item can't be converted, and the key and the line that say so."""

    def __init__(self, key: str, at: Pair | int | None, message: str) -> None:
        super().__init__(message)
        self.key = key
        self.line = at.line if isinstance(at, Pair) else at


def at_pair(key: str, pair: Pair | None, make: Callable[[], Made]) -> Made:
    """Return what `make` returns; what it can't convert stands at `pair`."""
    try:
        return make()
    except Unconvertible as error:
        raise UnconvertibleAt(key, pair, str(error)) from error


def _with(filters: list[Filter], another: Filter) -> list[Filter]:
    """Return the filters and another one, joined with one of them if that says the same."""
    for at, each in enumerate(filters):
        if (joined := each.joined(another)) is not None:
            return [*filters[:at], joined, *filters[at + 1 :]]
    return [*filters, another]


class Filters:
    """Reads the filters of the items."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._read = Reader(notes)

    def of(self, table: Table) -> list[tuple[Filter, Filter]]:
        """Return pairs of filters, for names and for tags, that add up to what the item wants."""
        kind = self._read.text(table.get("type"), "sync.type")
        if kind == "image":
            return [(Filter(), Filter())]
        models = self._models(table) if kind == "registry" else [Filter()]
        tags = self._tags(table)
        if len(models) * len(tags) > _MOST_ENTRIES:
            raise UnconvertibleAt("tags", table.get("tags"), f"it would take over {_MOST_ENTRIES} entries")
        return [(model, tag) for model in models for tag in tags]

    def _models(self, table: Table) -> list[Filter]:
        found = table.get("repos")
        if found is None:
            return [Filter()]
        if not isinstance(found.node, Table):
            raise UnconvertibleAt("repos", found, "it has to be a mapping")
        repos = found.node
        allow, deny = self._expressions(repos, "repos", NAME_CHARACTERS)
        filters, leaves_more = at_pair("repos", found, lambda: name_filters(allow, deny))
        denied = repos.get("deny")
        if leaves_more and denied is not None:
            said = "here a glob without / also leaves out what is called so below a path"
            self._notes.add(denied.line, "sync.repos.deny", said)
        return filters

    def _tags(self, table: Table) -> list[Filter]:
        found = table.get("tagSets")
        sets = [("tagSets", each) for each in at_pair("tagSets", found, lambda: _tables_of(found))]
        own = table.get("tags")
        sets += [("tags", each) for each in at_pair("tags", own, lambda: _tables_of(own)) if _has_filters(each)]
        filters: list[Filter] = []
        for key, each in sets:
            for tags in self._of_set(each, key):
                filters = _with(filters, tags)
        return filters or [Filter()]

    def _of_set(self, table: Table, key: str) -> list[Filter]:
        self._read.note_unknown(table, frozenset({"allow", "deny", "semverRange"}), f"sync.{key}.", "regsync")
        allow, deny = self._expressions(table, key, TAG_CHARACTERS)
        ranges = table.get("semverRange")
        versions = at_pair(f"{key}.semverRange", ranges, lambda: regsync_range([text for text, _ in texts_of(ranges)]))
        at = table.get("allow") or table.get("deny") or Pair(table.line, table)
        filters = at_pair(key, at, lambda: tag_filters(allow, deny))
        if versions is None or ranges is None:
            return filters
        if any(each.include for each in filters):
            raise UnconvertibleAt(
                f"{key}.semverRange", ranges, "here globs and a range add up; both can't be demanded of a tag"
            )
        self._notes.add(ranges.line, f"sync.{key}.semverRange", _PRE_RELEASES)
        return [Filter(exclude=each.exclude, semver=versions.text) for each in filters]

    def _expressions(self, table: Table, key: str, alphabet: frozenset[str]) -> tuple[list[str], list[str]]:
        """Return the expressions that allow and those that deny, as regsync completes them."""
        found: dict[str, list[str]] = {"allow": [], "deny": []}
        for part, expressions in found.items():
            pair = table.get(part)
            for text, line in at_pair(f"{key}.{part}", pair, partial(texts_of, pair)):
                expression = f"^{text}$"
                try:
                    check(expression, alphabet, leaves_out=part == "deny")
                except Unconvertible as error:
                    raise UnconvertibleAt(f"{key}.{part}", line, f"{text}: {error}") from error
                expressions.append(expression)
        return found["allow"], found["deny"]


def _tables_of(pair: Pair | None) -> list[Table]:
    """Return the mappings in a list, or one alone. Raises `Unconvertible`: without one of them more would be copied."""
    if pair is None:
        return []
    nodes = pair.node.nodes if isinstance(pair.node, Items) else (pair.node,)
    tables = [node for node in nodes if isinstance(node, Table)]
    if len(tables) < len(nodes):
        raise Unconvertible("it has to be a mapping, or a list of them")
    return tables


def _has_filters(table: Table) -> bool:
    """Return whether regsync counts this `tags` for one; unlike one of `tagSets`, one without filters is none."""
    pairs = (table.get(key) for key in ("allow", "deny", "semverRange"))
    return any(pair is not None and not (isinstance(pair.node, Items) and not pair.node.nodes) for pair in pairs)
