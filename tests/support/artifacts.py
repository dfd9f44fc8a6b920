"""Artifacts that are about a manifest, put into a repository as other tools do."""

from __future__ import annotations

import json
from pathlib import Path

from registry_push.content.body import BytesBody
from registry_push.events import ignore
from registry_push.model import Descriptor, Digest, Manifest, Reference
from registry_push.model.manifest import OCI_MANIFEST
from registry_push.registry.registries import Registries
from registry_push.settings import Settings

EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"


def artifact(
    payload: bytes, *, subject: Manifest | None = None, kind: str | None = "application/vnd.test.sig"
) -> Manifest:
    """An artifact with one layer, about `subject`, if there is one."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": EMPTY_TYPE, "digest": str(Digest.of(EMPTY)), "size": len(EMPTY)},
        "layers": [{"mediaType": "text/plain", "digest": str(Digest.of(payload)), "size": len(payload)}],
        "annotations": {"org.example.note": payload.decode()},
    }
    if kind is not None:
        document["artifactType"] = kind
    if subject is not None:
        document["subject"] = {
            "mediaType": subject.media_type,
            "digest": str(subject.digest),
            "size": len(subject.raw),
        }
    return Manifest.parse(json.dumps(document).encode())


async def put(home: Path, repository: str, manifest: Manifest, payload: bytes, *, tag: str | None = None) -> None:
    """Put `manifest` and its blobs into `repository` (HOST/PATH), by its digest or under `tag`."""
    settings = Settings(home=home, state_dir=None)
    async with Registries(settings, ignore) as registries:
        target = registries.repository(Reference.parse(repository))
        for content in (EMPTY, payload):
            await target.put(Descriptor("text/plain", Digest.of(content), len(content)), BytesBody(content))
        await target.put_manifest(manifest, tag or str(manifest.digest))
