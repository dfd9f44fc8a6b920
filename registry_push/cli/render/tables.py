"""Tables of `list`, `inspect`, `resume --list`, `config` and `key show`. Values in, lines of plain text out."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, TextIO

from msgspec import Struct

from ...errors import printable
from ...model import Descriptor, Digest, ModelName
from ...options.source import Source
from ...text.quantities import spelt_duration, spelt_size
from ...text.several import several
from . import units

# Layers that `inspect` lists one by one; more are grouped by kind: tensor models have thousands.
LISTED: Final = 32
# Between columns.
_GAP: Final = "    "


class ModelRow(Struct, frozen=True):
    """A line of `list`. `size` in bytes; `modified` in seconds since the epoch, None if the place has no times.

    `remote` is where the model of a cloud stub runs.
    """

    name: str
    digest: Digest
    size: int
    modified: float | None = None
    remote: str | None = None


class BlobRow(Struct, frozen=True):
    """A blob of `inspect`. `state` is a word such as `present` or `missing`, None if it was not checked."""

    blob: Descriptor
    state: str | None = None


class ReferrerRow(Struct, frozen=True):
    """A manifest about the one that is shown; `kind` is its artifact type, if it says one."""

    digest: Digest
    kind: str | None


class ModelView(Struct, frozen=True):
    """The data of `inspect`. `size` counts each digest once, in bytes."""

    name: str
    digest: Digest
    media_type: str
    size: int
    blobs: Sequence[BlobRow]
    referrers: Sequence[ReferrerRow] = ()


class BegunRow(Struct, frozen=True):
    """A push, pull or copy that was begun; `begun` in seconds since the epoch. `store`: the folder of the Ollama store
    at either end. `sources` are the places that `what` stands for, if they are several.
    """

    what: str
    target: str
    begun: float
    store: str | None = None
    sources: tuple[str, ...] = ()


class UploadRow(Struct, frozen=True):
    """What a registry holds of a blob: `offset` of `size` bytes, `saved` in seconds since the epoch."""

    digest: Digest
    offset: int
    size: int
    repository: str
    saved: float


class SettingRow(Struct, frozen=True):
    """A line of `config`. `kind` is the name of its type, for what is written with a unit; `absent`: a file that isn't
    there.
    """

    name: str
    value: object
    kind: str
    source: Source
    absent: bool = False


class KeyView(Struct, frozen=True):
    """The data of `key show`: the public half only. `mode` are the file's permission bits."""

    path: str
    public_key: str
    fingerprint: str
    mode: int | None = None


def list_lines(rows: Iterable[ModelRow], *, now: float, width: int | None = None) -> list[str]:
    """Return NAME, ID, SIZE and MODIFIED, as `ollama list` has them; `now` in seconds since the epoch.

    The size of a cloud stub is `cloud`. In a terminal `width` columns wide, a name that does not fit has a line of its
    own.
    """
    cells = [
        (
            row.name,
            row.digest.short,
            units.size(row.size) if row.remote is None else "cloud",
            _modified(row.modified, now),
        )
        for row in rows
    ]
    return _table(("NAME", "ID", "SIZE", "MODIFIED"), cells, right=(2,), width=width)


def terminal_width(stream: TextIO | None) -> int | None:
    """Return columns of the terminal behind `stream`; None if there is none, and lines may have any length."""
    if stream is None or not stream.isatty():
        return None
    return shutil.get_terminal_size().columns


def under_way_lines(
    pushes: Iterable[BegunRow],
    copies: Iterable[BegunRow],
    uploads: Iterable[UploadRow],
    *,
    now: float,
    width: int | None = None,
) -> list[str]:
    """Return what was begun, then what registries hold of its blobs; in a terminal `width` columns wide as
    `list_lines`."""
    held = [
        (row.digest.short, units.part(row.offset, row.size), row.repository, _modified(row.saved, now))
        for row in uploads
    ]
    tables = []
    for title, rows in (("PUSH", pushes), ("COPY", copies)):
        begun = [(_what(row), _short(row.target, row.store), _modified(row.begun, now)) for row in rows]
        tables += [_table((title, "TO", "BEGUN"), begun, right=(), width=width)] if begun else []
    tables += [_table(("BLOB", "THERE", "AT", "LAST"), held, right=(1,), width=width)] if held else []
    return [line for number, table in enumerate(tables) for line in ([""] if number else []) + table]


def nothing_begun(uploads: int) -> list[str]:
    """Return that there is nothing to continue, and how to go on with the `uploads` that registries hold all the same:
    what pushed them has ended for good."""
    if not uploads:
        return ["nothing is under way"]
    return [
        f"no run is under way; registries still hold {units.count(uploads, 'upload')} of runs that failed",
        "to use what is there, push again; to free it: registry-push resume --cancel",
    ]


def _what(row: BegunRow) -> str:
    if len(row.sources) < 2:
        return _short(row.what, row.store)
    store = row.store if any(place.startswith("ollama:") for place in row.sources) else None
    return several([_short(place, None) for place in row.sources]) + (f" in {store}" if store else "")


def _short(place: str, store: str | None) -> str:
    """Return a model of the local store as Ollama shows it, or the store; with the folder `store` if that is known."""
    if not place.startswith("ollama:"):
        return place
    name = place.removeprefix("ollama:")
    return f"ollama:{ModelName.parse(name).short if name else ''}{f' in {store}' if store else ''}"


def inspect_lines(view: ModelView, *, verbose: bool = False) -> list[str]:
    """Return the manifest, then a line for each blob; over `LISTED` blobs a line for each kind, unless `verbose`."""
    lines = _pairs(
        ("name", view.name),
        ("digest", str(view.digest)),
        ("type", view.media_type),
        ("size", f"{units.size(view.size)} in {units.count(len(view.blobs), 'blob')}"),
    )
    blobs = _each_blob(view.blobs, verbose=verbose) if verbose or len(view.blobs) <= LISTED else _by_kind(view.blobs)
    about = [(str(each.digest) if verbose else each.digest.short, each.kind or "") for each in view.referrers]
    return [*lines, "", *blobs, *(["", *_table(("REFERRER", "TYPE"), about, right=())] if about else [])]


def login_lines(logins: Sequence[tuple[str, str, str]], *, width: int | None = None) -> list[str]:
    """Return a line for each login: its registry, its user and where it is kept; none for none."""
    return _table(("REGISTRY", "USER", "KEPT IN"), logins, right=(), width=width) if logins else []


def key_lines(view: KeyView) -> list[str]:
    """Return where the key is and its public half, ready to be copied to a registry's page."""
    mode = [] if view.mode is None else [("mode", f"{view.mode:04o}")]
    return _pairs(("key", view.path), *mode, ("fingerprint", view.fingerprint), ("public", view.public_key))


def setting_lines(rows: Iterable[SettingRow], *, home: Path | None) -> list[str]:
    """Return SETTING, VALUE and FROM; values as one would write them in the file, the `home` as `~`.

    Lines of the configuration are named without the file's folders, to save space; the row of `config` has them.
    """

    def short(text: str) -> str:
        return f"~{text[len(str(home)) :]}" if text.startswith(f"{home}/") else text

    cells = [
        (row.name, short(_value(row)), f"{_from(row.source)}{', no such file' if row.absent else ''}") for row in rows
    ]
    return _table(("SETTING", "VALUE", "FROM"), cells, right=())


def _from(source: Source) -> str:
    if source.kind != "file" or source.name is None:
        return str(source)
    name = Path(source.name).name
    return name if source.line is None else f"{name}, line {source.line}"


def _value(row: SettingRow) -> str:
    match row.value:
        case None | []:
            return "-"
        case bool():
            return str(row.value).lower()
        case list():
            return ", ".join(map(str, row.value))
        case 0 if row.kind == "rate":
            return "off"
        case int() | float() if row.kind in ("size", "rate"):
            return spelt_size(row.value)
        case int() | float() if row.kind == "duration":
            return spelt_duration(row.value)
        case float():
            return f"{row.value:g}"
    return str(row.value)


def _each_blob(rows: Sequence[BlobRow], *, verbose: bool) -> list[str]:
    stated = any(row.state for row in rows)
    cells = [
        (
            row.blob.kind,
            str(row.blob.digest) if verbose else row.blob.digest.short,
            units.size(row.blob.size),
            *([row.state or ""] if stated else []),
        )
        for row in rows
    ]
    return _table(("KIND", "DIGEST", "SIZE", *(["STATE"] if stated else [])), cells, right=(2,))


def _by_kind(rows: Sequence[BlobRow]) -> list[str]:
    """Return a line for each kind, the biggest first; content that is named twice is counted in both places."""
    groups: dict[str, list[BlobRow]] = {}
    for row in rows:
        groups.setdefault(row.blob.kind, []).append(row)
    stated = any(row.state for row in rows)
    cells = []
    for kind, members in sorted(groups.items(), key=lambda group: -_bytes(group[1])):
        states = [_states(members)] if stated else []
        cells.append((kind, f"{len(members):,}", units.size(_bytes(members)), *states))
    return _table(("KIND", "BLOBS", "SIZE", *(["STATE"] if stated else [])), cells, right=(1, 2))


def _bytes(rows: Sequence[BlobRow]) -> int:
    return sum(row.blob.size for row in rows)


def _states(rows: Sequence[BlobRow]) -> str:
    """Return `present`, or `1,997 present, 3 missing`."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.state or "unknown"] = counts.get(row.state or "unknown", 0) + 1
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{number:,} {state}" for state, number in counts.items())


def _modified(modified: float | None, now: float) -> str:
    return units.ago(now - modified) if modified is not None else "-"


def _pairs(*pairs: tuple[str, str]) -> list[str]:
    width = max(len(name) for name, _ in pairs)
    return [f"{name:<{width}}  {printable(value, limit=4096)}" for name, value in pairs]


def _folded(row: Sequence[str], width: int) -> list[str]:
    """Return the cells of `row`, as many to a line as fit; from the second line on they are indented."""
    lines = [row[0]]
    for cell in row[1:]:
        if len(lines[-1]) + len(_GAP) + len(cell) <= width:
            lines[-1] += _GAP + cell
        else:
            lines.append(_GAP + cell)
    return lines


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int], width: int | None = None
) -> list[str]:
    """Return columns as wide as their widest cell, four spaces apart; those in `right` end flush.

    If the table is wider than `width`, first cells that are too long for it stand on lines of their own; if that is not
    enough, there are no columns, and each row is folded between its cells.
    """
    table = [head, *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    if width is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        room = width - sum(widths[1:]) - len(_GAP) * (len(widths) - 1)
        if room < len(head[0]):
            return [line for row in table for line in _folded(row, width)]
        widths[0] = max(len(row[0]) for row in table if len(row[0]) <= max(room, len(head[0])))
    lines = []
    for first, *rest in table:
        if len(first) > widths[0]:
            lines.append(first)
            first = ""
        cells = enumerate(zip((first, *rest), widths, strict=True))
        line = _GAP.join(cell.rjust(wide) if column in right else cell.ljust(wide) for column, (cell, wide) in cells)
        lines.append(line.rstrip())
    return lines
