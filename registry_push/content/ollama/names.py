"""Models' names and their files: `manifests/` as Ollama writes it, `manifests-v2/` as it will."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Self

from msgspec import Struct

from ...errors import InvalidName
from ...model import ModelName
from ...model.name import DEFAULT_HOST
from ...text.natural_order import natural_order
from ..read_errors import Cause, cause_of, passes, read_error

LEGACY: Final = "manifests"
# Ollama's pull request 16590 (August 2026, manifest/paths.go): another folder, since old versions must not trip
# over its links; `:` is `%3A`, since Windows has no `:` in names; and its own registry goes by its new host.
V2: Final = "manifests-v2"
_V2_HOST: Final = "ollama.com"
# Whether a folder can be called `localhost:5000`. On Windows Ollama keeps no such model (ollama issue 4088).
PORTS_IN_NAMES: Final = os.name != "nt"
# difflib's own measure of what is worth showing.
_ALIKE: Final = 0.6
# A file's extension: `.ini`, `.meta`, `.bak`, `.db3`. Versions (`.5b`, `.0`) begin with a digit.
_SUFFIX: Final = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,9}\Z")
_OF_MANIFESTS: Final = frozenset({"schemaVersion", "mediaType", "config", "layers", "manifests"})


class StoredModel(Struct, frozen=True):
    """A model in the store: where its manifest is, that file's size in bytes and its time (seconds since 1970)."""

    name: ModelName
    path: Path
    size: int
    modified: float


class Listing(Struct, frozen=True):
    """The models of a store, sorted, and a sentence for each thing among the manifests that is no model."""

    models: tuple[StoredModel, ...]
    problems: tuple[str, ...]

    @classmethod
    def of(cls, models: Iterable[StoredModel], problems: Iterable[str]) -> Self:
        """Return the listing, sorted by name as displayed, then by tag, without case and numbers by their value."""

        def order(model: StoredModel) -> tuple[Any, ...]:
            shown, _, tag = model.name.short.rpartition(":")
            return natural_order(shown), natural_order(tag), model.name.path_parts

        return cls(tuple(sorted(models, key=order)), tuple(problems))


def named_paths(root: Path, name: ModelName) -> tuple[Path, ...]:
    """Return where the manifest of exactly this name can be, best first."""
    paths = [root.joinpath(V2, *v2_parts(name))]
    if fits_legacy(name):
        paths.append(root.joinpath(LEGACY, *name.path_parts))
    if _is_public(name.host):
        other = _V2_HOST if name.host.lower() == DEFAULT_HOST else DEFAULT_HOST
        paths.append(root / LEGACY / other / name.namespace / name.model / name.tag)
    return tuple(paths)


def fits_legacy(name: ModelName) -> bool:
    """Return whether this system has a name for the host's folder below `manifests/`."""
    return PORTS_IN_NAMES or ":" not in name.host


def v2_parts(name: ModelName) -> tuple[str, str, str, str]:
    """Return the four folder and file names below `manifests-v2/`."""
    host = _V2_HOST if _is_public(name.host) else name.host
    return (host.replace(":", "%3A"), name.namespace, name.model, name.tag)


def entries(root: Path, problems: list[str]) -> Iterator[tuple[ModelName, Path]]:
    """Yield every file or link at a manifest's depth whose path is a name; add a sentence on others to `problems`.

    Raises `Unreadable` for a folder that is closed to us.
    """
    for folder in (V2, LEGACY):
        for parts, path in _files(root / folder, 4, problems):
            host = parts[0]
            if folder == V2:
                host = re.sub("%3a", ":", host, flags=re.IGNORECASE)
                host = DEFAULT_HOST if _is_public(host) else host
            try:
                yield ModelName.from_path_parts((host, *parts[1:])), path
            except InvalidName as error:
                problems.append(f"{path}: {error}")


def is_glob(pattern: str) -> bool:
    """Return whether `pattern` has wildcards; one without is a name."""
    return any(character in pattern for character in "*?[")


def is_stray(tag: str, content: bytes) -> bool:
    """Return whether a file with this name and content, which is no manifest, was never one.

    Examples are `desktop.ini`, `Thumbs.db` and `v1.meta`: their names have an extension, and their content is no JSON
    object, or one without any field of a manifest. Anything else counts as a damaged manifest.
    """
    if not _SUFFIX.search(tag):
        return False
    if not content.lstrip().startswith(b"{"):
        return True
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return _OF_MANIFESTS.isdisjoint(document)


def matching(pattern: str, names: Iterable[ModelName]) -> list[ModelName]:
    """Return the names that the glob `pattern` (`*`, `?`, `[…]`) means, compared without case.

    It is matched with the short and the full name, with the tag, and, if it has no tag itself, without: `llama3.?`
    means every tag of those models. A pattern without wildcards is a name, and means one model.
    Raises `InvalidName` for such a name that breaks the grammar.
    """
    if not is_glob(pattern):
        wanted = ModelName.parse(pattern)
        return [name for name in names if name.same_as(wanted)]
    folded = pattern.lower()
    tagless = ":" not in folded.rpartition("/")[2]

    def matches(name: ModelName) -> bool:
        spellings = [name.short.lower(), "/".join(name.folded[:3]) + ":" + name.folded[3]]
        if tagless:
            spellings += [spelling.rpartition(":")[0] for spelling in spellings]
        return any(fnmatchcase(spelling, folded) for spelling in spellings)

    return [name for name in names if matches(name)]


def closest(wanted: str, names: Iterable[ModelName]) -> list[str]:
    """Return up to three names, as displayed, that `wanted` could have been meant for, the likeliest first.

    Hosts, namespaces, models and tags are compared one by one, so that a shared part does not make the rest similar.
    """
    try:
        name = ModelName.parse(wanted)
    except InvalidName:  # such as a pattern
        from difflib import get_close_matches

        shown = {each.short.lower(): each.short for each in names}
        return [shown[near] for near in get_close_matches(wanted.lower(), shown, n=3, cutoff=_ALIKE)]
    near = [(_nearness(name, each), each.short) for each in names]
    return [short for nearness, short in sorted(near, key=lambda pair: (-pair[0], pair[1]))[:3] if nearness]


def _nearness(one: ModelName, other: ModelName) -> float:
    """Return the similarity, from 0 to 4."""
    parts = [_ratio(left, right) for left, right in zip(one.folded, other.folded, strict=True)]
    host, namespace, model, _ = parts
    if model < _ALIKE or (min(host, namespace) < _ALIKE and model < 1):
        return 0.0
    return sum(parts)


def _ratio(left: str, right: str) -> float:
    from difflib import SequenceMatcher  # takes 1 ms, for a name that is not there

    return 1.0 if left == right else SequenceMatcher(None, left, right).ratio()


def _files(folder: Path, depth: int, problems: list[str]) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Yield the files and links exactly `depth` levels below `folder`, each with its path's parts."""
    try:
        with os.scandir(folder) as found:
            below = sorted((entry.name, entry.is_dir(follow_symlinks=depth > 1)) for entry in found)
    except FileNotFoundError:
        return
    except OSError as error:
        if passes(error) or cause_of(error.errno) is Cause.CLOSED:
            raise read_error(error, "the store", path=folder) from error
        problems.append(f"{folder}: {error.strerror}")
        return
    for name, is_folder in below:
        path = folder / name
        if name.startswith("."):
            continue  # .DS_Store and its like, and Ollama's own temporary files
        if is_folder is (depth == 1):
            problems.append(f"{path}: " + ("a folder, where a manifest should be" if is_folder else "a stray file"))
        elif depth == 1:
            yield (name,), path
        else:
            for parts, file in _files(path, depth - 1, problems):
                yield (name, *parts), file


def _is_public(host: str) -> bool:
    return host.lower() in (DEFAULT_HOST, _V2_HOST)
