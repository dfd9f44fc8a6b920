"""`Inventory`: what a place has, as a document that is carried to where the content comes from. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Self, TypeVar

from msgspec import Struct

from ..errors import InvalidDigest, ManifestCorrupt, UsageError, printable, quoted
from ..text.hint import Command, step
from .digest import Digest
from .json_document import decoded

Kind = TypeVar("Kind")
KIND: Final = "registry-push.inventory"
VERSION: Final = 1
# Bytes of a document that is read: some 200,000 blobs, at 80 each. Decoded, that is some 100 MB.
MAX_INVENTORY_BYTES: Final = 16 * 1024 * 1024
# Values in it, counted as `decoded` does: the longest honest one has nothing but manifests, three values in 110 bytes.
_MAX_VALUES: Final = 500_000
_MAKE_ONE: Final = step("make one where the content goes: ", Command("inventory PLACE > FILE"))
_MAKE_AGAIN: Final = step("copy it again from where it was made; or make it again: ", Command("inventory PLACE > FILE"))


class InventoryEntry(Struct, frozen=True, order=True):
    """A manifest that is there with all its content, by its full name at the place."""

    name: str
    digest: Digest


class Inventory(Struct, frozen=True):
    """`place` is where it is true, as it was written there.

    `blobs` are there in their full size, manifests that a list names among them. `manifests` are those of which nothing
    is missing, sorted by name.
    """

    place: str
    blobs: frozenset[Digest] = frozenset()
    manifests: tuple[InventoryEntry, ...] = ()

    @classmethod
    def parse(cls, raw: bytes, *, file: str = "the inventory") -> Self:
        """Return the inventory in `raw`, called `file` in messages: a document, or the output of `--json`.

        Raises `UsageError` for what is no inventory, or one of a newer version; `ManifestCorrupt` for a damaged one.
        """
        shown = printable(file, limit=300)
        document = _document(raw, shown)
        if document.get("event") == "error":
            raise UsageError(f"{shown} says why no inventory was made: {document.get('message')}", hint=_MAKE_ONE)
        if (kind := document.get("kind")) != KIND:
            what = f"its kind is {quoted(kind, limit=60)}" if isinstance(kind, str) else "it has no kind"
            raise UsageError(f"{shown} is no inventory: {what}", hint=_MAKE_ONE)
        version = document.get("version")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise ManifestCorrupt(f"{shown} is damaged: its version is no number", hint=_MAKE_AGAIN)
        if version > VERSION:
            raise UsageError(
                f"{shown} was made by a newer registry-push: it is of version {version}, and {VERSION} is known here",
                hint="bring this registry-push up to date, or make the inventory with the same version of it",
            )
        try:
            return cls(*_read(document))
        except (InvalidDigest, ValueError) as error:
            raise ManifestCorrupt(f"{shown} is damaged: {error}", hint=_MAKE_AGAIN) from error

    @property
    def fields(self) -> Mapping[str, object]:
        """The document's fields, sorted: the same content makes the same document."""
        return {
            "version": VERSION,
            "kind": KIND,
            "place": self.place,
            "blobs": sorted(map(str, self.blobs)),
            "manifests": [{"name": each.name, "digest": str(each.digest)} for each in sorted({*self.manifests})],
        }

    def encode(self) -> bytes:
        """Return the document, a line for each blob."""
        return json.dumps(self.fields, indent=1).encode() + b"\n"


def _document(raw: bytes, file: str) -> dict[str, Any]:
    """Return the object in `raw`: of lines of events, the last."""
    if len(raw) > MAX_INVENTORY_BYTES:
        raise ManifestCorrupt(f"{file} has {len(raw)} bytes; at most {MAX_INVENTORY_BYTES} are read", hint=_MAKE_AGAIN)
    try:
        text = raw.decode(json.detect_encoding(raw)).strip()  # PowerShell's `>` writes UTF-16
    except ValueError:
        text = ""
    if not text.startswith("{"):
        raise UsageError(f"{file} is no inventory: it is no JSON object", hint=_MAKE_ONE)
    if text.startswith('{"event"'):
        text = text.rpartition("\n")[2]
    try:
        return decoded(text.encode(), file, most_bytes=MAX_INVENTORY_BYTES, most_values=_MAX_VALUES)
    except ManifestCorrupt as error:
        raise ManifestCorrupt(error.message, hint=_MAKE_AGAIN) from error


def _read(document: Mapping[str, Any]) -> tuple[str, frozenset[Digest], tuple[InventoryEntry, ...]]:
    """Return place, blobs and manifests. Raises `InvalidDigest`, or `ValueError` with the end of a sentence."""
    place = _of(document, "place", str, "text")
    blobs = _of(document, "blobs", list, "list")
    entries = {_entry(each) for each in _of(document, "manifests", list, "list")}
    return place, frozenset(map(Digest.parse, blobs)), tuple(sorted(entries))


def _entry(fields: object) -> InventoryEntry:
    if not isinstance(fields, dict):
        raise ValueError("one of its manifests is no object")  # noqa: TRY004  # its caller waits for no other
    return InventoryEntry(_of(fields, "name", str, "text"), Digest.parse(fields.get("digest")))


def _of(fields: Mapping[str, Any], name: str, kind: type[Kind], called: str) -> Kind:
    if not isinstance(value := fields.get(name), kind):
        raise ValueError(f"{name} is no {called}")  # noqa: TRY004  # as above
    return value
