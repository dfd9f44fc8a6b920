"""A plan of `sync`, written as TOML for people to read and change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct, field

from ...errors import printable
from .globs import Filter

Value = str | int | bool | tuple[str, ...]

# Characters of a line with a list; longer ones get a line for each value.
_WIDTH: Final = 100
_EVERYTHING: Final = Filter()
# Of one list: a plan takes no more, and with more entries there is no limit.
_MOST_GLOBS: Final = 1000
# The default of a plan is "all".
_NO_REFERRERS: Final = '# As there: no signatures and other referrers; "all" takes them along.'
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


class Entry(Struct, frozen=True):
    """One `[[sync]]`. `left_out`: why it is written as a comment; `comments` stand before it."""

    source: str
    target: str
    models: Filter = _EVERYTHING
    tags: Filter = _EVERYTHING
    backup: str | None = None
    referrers: str | None = None
    comments: tuple[str, ...] = ()
    left_out: str | None = None


class Plan(Struct, frozen=True):
    """A whole plan; `name` is the file that it comes from."""

    name: str
    defaults: Mapping[str, Value] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()
    hosts: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)

    def text(self) -> str:
        """Return the plan as TOML."""
        blocks = [[_comment(f"Converted from {self.name}.")]]
        if self.defaults:
            remarks = [_NO_REFERRERS] if self.defaults.get("referrers") == "none" else []
            blocks.append(["[defaults]", *remarks, *_lines(self.defaults)])
        blocks += [_entry_lines(part) for entry in self.entries for part in _in_parts(entry)]
        blocks += [[f"[host.{quoted_text(host)}]", *_lines(values)] for host, values in self.hosts.items() if values]
        return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _in_parts(entry: Entry) -> Iterator[Entry]:
    """Return the entry, or, if it has more globs than a list may have, several that add up to it."""
    include = entry.tags.include
    for at in range(0, max(len(include), 1), _MOST_GLOBS):
        tags = Filter(include[at : at + _MOST_GLOBS], entry.tags.exclude, None if at else entry.tags.semver)
        yield Entry(
            entry.source,
            entry.target,
            entry.models,
            tags,
            entry.backup,
            entry.referrers,
            () if at else entry.comments,
            entry.left_out,
        )


def _entry_lines(entry: Entry) -> list[str]:
    values: dict[str, Value] = {"source": entry.source, "target": entry.target}
    models = (*entry.models.include, *(f"!{glob}" for glob in entry.models.exclude))
    if models:
        values["models"] = models
    lines = _lines(values)
    tags = entry.tags
    if tags.exclude or tags.semver:
        given = {"include": tags.include, "exclude": tags.exclude, "semver": tags.semver}
        lines.append(_table("tags", {key: value for key, value in given.items() if value}))
    elif tags.include:
        lines += _lines({"tags": tags.include})
    rest = {"backup": entry.backup, "referrers": entry.referrers}
    lines += _lines({key: value for key, value in rest.items() if value is not None})
    comments = [_comment(each) for each in entry.comments]
    if entry.left_out is None:
        return [*comments, "[[sync]]", *lines]
    disabled = [_comment(line) for each in lines for line in each.split("\n")]
    return [*comments, _comment(entry.left_out), "# [[sync]]", *disabled]


def _comment(text: str) -> str:
    return f"# {printable(text, limit=2000)}"


def _lines(values: Mapping[str, Value]) -> list[str]:
    return [f"{key} = {_spelt(value, len(key) + 3)}" for key, value in values.items()]


def _table(key: str, values: Mapping[str, Value]) -> str:
    # TOML 1.0: a table in braces stays on its line, but for the lists in it.
    inner = ", ".join(f"{name} = {_spelt(value, 0)}" for name, value in values.items())
    return f"{key} = {{ {inner} }}"


def _spelt(value: Value | None, column: int) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return _listed([quoted_text(each) for each in value], column)
    return quoted_text(value or "")


def _listed(texts: Iterable[str], column: int) -> str:
    texts = list(texts)
    line = f"[{', '.join(texts)}]"
    if column + len(line) <= _WIDTH:
        return line
    return "\n".join(["[", *(f"  {text}," for text in texts), "]"])


def quoted_text(text: str) -> str:
    """Return `text` as a string of TOML."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    return char if char.isprintable() else f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"
