"""Where copies go: an Ollama store, an OCI layout, a registry. Each says what in it is not as it should be.

What is looked at is the disk, and a registry's own answers; never our code's word.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from registry_push.model import Manifest, ModelName

from .kills import NAME, Model, fetched, wrong_blobs
from .registries import Kind, Running, running

_IN_A_STORE = {"blobs", "manifests", ".registry-push"}


class Target(Protocol):
    """What a copy is written to."""

    @property
    def is_shown(self) -> bool:
        """Whether the model can be seen there."""
        ...

    def committed(self) -> dict[str, Path]:
        """Every blob that is there under its own name, by the hex of its digest."""
        ...

    def wrong(self, model: Model) -> list[str]:
        """What is damaged, half there or foreign, in words. It may be looked at whenever no process writes."""
        ...

    def lacking(self, model: Model) -> list[str]:
        """What is missing or other than at the source, after a copy that ended well."""
        ...


def _is_right(hexadecimal: str, path: Path) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == hexadecimal


def _wrong_content(blobs: dict[str, Path]) -> list[str]:
    return [f"{name} has other content" for name, path in blobs.items() if not _is_right(name, path)]


def _half(raw: bytes, blobs: dict[str, Path]) -> list[str]:
    return [
        f"a manifest shows without {blob.digest}" for blob in Manifest.parse(raw).blobs if blob.digest.hex not in blobs
    ]


@dataclass(frozen=True, slots=True)
class Store:
    """An Ollama store, in which each manifest is looked at, whoever wrote it."""

    root: Path
    name: str = NAME

    @property
    def _manifest(self) -> Path:
        return self.root.joinpath("manifests", *ModelName.parse(self.name).path_parts)

    @property
    def is_shown(self) -> bool:
        """As `Target.is_shown`."""
        return self._manifest.is_file()

    def committed(self) -> dict[str, Path]:
        """As `Target.committed`."""
        return {path.name.removeprefix("sha256-"): path for path in self.root.glob("blobs/sha256-*")}

    def wrong(self, model: Model | None = None) -> list[str]:
        """As `Target.wrong`, by the rules that Ollama has for its store."""
        if not self.root.is_dir():
            return []
        blobs = self.committed()
        wrong = [f"{path.name} is foreign in the store" for path in self.root.iterdir() if path.name not in _IN_A_STORE]
        for path in self.root.glob("blobs/*"):
            is_named = path.name.startswith("sha256-") and len(path.name) == len("sha256-") + 64
            if not is_named or not stat.S_ISREG(path.lstat().st_mode):
                wrong.append(f"{path.name} is foreign in blobs/")
        for path in (self.root / "manifests").rglob("*"):
            depth = len(path.relative_to(self.root / "manifests").parts)
            if path.is_dir() if depth >= 4 else not path.is_dir():
                wrong.append(f"{path.name} is foreign in manifests/")
            elif path.is_file():
                wrong += _half(path.read_bytes(), blobs)
        return wrong + _wrong_content({name: path for name, path in blobs.items() if len(name) == 64})

    def lacking(self, model: Model) -> list[str]:
        """As `Target.lacking`."""
        return [] if self._manifest.read_bytes() == model.manifest.raw else ["the manifest is not the source's"]


@dataclass(frozen=True, slots=True)
class Layout:
    """An OCI layout in a folder."""

    root: Path

    @property
    def _entries(self) -> list[dict[str, str]]:
        index = self.root / "index.json"
        found: list[dict[str, str]] = json.loads(index.read_bytes())["manifests"] if index.is_file() else []
        return found

    @property
    def is_shown(self) -> bool:
        """As `Target.is_shown`."""
        return bool(self._entries)

    def committed(self) -> dict[str, Path]:
        """As `Target.committed`."""
        return {path.name: path for path in self.root.glob("blobs/sha256/*") if len(path.name) == 64}

    def wrong(self, model: Model) -> list[str]:
        """As `Target.wrong`."""
        blobs, wrong = self.committed(), []
        for entry in self._entries:
            manifest = blobs.get(entry["digest"].partition(":")[2])
            wrong += _half(manifest.read_bytes(), blobs) if manifest else [f"{entry['digest']} is not there"]
        return wrong + _wrong_content(blobs)

    def lacking(self, model: Model) -> list[str]:
        """As `Target.lacking`."""
        shown = [entry["digest"] for entry in self._entries]
        return [] if shown == [str(model.manifest.digest)] else [f"index.json shows {shown}"]


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at a registry."""

    registry: Running

    @property
    def is_shown(self) -> bool:
        """As `Target.is_shown`."""
        return fetched(self.registry, "manifests/latest") is not None

    def committed(self) -> dict[str, Path]:
        """As `Target.committed`."""
        return self.registry.committed()

    def wrong(self, model: Model) -> list[str]:
        """As `Target.wrong`."""
        return wrong_blobs(self.registry, model) + (self._missing(model) if self.is_shown else [])

    def lacking(self, model: Model) -> list[str]:
        """As `Target.lacking`."""
        is_same = fetched(self.registry, "manifests/latest") == model.manifest.raw
        return self._missing(model) + ([] if is_same else ["the manifest is not the source's"])

    def _missing(self, model: Model) -> list[str]:
        blobs = [
            blob for blob in model.manifest.blobs if fetched(self.registry, f"blobs/{blob.digest}", "HEAD") is None
        ]
        return [f"{blob.digest} is not in the repository" for blob in blobs]


@contextmanager
def repository(kind: Kind, folder: Path) -> Iterator[Repository]:
    """An empty one, its files in `folder`."""
    with running(kind, folder) as registry:
        yield Repository(registry)
