"""What Go reads without regard to case: a manifest whose content we would not push is none."""

from __future__ import annotations

import json

import pytest

from registry_push.errors import ManifestCorrupt
from registry_push.model import Manifest

pytestmark = [pytest.mark.attack("S13"), pytest.mark.attack("CVE-2021-41190")]

LAYER = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{'a' * 64}", "size": 7}


@pytest.mark.parametrize(
    "document",
    [
        {"schemaVersion": 2, "Layers": [LAYER]},
        {"schemaVersion": 2, "layers": [], "LAYERS": [LAYER]},
        {"schemaVersion": 2, "Config": LAYER, "layers": []},
        {"schemaVersion": 2, "Manifests": [LAYER]},
        {"schemaVersion": 2, "layers": [LAYER], "manifestS": []},
        {"schemaversion": 2, "layers": [LAYER]},
        {"schemaVersion": 2, "layers": [{**LAYER, "Digest": f"sha256:{'b' * 64}"}]},
        {"schemaVersion": 2, "layers": [{**LAYER, "SIZE": 8}]},
        {"schemaVersion": 2, "config": {**LAYER, "URLs": []}},
        # an artifact manifest of the release candidates of image-spec 1.1
        {"mediaType": "application/vnd.oci.artifact.manifest.v1+json", "blobs": [LAYER]},
        {"schemaVersion": 2, "blobs": [LAYER]},
    ],
)
def test_a_manifest_that_others_read_in_another_way_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(ManifestCorrupt):
        Manifest.parse(json.dumps(document).encode())


def test_other_keys_are_kept_as_they_are() -> None:
    layer = {**LAYER, "Annotations-of-mine": 1, "annotations": {"Digest": "x", "Layers": "y"}}
    raw = json.dumps({"schemaVersion": 2, "layers": [layer], "artifactType": "a/b", "Else": 1}).encode()
    manifest = Manifest.parse(raw)
    assert manifest.raw == raw
    assert manifest.layers[0].rest["Annotations-of-mine"] == 1
