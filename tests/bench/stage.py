"""What is pushed: one content as an Ollama store and as two image layouts, which share its bytes by hard links."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from registry_push.embedded.sample import CONFIG_TYPE, LAYER_TYPE, config, encoded, manifest_bytes
from registry_push.model import Descriptor, Digest, ModelName

MODEL: Final = ModelName.parse("bench/model:latest")
TAG: Final = "latest"
# Enough that hashing it costs more than the loop.
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Shape:
    """`blobs` layers of `size` bytes each; `sparse` ones are holes, the same bytes in all, and take no room."""

    blobs: int
    size: int
    sparse: bool = False

    @property
    def total(self) -> int:
        """Bytes of all layers."""
        return self.blobs * self.size

    @property
    def room(self) -> int:
        """Bytes that it takes on the disk."""
        return 0 if self.sparse else self.total


@dataclass(frozen=True, slots=True)
class Stage:
    """One content. `models` is an Ollama store; `layout` has its manifest as it is, `plain` one with OCI's types."""

    shape: Shape
    models: Path
    layout: Path
    plain: Path

    @property
    def blobs(self) -> Path:
        """The folder of the layers and the config, named by their digests."""
        return self.models / "blobs"


def set_stage(folder: Path, shape: Shape) -> Stage:
    """Writes it below `folder`, which must be on one file system."""
    stage = Stage(shape, folder / "models", folder / "layout", folder / "plain")
    stage.blobs.mkdir(parents=True)
    layers = [_write_layer(stage.blobs, shape) for _ in range(shape.blobs)]
    content = encoded(config())
    about = Descriptor(CONFIG_TYPE, Digest.of(content), len(content))
    (stage.blobs / about.digest.path_name).write_bytes(content)
    raw = manifest_bytes(about, layers)
    manifest = stage.models.joinpath("manifests", *MODEL.path_parts)
    manifest.parent.mkdir(parents=True)
    manifest.write_bytes(raw)
    _write_layout(stage.layout, stage.blobs, raw)
    # skopeo refuses Ollama's types.
    _write_layout(stage.plain, stage.blobs, _with_oci_types(raw))
    return stage


def _write_layer(blobs: Path, shape: Shape) -> Descriptor:
    # Random bytes for all of it would take longer than the push: a block of them, numbered.
    block = bytearray(0 if shape.sparse else os.urandom(min(shape.size, _BLOCK)))
    zeros = memoryview(bytes(_BLOCK))
    part, hasher, offset = blobs / ".writing", hashlib.sha256(), 0
    with part.open("wb", buffering=0) as file:
        file.truncate(shape.size)
        while offset < shape.size:
            length = min(_BLOCK, shape.size - offset)
            if shape.sparse:
                hasher.update(zeros[:length])
            else:
                if offset:
                    block[:8] = offset.to_bytes(8, "little")
                file.write(memoryview(block)[:length])
                hasher.update(memoryview(block)[:length])
            offset += length
    digest = Digest(hasher.hexdigest())
    part.rename(blobs / digest.path_name)
    return Descriptor(LAYER_TYPE + "tensor", digest, shape.size)


def _with_oci_types(raw: bytes) -> bytes:
    document = json.loads(raw)
    document["mediaType"] = "application/vnd.oci.image.manifest.v1+json"
    document["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json"
    for layer in document["layers"]:
        layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar"
    return encoded(document)


def _write_layout(folder: Path, blobs: Path, manifest: bytes) -> None:
    inside = folder / "blobs" / "sha256"
    inside.mkdir(parents=True)
    for blob in blobs.iterdir():
        (inside / blob.name.removeprefix("sha256-")).hardlink_to(blob)
    digest = hashlib.sha256(manifest).hexdigest()
    (inside / digest).write_bytes(manifest)
    entry: dict[str, Any] = {
        "mediaType": json.loads(manifest)["mediaType"],
        "digest": f"sha256:{digest}",
        "size": len(manifest),
        "annotations": {"org.opencontainers.image.ref.name": TAG},
    }
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
