"""Stores for tests. Big ones are written fast: a model of one large blob, and one of very many small ones.

python -m tests.support.stores DIR --big 1000000000 --many 400 --many-size 65536
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded.sample import CONFIG_TYPE, LAYER_TYPE, config, encoded, manifest_bytes
from registry_push.model import Descriptor, Digest, ModelName

# Large enough that writing and hashing cost more than the loop, small enough to stay in the cache.
_BLOCK: Final = 1 << 20


def make_big_store(root: Path, *, size: int = 1_000_000_000, name: str = "bench/big:latest") -> ModelName:
    """Writes a model whose one layer has `size` bytes, no two blocks of it equal, and returns its name."""
    return _write(root, ModelName.parse(name), [_write_blob(root, "model", size)])


def make_many_store(
    root: Path, *, layers: int = 400, layer_size: int = 65536, name: str = "bench/many:latest"
) -> ModelName:
    """Writes a model of `layers` tensors, `layer_size` bytes each, and returns its name."""
    return _write(root, ModelName.parse(name), [_write_blob(root, "tensor", layer_size) for _ in range(layers)])


def make_mixed_store(root: Path, sizes: Sequence[int], *, name: str = "bench/mixed:latest") -> ModelName:
    """Writes a model with a layer of each of `sizes`, and returns its name."""
    return _write(root, ModelName.parse(name), [_write_blob(root, "model", size) for size in sizes])


def weights_of(store: OllamaStore, name: str = "me/tiny") -> tuple[Descriptor, Path]:
    """The first layer of a model, and the file it is expected in."""
    blob = store.read_manifest(ModelName.parse(name)).layers[0]
    return blob, store.root / "blobs" / blob.digest.path_name


def _write(root: Path, name: ModelName, layers: list[Descriptor]) -> ModelName:
    content = encoded(config())
    blob = Descriptor(CONFIG_TYPE, Digest.of(content), len(content))
    (root / "blobs" / blob.digest.path_name).write_bytes(content)
    manifest = root.joinpath("manifests", *name.path_parts)
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_bytes(manifest_bytes(blob, layers))
    return name


def _write_blob(root: Path, kind: str, size: int) -> Descriptor:
    blobs = root / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    block = bytearray(os.urandom(min(size, _BLOCK)))
    hasher, left, number = hashlib.sha256(), size, 0
    part = blobs / ".writing"
    with part.open("wb", buffering=0) as file:
        while left:
            if number:
                # Enough to tell blocks apart; random bytes for each would take longer than hashing.
                block[:8] = number.to_bytes(8, "little")
            chunk = memoryview(block)[: min(left, len(block))]
            hasher.update(chunk)
            file.write(chunk)
            chunk.release()
            left, number = left - min(left, len(block)), number + 1
    digest = Digest(hasher.hexdigest())
    part.rename(blobs / digest.path_name)
    return Descriptor(LAYER_TYPE + kind, digest, size)


def main() -> None:
    """Writes what the command line asks for and prints the names of the models."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.stores")
    parser.add_argument("dir", type=Path)
    parser.add_argument("--big", type=int, metavar="BYTES", help="a model of one blob of this size")
    parser.add_argument("--many", type=int, metavar="LAYERS", help="a model of so many blobs")
    parser.add_argument("--many-size", type=int, default=65536, metavar="BYTES", help="the size of each of the many")
    given = parser.parse_args()
    if given.big is not None:
        print(make_big_store(given.dir, size=given.big).short)
    if given.many is not None:
        print(make_many_store(given.dir, layers=given.many, layer_size=given.many_size).short)


if __name__ == "__main__":
    main()
