"""One model in an Ollama store, and what lies there while it is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from registry_push.content.body import BytesBody
from registry_push.content.ollama.target import OllamaTarget
from registry_push.model import Descriptor, Manifest, ModelName

from .layouts import BLOB, HELLO, described, manifest

WHOLE: Final = manifest()


def model(root: Path, name: str = "me/tiny", **given: Any) -> OllamaTarget:
    return OllamaTarget(root, ModelName.parse(name), **given)


async def put(target: OllamaTarget, wanted: Manifest = WHOLE, tag: str = "latest", *contents: bytes) -> None:
    for content in contents or (HELLO,):
        await target.put(described(content), BytesBody(content))
    await target.put_manifest(wanted, tag)


def blob_path(root: Path, blob: Descriptor = BLOB) -> Path:
    return root / "blobs" / blob.digest.path_name


def files_in(folder: Path) -> list[str]:
    """The paths of all that is in it and no folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or path.is_file())


class Looks:
    """What lay where Ollama looks, each time that anything was given a name, or written."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.blobs: set[str] = set()
        self.manifests: set[str] = set()

    def take(self) -> None:
        blobs = self._root / "blobs"
        self.blobs.update(path.name for path in (blobs.iterdir() if blobs.exists() else ()))
        for top in ("manifests", "manifests-v2"):
            self.manifests.update(files_in(self._root / top))


def looks_at(root: Path, monkeypatch: pytest.MonkeyPatch) -> Looks:
    """Looks before and after every system call that changes what there is."""
    looks = Looks(root)

    def watched(call: Callable[..., object]) -> Callable[..., object]:
        def calling(*args: object, **kwargs: object) -> object:
            looks.take()
            try:
                return call(*args, **kwargs)
            finally:
                looks.take()

        return calling

    for name in ("open", "replace", "unlink", "symlink", "link", "fsync", "pwrite", "ftruncate"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    return looks
