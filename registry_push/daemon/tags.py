"""`GET /api/tags`: the models in the store, as Ollama lists them (api/types.go, ListResponse)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ..content.ollama.names import StoredModel
from ..content.ollama.source import OllamaStore
from ..errors import RegistryPushError
from ..model import Manifest
from .log import LOG


def list_response(store: OllamaStore) -> dict[str, Any]:
    """Return every model of `store`, the latest first; log and skip those that can't be read.

    Blocks on the disk.
    """
    models = []
    for stored in sorted(store.scan().models, key=lambda model: -model.modified):
        try:
            manifest = store.read_manifest(stored.name)
            models.append(_model(stored, manifest, store.read_config(manifest)))
        except RegistryPushError as error:
            LOG.warning("%s is not listed: %s", stored.name.short, error.message)
    return {"models": models}


def _model(stored: StoredModel, manifest: Manifest, config: dict[str, Any]) -> dict[str, Any]:
    name = stored.name.short
    remote = {field: config[field] for field in ("remote_model", "remote_host") if isinstance(config.get(field), str)}
    return {
        "name": name,
        "model": name,
        **remote,
        "modified_at": datetime.fromtimestamp(stored.modified, UTC).isoformat().replace("+00:00", "Z"),
        "size": manifest.size,
        "digest": manifest.digest.hex,
        "details": {
            "parent_model": "",
            "format": _text(config, "model_format"),
            "family": _text(config, "model_family"),
            "families": [each for each in config.get("model_families") or [] if isinstance(each, str)],
            "parameter_size": _text(config, "model_type"),
            "quantization_level": _text(config, "file_type"),
        },
    }


def _text(config: dict[str, Any], field: str) -> str:
    value = config.get(field)
    return value if isinstance(value, str) else ""
