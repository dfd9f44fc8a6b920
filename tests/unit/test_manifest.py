"""Manifests and descriptors: the bytes are kept, and odd ones are refused."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_push.errors import ManifestCorrupt
from registry_push.model import Descriptor, Digest, Manifest
from registry_push.model.manifest import DOCKER_MANIFEST, MAX_LAYERS, MAX_MANIFEST_BYTES, OCI_INDEX, OCI_MANIFEST

HEX = "0123456789abcdef" * 4
LAYER_TYPE = "application/vnd.ollama.image.model"
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def manifest_json(**changes: Any) -> bytes:
    """A manifest of one layer and a config, with `changes`; `None` takes a field out."""
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "digest": f"sha256:{'1' * 64}",
            "size": 2,
        },
        "layers": [{"mediaType": LAYER_TYPE, "digest": f"sha256:{HEX}", "size": 9}],
    }
    return json.dumps({key: value for key, value in (document | changes).items() if value is not None}).encode()


class TestManifest:
    def test_its_bytes_and_digest_are_those_it_was_read_from(self) -> None:
        raw = b" " + manifest_json() + b"\n\n"
        manifest = Manifest.parse(raw)
        assert (manifest.raw, manifest.digest) == (raw, Digest.of(raw))

    @pytest.mark.attack("CVE-2025-1975")
    @given(json_values)
    def test_cve_2025_1975_odd_json_is_a_manifest_or_corrupt(self, value: Any) -> None:
        with contextlib.suppress(ManifestCorrupt):
            Manifest.parse(json.dumps(value).encode())

    @pytest.mark.attack("CVE-2025-1975")
    @given(st.sampled_from(["config", "layers", "mediaType", "schemaVersion", "manifests"]), json_values)
    def test_cve_2025_1975_an_odd_field_is_a_manifest_or_corrupt(self, key: str, value: Any) -> None:
        try:
            manifest = Manifest.parse(manifest_json(**{key: value}))
            assert manifest.size >= 0
        except ManifestCorrupt:
            pass

    @pytest.mark.attack("CVE-2025-1975")
    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"null",
            b"[]",
            b"\xff",
            b"{",
            b"[" * 100000,
            b'{"schemaVersion":2,"layers":{}}',
            b"1" * 5000,
            manifest_json(layers=[None]),
            manifest_json(layers=[{}]),
            manifest_json(layers="x"),
            manifest_json(config=3),
            manifest_json(schemaVersion=1),
            manifest_json(schemaVersion="2"),
            manifest_json(mediaType=7),
        ],
    )
    def test_cve_2025_1975_never_an_index_error(self, raw: bytes) -> None:
        with pytest.raises(ManifestCorrupt):
            Manifest.parse(raw)

    @pytest.mark.attack("CVE-2021-41190")
    def test_cve_2021_41190_layers_and_manifests_together_are_ambiguous(self) -> None:
        with pytest.raises(ManifestCorrupt, match="both layers and manifests"):
            Manifest.parse(manifest_json(manifests=[]))

    @pytest.mark.attack("CVE-2021-41190")
    def test_cve_2021_41190_the_carrier_must_not_say_otherwise(self) -> None:
        with pytest.raises(ManifestCorrupt, match="carrier"):
            Manifest.parse(manifest_json(), media_type=OCI_INDEX)

    @pytest.mark.attack("GHSA-f36w-mj3v-6jqv")
    @pytest.mark.parametrize("size", [-1, 2**63, 10**30, 1.5, True, "9", None])
    def test_ghsa_f36w_mj3v_6jqv_a_size_is_an_int64(self, size: object) -> None:
        with pytest.raises(ManifestCorrupt, match="size"):
            Descriptor.parse({"mediaType": LAYER_TYPE, "digest": f"sha256:{HEX}", "size": size})

    @pytest.mark.attack("GHSA-f36w-mj3v-6jqv")
    def test_ghsa_f36w_mj3v_6jqv_a_huge_size_allocates_nothing(self) -> None:
        blob = {"mediaType": LAYER_TYPE, "digest": f"sha256:{HEX}", "size": 2**63 - 1}
        assert Manifest.parse(manifest_json(layers=[blob], config={})).size == 2**63 - 1

    def test_a_million_layers_are_refused_before_they_are_read(self) -> None:
        raw = b'{"schemaVersion":2,"layers":[' + b"0," * MAX_LAYERS + b"0]}"
        with pytest.raises(ManifestCorrupt, match="at most"):
            Manifest.parse(raw)
        with pytest.raises(ManifestCorrupt, match="at most"):
            Manifest.parse(b" " * (MAX_MANIFEST_BYTES + 1))

    @pytest.mark.parametrize("config", [{}, {"mediaType": "", "digest": "", "size": 0}])
    def test_an_empty_config_is_none(self, config: dict[str, Any]) -> None:
        assert Manifest.parse(manifest_json(config=config)).config is None

    def test_a_digest_counts_once_whatever_names_it(self) -> None:
        layer = {"mediaType": LAYER_TYPE, "digest": f"sha256:{HEX}", "size": 9}
        manifest = Manifest.parse(manifest_json(layers=[layer, layer | {"mediaType": "text/plain"}]))
        assert (len(manifest.layers), len(manifest.blobs), manifest.size) == (2, 2, 11)

    def test_a_digest_has_one_size(self) -> None:
        layers = [{"mediaType": LAYER_TYPE, "digest": f"sha256:{HEX}", "size": size} for size in (9, 10)]
        with pytest.raises(ManifestCorrupt, match="two sizes"):
            Manifest.parse(manifest_json(layers=layers))

    @pytest.mark.parametrize("media_type", ["", "x", "a/b c", "a/b\r\nX-Evil: 1", "a/b\n", None, 3])
    def test_a_media_type_that_could_become_a_header_is_refused(self, media_type: object) -> None:
        with pytest.raises(ManifestCorrupt, match="mediaType"):
            Descriptor.parse({"mediaType": media_type, "digest": f"sha256:{HEX}", "size": 1})

    def test_silence_about_the_type_is_filled_in(self) -> None:
        oci = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": f"sha256:{HEX}", "size": 9}
        assert Manifest.parse(manifest_json(mediaType=None)).media_type == DOCKER_MANIFEST
        assert Manifest.parse(manifest_json(mediaType=None, config=oci)).media_type == OCI_MANIFEST
        assert Manifest.parse(b'{"schemaVersion":2,"manifests":[]}').media_type == OCI_INDEX

    def test_a_layer_keeps_what_we_do_not_know(self) -> None:
        layer = {"mediaType": LAYER_TYPE, "digest": f"sha256:{HEX}", "size": 9, "from": "/home/me/x", "name": "w"}
        blob = Manifest.parse(manifest_json(layers=[layer])).layers[0]
        assert (blob.from_model, blob.rest["name"], blob.kind) == ("/home/me/x", "w", "model")

    def test_what_we_do_not_know_makes_no_other_layer(self) -> None:
        fields = {"mediaType": LAYER_TYPE, "digest": f"sha256:{HEX}", "size": 9}
        one, other = Descriptor.parse(fields), Descriptor.parse(fields | {"from": "x"})
        assert one == other and len({one, other}) == 1
        assert one != Descriptor.parse(fields | {"size": 8})

    def test_its_bytes_are_not_in_its_repr(self) -> None:
        manifest = Manifest.parse(manifest_json(annotations={"note": "a long story"}))
        assert "story" not in repr(manifest) and repr(manifest.layers) in repr(manifest)
