"""Models of given content in an Ollama store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from registry_push.embedded import sample
from registry_push.embedded.sample import LAYER_TYPE, Layer
from registry_push.model import Digest, ModelName


def write_model(root: Path, name: str, layers: Sequence[bytes]) -> bytes:
    """Write the model `name` with these layers into the store, and return its manifest."""
    kinds = [LAYER_TYPE + ("model" if n == 0 else "template") for n in range(len(layers))]
    contents = [Layer(kind, content) for kind, content in zip(kinds, layers, strict=True)]
    sample.write_model(root, ModelName.parse(name), sample.config(name=name), contents)
    return manifest_file(root, name).read_bytes()


def blob_file(root: Path, digest: Digest) -> Path:
    """Where the store has a blob."""
    return root / "blobs" / digest.path_name


def manifest_file(root: Path, name: str) -> Path:
    """Where the store has the manifest of a model."""
    return root.joinpath("manifests", *ModelName.parse(name).path_parts)


def same_stores(one: Path, other: Path) -> bool:
    """Whether both have the same manifests and blobs, byte for byte."""
    return _files(one) == _files(other)


def _files(root: Path) -> dict[str, bytes]:
    found = (each for part in ("manifests", "blobs") for each in (root / part).rglob("*") if each.is_file())
    return {str(each.relative_to(root)): each.read_bytes() for each in found}
