"""What the verbs that cross an air gap write: archives, volumes, and places that are repaired, looked at by strangers.

As in `targets.py`, what is looked at is the disk, and never our code's word. What was broken before a repair may still
be; nothing else may.
"""

from __future__ import annotations

import filecmp
import hashlib
import tarfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .kills import Model
from .targets import Target


class Written(Protocol):
    """What a run writes. All may be looked at whenever no process writes."""

    @property
    def place(self) -> str | None:
        """The place to verify; None if nothing is shown."""
        ...

    def wrong(self) -> list[str]:
        """What is half written, and shown nevertheless, in words."""
        ...

    def broken(self) -> set[str]:
        """The hex of the digests of what is still broken, of that which is to be repaired."""
        ...

    def lacking(self) -> list[str]:
        """What is other than it should be after a run that ended well."""
        ...


def same(one: Path, other: Path) -> bool:
    """Whether two files have the same bytes."""
    return filecmp.cmp(one, other, shallow=False)


@dataclass(frozen=True, slots=True)
class Exported:
    """An archive or its volumes in `folder`, where nothing else is; `like` has those of an export that nobody stopped.

    `first` is the file whose name says that all is there.
    """

    folder: Path
    like: Path
    first: str

    @property
    def place(self) -> str | None:
        """As `Written.place`."""
        return f"oci-archive:{self.folder / 'model.tar'}" if (self.folder / self.first).exists() else None

    def wrong(self) -> list[str]:
        """As `Written.wrong`: a file that has its name is whole and right, and if the first one has, all have."""
        found, expected = _names(self.folder), _names(self.like)
        named = found & expected
        wrong = [
            f"{name} is foreign" for name in sorted(found - expected) if name.removesuffix(".partial") not in expected
        ]
        wrong += [f"{name} has other bytes" for name in sorted(named) if not same(self.folder / name, self.like / name)]
        if self.first in named:
            wrong += [f"{name} is not there beside {self.first}" for name in sorted(expected - named)]
        return wrong

    def broken(self) -> set[str]:
        """Nothing is repaired."""
        return set()

    def lacking(self) -> list[str]:
        """As `Written.lacking`."""
        left = _names(self.folder) ^ _names(self.like)
        return self.wrong() + [f"{name} is left, or is missing" for name in sorted(left)]


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


@dataclass(frozen=True, slots=True)
class Imported:
    """A target of an import. `spelt` is the place."""

    target: Target
    model: Model
    spelt: str

    @property
    def place(self) -> str | None:
        """As `Written.place`."""
        return self.spelt if self.target.is_shown else None

    def wrong(self) -> list[str]:
        """As `Written.wrong`."""
        return self.target.wrong(self.model)

    def broken(self) -> set[str]:
        """Nothing is repaired."""
        return set()

    def lacking(self) -> list[str]:
        """As `Written.lacking`."""
        return self.wrong() + self.target.lacking(self.model)


@dataclass(frozen=True, slots=True)
class Mended:
    """A store or layout, and one `like` it that is whole; `damaged` are the names of the blobs that were broken."""

    folder: Path
    like: Path
    blobs: str  # the folder of them
    damaged: Collection[str]
    spelt: str

    @property
    def place(self) -> str | None:
        """As `Written.place`."""
        return self.spelt

    def wrong(self) -> list[str]:
        """As `Written.wrong`."""
        return [f"{name} was whole before" for name in self._broken() if name not in self.damaged]

    def broken(self) -> set[str]:
        """As `Written.broken`."""
        return {name.removeprefix("sha256-") for name in self._broken()}

    def lacking(self) -> list[str]:
        """As `Written.lacking`: every file is as it should be, and no other is there."""
        left = _files(self.folder) ^ _files(self.like)
        return [f"{name} is not mended" for name in self._broken()] + [
            f"{each} is left, or is missing" for each in left
        ]

    def _broken(self) -> list[str]:
        found = self.folder / self.blobs
        names = [path.name for path in (self.like / self.blobs).iterdir()]
        return [
            name
            for name in names
            if not (found / name).exists() or not same(found / name, self.like / self.blobs / name)
        ]


def _files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


@dataclass(frozen=True, slots=True)
class MendedArchive:
    """An archive that is repaired in its place, and was like `like` before the blobs `damaged` broke."""

    path: Path
    like: Path
    damaged: Collection[str]

    @property
    def place(self) -> str | None:
        """As `Written.place`."""
        return f"oci-archive:{self.path}"

    def wrong(self) -> list[str]:
        """As `Written.wrong`."""
        if self.path.stat().st_size != self.like.stat().st_size:
            return ["the archive has another length"]
        return [f"{name} was whole before" for name in sorted(self.broken() - set(self.damaged))]

    def broken(self) -> set[str]:
        """As `Written.broken`."""
        with tarfile.open(self.path, "r:") as archive:
            names = [member.name for member in archive if member.name.startswith("blobs/")]
            return {Path(name).name for name in names if _sum(archive, name) != Path(name).name}

    def lacking(self) -> list[str]:
        """As `Written.lacking`."""
        return [] if same(self.path, self.like) else ["the archive has other bytes than before it was damaged"]


def _sum(archive: tarfile.TarFile, name: str) -> str:
    hashed = hashlib.sha256()
    file = archive.extractfile(name)
    assert file is not None
    while piece := file.read(1 << 20):
        hashed.update(piece)
    return hashed.hexdigest()
