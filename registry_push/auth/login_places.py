"""Where docker, podman and similar tools keep logins: the order in which they are looked for, and where one is kept."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from ..content.optional_files import is_there
from ..errors import UsageError
from ..text.hint import Setting, step

# Where podman and skopeo keep logins of a user without $XDG_RUNTIME_DIR: of root by ssh, and in containers
# (containers-auth.json(5)). It is gone after a restart, so we only read it: podman reads the other place too.
RUN: Final = Path("/run/containers")
# The name that a secret of Kubernetes has when it is mounted as it is (its documentation, "Docker config Secrets").
_KUBERNETES_S: Final = ".dockerconfigjson"
Compat = Literal["docker", "podman"]


class LoginPlace(Struct, frozen=True):
    """A file of logins, and whether docker's rules hold for it instead of podman's."""

    path: Path
    is_docker_s: bool


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
        folder = Path(environ["DOCKER_CONFIG"])
        named.append(folder / "config.json")
        if is_there(folder / _KUBERNETES_S):
            named.append(folder / _KUBERNETES_S)
    usual: list[Path] = []
    if home is not None:
        usual.append(home / ".docker" / "config.json")
    if sys.platform == "linux" and not environ.get("XDG_RUNTIME_DIR"):
        usual.append(RUN / str(os.getuid()) / "auth.json")
    usual += _podman_s(environ, home)
    return tuple(dict.fromkeys((*named, *(place for place in usual if place in named or is_there(place)))))


def place_to_keep(
    authfile: Path | None, environ: Mapping[str, str], home: Path | None, compat: Compat | None = None
) -> LoginPlace:
    """Return where a login is kept: in `authfile`, else where `compat` keeps it, else in the first file of them that
    is there or that the environment names, else where docker keeps it.

    A file that is called `config.json` is docker's. Raises `UsageError` if there is no home to keep it in.
    """
    if authfile is not None:
        return LoginPlace(authfile, compat == "docker" if compat is not None else authfile.name == "config.json")
    if compat != "docker" and environ.get("REGISTRY_AUTH_FILE"):
        return LoginPlace(Path(environ["REGISTRY_AUTH_FILE"]), is_docker_s=False)
    docker_s = [LoginPlace(path, is_docker_s=True) for path in _docker_s(environ, home)]
    podman_s = [LoginPlace(path, is_docker_s=False) for path in _podman_s(environ, home)]
    wanted = {"docker": docker_s, "podman": podman_s, None: docker_s + podman_s}[compat]
    if compat is None and environ.get("DOCKER_CONFIG"):
        return docker_s[0]
    if not wanted:
        raise UsageError(
            "this user has no home folder to keep a login in",
            hint=step("name a file: ", Setting("authfile", "FILE"), "; or set HOME"),
        )
    # podman without a preference writes to the first of its two, which is gone after a restart; docker has one.
    return next((place for place in wanted if compat is None and is_there(place.path)), wanted[0])


def _docker_s(environ: Mapping[str, str], home: Path | None) -> Iterator[Path]:
    if environ.get("DOCKER_CONFIG"):
        yield Path(environ["DOCKER_CONFIG"]) / "config.json"
    elif home is not None:
        yield home / ".docker" / "config.json"


def _podman_s(environ: Mapping[str, str], home: Path | None) -> Iterator[Path]:
    if environ.get("XDG_RUNTIME_DIR"):
        yield Path(environ["XDG_RUNTIME_DIR"]) / "containers" / "auth.json"
    if environ.get("XDG_CONFIG_HOME"):
        yield Path(environ["XDG_CONFIG_HOME"]) / "containers" / "auth.json"
    elif home is not None:
        yield home / ".config" / "containers" / "auth.json"
