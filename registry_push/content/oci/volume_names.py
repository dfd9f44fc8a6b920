"""The names of an export's files, and what else may lie under them."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from ...errors import UsageError
from ...model import Digest
from ...text.patterns import LazyPattern
from ..ollama.paths import open_regular, read_bounded
from .new_file import other_name

TAR: Final = ".tar"
VOLUME: Final = LazyPattern(r"\.v[0-9]{3,5}\.tar\Z")
# Bytes of sums that are read: those of the most volumes that there are, with long names.
_MOST_SUMS: Final = 4 * 1024 * 1024
_HEX: Final = 64
_MARK: Final = "\\"


def is_volume(name: str, stem: str) -> bool:
    """Return whether `name` is that of a volume of `stem`.tar."""
    return name.startswith(f"{stem}.v") and VOLUME.compiled.fullmatch(name, len(stem)) is not None


def sum_line(digest: Digest, name: str) -> str:
    """Return the line of a file as sha256sum writes it: it marks a name that it had to escape."""
    escaped = _escaped(name)
    mark = "" if escaped == name else _MARK
    return f"{mark}{digest.hex}  {escaped}\n"


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def refuse_other_volumes(folder: Path, stem: str, planned: Collection[str]) -> None:
    """Raise `UsageError` if a volume lies in `folder` that is not `planned`: it would be taken for one of the set."""
    there: list[Path] = []
    with suppress(OSError):  # writing to it says what is wrong
        there = sorted(folder.iterdir())
    for path in there:
        if is_volume(path.name, stem) and path.name not in planned:
            raise UsageError(
                f"{path} is of another export, and would be taken for a volume of this one", hint=other_name(path)
            )


def refuse_other_sums(path: Path, stem: str) -> None:
    """Raise `UsageError` if something lies at `path` that is not the sums of an export to `stem`.tar."""
    if os.path.lexists(path) and not _has_only_sums(path, stem):
        raise UsageError(
            f"{path} is where the sums of the export go, and something else is there", hint=other_name(path)
        )


def _has_only_sums(path: Path, stem: str) -> bool:
    try:
        if path.is_symlink():
            return False
        with open_regular(path) as file:
            lines = read_bounded(file, _MOST_SUMS).decode().split("\n")
    except (OSError, ValueError):
        return False
    names = [line.removeprefix(_MARK)[_HEX + 2 :] for line in lines if line]
    stem = _escaped(stem)
    return all(name == f"{stem}{TAR}" or is_volume(name, stem) for name in names)
