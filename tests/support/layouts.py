"""Content for image layouts and archives: a blob, and manifests that name it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from registry_push.model import Descriptor, Digest, Manifest
from registry_push.model.manifest import DOCKER_MANIFEST

LAYER: Final = "application/vnd.ollama.image.model"
HELLO: Final = b"hello world"


def described(content: bytes) -> Descriptor:
    """`content` as a layer."""
    return Descriptor(LAYER, Digest.of(content), len(content))


BLOB: Final = described(HELLO)


def manifest(*, media_type: str = DOCKER_MANIFEST, note: str = "", layers: Sequence[Descriptor] = (BLOB,)) -> Manifest:
    """A manifest of `layers` whose config is the first of them."""
    fields = [{"mediaType": blob.media_type, "digest": str(blob.digest), "size": blob.size} for blob in layers]
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": fields[0],
        "layers": fields,
    }
    return Manifest.parse(json.dumps(document | ({"annotations": {"note": note}} if note else {})).encode())
