"""JSON objects from files and registries, decoded within bounds: hostile ones must not cost more than honest ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from ..errors import ManifestCorrupt, printable
from .json_errors import why_not_json

# distribution refuses manifests over 4 MiB (registry/handlers/manifests.go), ECR and Azure's registry too.
MAX_DOCUMENT_BYTES: Final = 4 * 1024 * 1024
# Values that a document may have, counted by what separates them. The longest honest manifest, of 4 MiB of layers, has
# 350,000. A value costs up to 100 bytes of memory once it is decoded: 4 MiB of `{},` would cost 100 MB.
_MAX_VALUES: Final = 500_000


def decoded(
    raw: bytes, what: str, *, most_bytes: int = MAX_DOCUMENT_BYTES, most_values: int = _MAX_VALUES
) -> dict[str, Any]:
    """Return the object in `raw`, called `what` in messages. Raises `ManifestCorrupt`."""
    if len(raw) > most_bytes:
        raise ManifestCorrupt(f"{what} has {len(raw)} bytes; at most {most_bytes} are read")
    # Counted before anything is decoded. Separators inside strings count too; no honest string has so many.
    values = raw.count(b",") + raw.count(b"{") + raw.count(b"[")
    if values > most_values:
        raise ManifestCorrupt(f"{what} has about {values} values; at most {most_values} are read")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:  # ValueError: bad JSON, bad UTF-8, a number of 5,000 digits
        raise ManifestCorrupt(f"{what} is not JSON: {why_not_json(error)}") from error
    if not isinstance(document, dict):
        raise ManifestCorrupt(f"{what} is not a JSON object")
    return document


def refuse_lookalikes(fields: Mapping[str, Any], known: AbstractSet[str], where: str) -> None:
    """Raise `ManifestCorrupt` for a key that is one of `known` except for its case.

    Registries and Ollama are written in Go, whose decoder takes `Layers` for `layers`: they would see content that is
    not pushed (the class of CVE-2021-41190).
    """
    if fields.keys() <= known:
        return
    lower = {name.lower(): name for name in known}
    for key in fields:
        if key not in known and (meant := lower.get(key.lower())) is not None:
            raise ManifestCorrupt(f"{where} has {printable(repr(key), limit=40)}, which some read as {meant!r}")
