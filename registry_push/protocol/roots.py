"""What the answer to `GET /v2/` says about the server (distribution-spec, "Determining Support"). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .diagnostics import diagnose

_PAGES: Final = ("text/html", "application/xhtml+xml")
# Headers that nothing but a registry sends.
_REGISTRY: Final = (
    "Docker-Distribution-Api-Version",
    "Docker-Content-Digest",
    "Docker-Upload-UUID",
    "Docker-Upload-Location",
    "OCI-Chunk-Min-Length",
)
# 200 with one of these may be a registry; anything else is a web server's page.
_ROOT_BODIES: Final = (b"", b"{", b"t")  # `true`: an old Nexus and Artifactory
# Refusals that a registry, or a proxy in front of it, may send.
_GUARDED: Final = (401, 403, 407, 408, 425, 429)


def shows_registry(status: int, headers: Mapping[str, str]) -> bool:
    """Return whether only a registry can have sent this: by its headers, or since it has accepted something.

    A Basic challenge proves nothing, since a sign-in page may send one; a Bearer challenge with a service does.
    """
    challenge = headers.get("WWW-Authenticate", "").lower()
    if any(name in headers for name in _REGISTRY) or (challenge.startswith("bearer") and "realm=" in challenge):
        return True
    return status in (201, 202) and "Location" in headers


def is_page(headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether this is a page for a browser, whatever its Content-Type."""
    media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return media_type in _PAGES or body.lstrip()[:1] == b"<"


def what_is_wrong(status: int, headers: Mapping[str, str], body: bytes, *, has_root: bool) -> str | None:
    """Return, in words, what shows that the answer to `GET /v2/` is no registry's; None if it may be one's.

    Without `has_root` a 404 is expected: Ollama's registry has no `/v2/`.
    """
    if shows_registry(status, headers) or status in _GUARDED or status >= 500 or diagnose(body).codes:
        return None
    page = is_page(headers, body)
    if 200 <= status < 300:
        is_odd = body.lstrip()[:1] not in _ROOT_BODIES
        return "with a web page" if page else "what no registry does" if is_odd else None
    if status == 404 and not has_root:
        return None
    return f"with a web page (HTTP {status})" if page else f"HTTP {status}"
