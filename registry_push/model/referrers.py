"""Referrers: manifests about a manifest, such as signatures and bills of materials. Pure.

A registry lists them (distribution-spec 1.1, "Listing Referrers"), or an index under the tag `sha256-<hex>` does
("Referrers Tag Schema"), or they have tags of their own, as cosign gave them before its version 3.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from ..errors import ManifestCorrupt
from .descriptor import Descriptor
from .digest import Digest
from .json_document import decoded
from .manifest import OCI_INDEX, Manifest

COSIGN_SUFFIXES: Final = ("sig", "att", "sbom")
_ATTACHED: Final = re.compile(r"sha256-[0-9a-f]{64}(?:\.(?:sig|att|sbom))?")
_FALLBACK: Final = re.compile(r"sha256-[0-9a-f]{64}")


def fallback_tag(subject: Digest) -> str:
    """Return the tag of the index that lists the referrers of `subject` if the registry has no list of its own."""
    return subject.path_name


def cosign_tags(subject: Digest) -> tuple[str, ...]:
    """Return the tags under which cosign puts what is about `subject`."""
    return tuple(f"{subject.path_name}.{suffix}" for suffix in COSIGN_SUFFIXES)


def is_attached(tag: str) -> bool:
    """Return whether the tag says that its manifest is about another one."""
    return _ATTACHED.fullmatch(tag) is not None


def is_fallback(tag: str) -> bool:
    """Whether the tag is that of an index of referrers."""
    return _FALLBACK.fullmatch(tag) is not None


def listed(raw: bytes, where: str) -> tuple[Descriptor, ...]:
    """Return the referrers in an index. Raises `ManifestCorrupt`."""
    entries = decoded(raw, where).get("manifests")
    if not isinstance(entries, list):
        raise ManifestCorrupt(f"{where} has no list of manifests")
    return tuple(Descriptor.parse(entry, where=where) for entry in entries)


def kind_of(manifest: Manifest) -> str | None:
    """Return the artifact's type: its own artifactType, else its config's media type."""
    kind = decoded(manifest.raw, "manifest").get("artifactType")
    if isinstance(kind, str) and kind:
        return kind
    return manifest.config.media_type if manifest.config is not None else None


def with_referrer(raw: bytes | None, manifest: Manifest) -> bytes | None:
    """Return the index `raw` with `manifest` listed; None if it is listed already. Raises `ManifestCorrupt`.

    What else is in the index stays as it is.
    """
    where = "the index of referrers"
    index: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    if raw is not None:
        if any(entry.digest == manifest.digest for entry in listed(raw, where)):
            return None
        index = decoded(raw, where)
    fields = decoded(manifest.raw, "manifest")
    entry = {"mediaType": manifest.media_type, "digest": str(manifest.digest), "size": len(manifest.raw)}
    if kind := kind_of(manifest):
        entry["artifactType"] = kind
    if isinstance(fields.get("annotations"), dict):
        entry["annotations"] = fields["annotations"]
    return json.dumps({**index, "manifests": [*index["manifests"], entry]}).encode()


def with_what_is_there(raw: bytes, there: bytes) -> bytes:
    """The index `raw` with what the index `there` lists besides; `raw` itself if that is nothing.

    Raises `ManifestCorrupt` if one of them is no index.
    """
    where = "the index of referrers"
    known = {each.digest for each in listed(raw, where)}
    found = zip(listed(there, where), decoded(there, where)["manifests"], strict=True)
    others = [entry for each, entry in found if each.digest not in known]
    if not others:
        return raw
    index = decoded(raw, where)
    return json.dumps({**index, "manifests": [*index["manifests"], *others]}).encode()
