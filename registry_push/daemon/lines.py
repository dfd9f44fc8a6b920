"""The lines that the service streams during a push: those of Ollama's own `/api/push`."""

from __future__ import annotations

import json

from ..model import Descriptor, Digest

RETRIEVING = b'{"status":"retrieving manifest"}\n'
PUSHING_MANIFEST = b'{"status":"pushing manifest"}\n'
SUCCESS = b'{"status":"success"}\n'


def pushing(digest: Digest, total: int, completed: int) -> bytes:
    """Return the line for a blob's progress: `completed` of `total` bytes."""
    return _line(status=f"pushing {digest.short}", digest=str(digest), total=total, completed=completed)


def starting(blob: Descriptor) -> bytes:
    """Return the line for the beginning of a blob's upload."""
    return _line(status="starting upload", digest=str(blob.digest), total=blob.size)


def failed(words: str) -> bytes:
    """Return the last line of a push that failed after its stream had begun."""
    return _line(error=words)


def _line(**fields: object) -> bytes:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
