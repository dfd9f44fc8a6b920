"""The schema of the events that `--json` prints, as programs use it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema_rs

from registry_push.cli.guides import events_schema


@cache
def schema() -> dict[str, Any]:
    """As it is in the package."""
    document: dict[str, Any] = json.loads(events_schema())
    return document


@cache
def _validator() -> Any:
    jsonschema_rs.meta.validate(schema())
    return jsonschema_rs.validator_for(schema(), validate_formats=True)


def checked(lines: str) -> list[dict[str, Any]]:
    """The events in `lines`, each valid."""
    events: list[dict[str, Any]] = [json.loads(line) for line in lines.splitlines()]
    for event in events:
        if not _validator().is_valid(event):
            name = event.get("event")
            alone = {**schema(), "oneOf": [{"$ref": f"#/$defs/{name}"}]}  # the whole would say "none of these" only
            jsonschema_rs.validate(alone if name in schema()["$defs"] else schema(), event)
    return events
