"""`LayoutIndex`: what an OCI image layout's `index.json` says (image-spec, image-layout.md). Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any, Final, Self

from msgspec import Struct, field
from msgspec.structs import replace

from ...errors import InvalidDigest, ManifestCorrupt, UnsupportedDigest, UnsupportedManifest, printable
from ...model import Descriptor, Digest, Manifest
from ...model.json_document import decoded
from ...model.manifest import OCI_INDEX
from ...model.name import DEFAULT_TAG

REF_NAME: Final = "org.opencontainers.image.ref.name"
# containerd's and Docker's annotation. Their `ref.name` is the bare tag, and two saved images may both be `latest`.
IMAGE_NAME: Final = "io.containerd.image.name"


class LayoutIndex(Struct, frozen=True, dict=True):
    """The entries as they were read, and the document's other fields.

    An entry is parsed when it is asked for: one that we can't parse must not hide the others, and is written back as it
    was.
    """

    entries: tuple[Mapping[str, Any], ...] = ()
    rest: Mapping[str, Any] = field(default_factory=lambda: {"schemaVersion": 2, "mediaType": OCI_INDEX})

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Return the index in `raw`. Raises `ManifestCorrupt`."""
        document = decoded(raw, "index.json")
        if document.get("schemaVersion") != 2:
            raise ManifestCorrupt("index.json is no image index")
        entries = document.pop("manifests", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ManifestCorrupt("index.json has no list of manifests")
        return cls(tuple(entries), document)

    def encode(self) -> bytes:
        """Return the document."""
        return json.dumps({**self.rest, "manifests": [dict(entry) for entry in self.entries]}).encode()

    @property
    def refs(self) -> tuple[str, ...]:
        """Every name that a manifest has here, in the document's order, each once.

        If several manifests have one name, those with a longer name too are listed by that.
        """
        digests: dict[str, set[str]] = {}
        for entry in self.entries:
            digests.setdefault(_name(entry) or "", set()).add(str(entry.get("digest")))  # it may be anything
        names = (
            (_name(entry, IMAGE_NAME) if len(digests[name]) > 1 else None) or name
            for entry in self.entries
            if (name := _name(entry)) is not None
        )
        return tuple(dict.fromkeys(names))

    @property
    def names(self) -> frozenset[tuple[str, str]]:
        """Every name, with the digest that it has here."""
        return frozenset((name, str(each.get("digest"))) for each in self.entries if (name := _name(each)) is not None)

    def named(self, ref: str) -> Descriptor | None:
        """Return what is under the name `ref`; the last entry counts.

        Raises `ManifestCorrupt` if that can't be read.
        """
        found = self._by_name.get(ref)
        return Descriptor.parse(found, where=f"index.json's {printable(ref)}") if found is not None else None

    def meant_by(self, ref: str) -> tuple[str, ...]:
        """Return the names that `ref` is short for: they have a host or more of a path before it, or `latest` after it.

        A name that is written in full is none but itself.
        """
        if ref in self._by_name:
            return (ref,)
        ends = (f"/{ref}", f"/{ref}:{DEFAULT_TAG}")
        return tuple(name for name in self.refs if f"/{name}".endswith(ends))

    def with_digest(self, digest: Digest) -> Descriptor | None:
        """Return the manifest with this digest; None if it is not listed or can't be parsed."""
        return self._by_digest.get(digest)

    @cached_property
    def _by_name(self) -> Mapping[str, Mapping[str, Any]]:
        """The last entry of each name; a name of our own key counts before one of containerd's."""
        keyed = [(_name(entry, key), entry) for key in (IMAGE_NAME, REF_NAME) for entry in self.entries]
        return {name: entry for name, entry in keyed if name is not None}

    @cached_property
    def _by_digest(self) -> Mapping[Digest, Descriptor]:
        """The first entry of each digest."""
        found: dict[Digest, Descriptor] = {}
        for entry in self.readable():
            found.setdefault(entry.digest, entry)
        return found

    def readable(self) -> Iterator[Descriptor]:
        """Yield every entry that is a descriptor."""
        for entry in self.entries:
            try:
                yield Descriptor.parse(entry)
            except ManifestCorrupt:
                continue

    def refuse_unsupported(self) -> None:
        """Raise `UnsupportedManifest` for the first entry with a digest of another algorithm than sha256."""
        for entry in self.entries:
            with suppress(InvalidDigest):
                try:
                    Digest.parse(entry.get("digest"))
                except UnsupportedDigest as error:
                    raise UnsupportedManifest(f"index.json: {error}") from error

    def holding(self, manifest: Manifest, ref: str) -> Self:
        """Return the index with `manifest` under the name `ref`; under its own digest only if it has a subject."""
        if ref == str(manifest.digest):
            return self.added(manifest.descriptor) if manifest.subject is not None else self
        others = (e for e in self.entries if e["digest"] != str(manifest.digest) or "annotations" in e)
        return replace(self, entries=tuple(others)).tagged(manifest.descriptor, ref)

    def encode_sorted(self) -> bytes:
        """Return the document, with its entries in an order that does not depend on when they were added."""
        entries = sorted(self.entries, key=lambda entry: (str(entry.get("annotations", "")), str(entry["digest"])))
        return replace(self, entries=tuple(entries)).encode()

    def added(self, manifest: Descriptor) -> Self:
        """Return the index with `manifest` listed, without a name if it was not there."""
        if self.with_digest(manifest.digest) is not None:
            return self
        return replace(self, entries=(*self.entries, _entry(manifest, {})))

    def tagged(self, manifest: Descriptor, ref: str) -> Self:
        """Return the index with `ref` naming `manifest` only."""
        return replace(self, entries=(*self.untagged(ref).entries, _entry(manifest, {REF_NAME: ref})))

    def untagged(self, ref: str) -> Self:
        """Return the index without the entries that `ref` names."""
        return replace(self, entries=tuple(entry for entry in self.entries if _name(entry) != ref))

    def without(self, digest: Digest) -> Self:
        """Return the index without entries for `digest`."""
        gone = {str(digest), digest.path_name}
        return replace(self, entries=tuple(entry for entry in self.entries if str(entry.get("digest")) not in gone))


def _name(entry: Mapping[str, Any], key: str = REF_NAME) -> str | None:
    annotations = entry.get("annotations")
    name = annotations.get(key) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) and name else None


def has_name(entry: Mapping[str, Any]) -> bool:
    """Return whether a manifest has a name here."""
    return _name(entry) is not None


def _entry(manifest: Descriptor, annotations: Mapping[str, str]) -> dict[str, Any]:
    entry = {"mediaType": manifest.media_type, "digest": str(manifest.digest), "size": manifest.size}
    return {**entry, "annotations": dict(annotations)} if annotations else entry
