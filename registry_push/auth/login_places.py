"""Where docker, podman and similar tools keep logins, in the order in which they are looked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..content.optional_files import is_there


def login_places(authfile: Path | None, environ: Mapping[str, str], home: Path | None) -> tuple[Path | str, ...]:
    """Return the files that exist or were named, and the content of DOCKER_AUTH_CONFIG, each once."""
    named: list[Path | str] = []
    if authfile is not None:
        named.append(authfile)
    if environ.get("REGISTRY_AUTH_FILE"):
        named.append(Path(environ["REGISTRY_AUTH_FILE"]))
    if environ.get("DOCKER_AUTH_CONFIG"):
        named.append(environ["DOCKER_AUTH_CONFIG"])
    if environ.get("DOCKER_CONFIG"):
        named.append(Path(environ["DOCKER_CONFIG"]) / "config.json")
    usual: list[Path] = []
    if home is not None:
        usual.append(home / ".docker" / "config.json")
    if environ.get("XDG_RUNTIME_DIR"):
        usual.append(Path(environ["XDG_RUNTIME_DIR"]) / "containers" / "auth.json")
    if environ.get("XDG_CONFIG_HOME"):
        usual.append(Path(environ["XDG_CONFIG_HOME"]) / "containers" / "auth.json")
    elif home is not None:
        usual.append(home / ".config" / "containers" / "auth.json")
    return tuple(dict.fromkeys((*named, *(place for place in usual if place in named or is_there(place)))))
