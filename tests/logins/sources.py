"""Where a login can come from."""

from __future__ import annotations

import json
import subprocess
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from tests.support.peers import require
from tests.support.secrets import PASSWORD

USER: Final = "me"
DOCKER: Final = ".docker/config.json"
PODMAN: Final = ".config/containers/auth.json"
# A credential helper that knows one login.
_HELPER: Final = """#!/bin/sh
[ "$1" = get ] || exit 1
cat >/dev/null
cat <<'END'
{answer}
END
"""


class Place(Struct, frozen=True):
    """The home of whoever signs in, the registry's `host[:port]`, and the flags with which it is reached.

    `certificates` is a folder that skopeo and podman take for `--cert-dir`; None where http is spoken.
    """

    home: Path
    host: str
    flags: tuple[str, ...] = ()
    certificates: Path | None = None

    def file(self, path: str, document: Any) -> Path:
        """Write `document` to a file in the home, and return its path."""
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document))
        file.chmod(0o600)
        return file

    def logins(self, path: str, password: str) -> Path:
        """Write a file of logins as docker and podman have it."""
        return self.file(path, auths(self.host, password))


class Given(Struct, frozen=True):
    """What a command is given to sign in: flags, variables, and what is on standard input."""

    flags: tuple[str, ...] = ()
    variables: dict[str, str] = {}
    stdin: str = ""


class Source(Struct, frozen=True):
    """A source of logins. `give` puts the login of `USER` with a password there; `told` is how errors call it."""

    name: str
    give: Callable[[Place, str], Given]
    told: str


def auths(host: str, password: str) -> Any:
    """Return a document with one login."""
    return {"auths": {host: {"auth": b64encode(f"{USER}:{password}".encode()).decode()}}}


def _typed(_: Place, password: str) -> Given:
    return Given(("--username", USER, "--password-stdin"), stdin=f"{password}\n")


def _variables(_: Place, password: str) -> Given:
    return Given(variables={"REGISTRY_PUSH_USERNAME": USER, "REGISTRY_PUSH_PASSWORD": password})


def _authfile(place: Place, password: str) -> Given:
    return Given(("--authfile", str(place.logins("logins.json", password))))


def _auth_file_variable(place: Place, password: str) -> Given:
    return Given(variables={"REGISTRY_AUTH_FILE": str(place.logins("logins.json", password))})


def _auth_config(place: Place, password: str) -> Given:
    return Given(variables={"DOCKER_AUTH_CONFIG": json.dumps(auths(place.host, password))})


def _docker_config(place: Place, password: str) -> Given:
    return Given(variables={"DOCKER_CONFIG": str(place.logins("docker/config.json", password).parent)})


def _kubernetes(place: Place, password: str) -> Given:
    return Given(variables={"DOCKER_CONFIG": str(place.logins("secret/.dockerconfigjson", password).parent)})


def _docker(place: Place, password: str) -> Given:
    place.logins(DOCKER, password)
    return Given()


def _podman(place: Place, password: str) -> Given:
    place.logins(PODMAN, password)
    return Given()


def _podman_of_the_session(place: Place, password: str) -> Given:
    place.logins("run/containers/auth.json", password)
    return Given(variables={"XDG_RUNTIME_DIR": str(place.home / "run")})


def _store(place: Place, password: str) -> Given:
    place.file(DOCKER, {"auths": {place.host: {}}, "credsStore": "test"})
    return _helper(place, password)


def _cred_helper(place: Place, password: str) -> Given:
    place.file(PODMAN, {"credHelpers": {place.host: "test"}})
    return _helper(place, password)


def _helper(place: Place, password: str) -> Given:
    helper = place.home / "bin/docker-credential-test"
    helper.parent.mkdir(exist_ok=True)
    answer = {"ServerURL": place.host, "Username": USER, "Secret": password}
    helper.write_text(_HELPER.format(answer=json.dumps(answer)))
    helper.chmod(0o755)
    return Given(variables={"PATH": f"{helper.parent}:/usr/bin:/bin"})


def _host_table(place: Place, password: str) -> Given:
    file = place.logins("team.json", password)
    config = place.home / ".config/registry-push/config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(f'[host."{place.host}"]\nauthfile = "{file}"\n')
    return Given()


def _gitlab(place: Place, password: str) -> Given:
    return Given(variables={"GITLAB_CI": "true", "CI_REGISTRY": place.host, "CI_REGISTRY_USER": USER,
                            "CI_REGISTRY_PASSWORD": password})  # fmt: skip


def _by(program: str) -> Callable[[Place, str], Given]:
    """The login that `skopeo login` or `podman login` keeps. They keep none that the registry refuses: for a wrong
    one, the password in their file is changed afterwards."""

    def give(place: Place, password: str) -> Given:
        file = place.home / PODMAN
        file.parent.mkdir(parents=True, exist_ok=True)
        reached = (f"--cert-dir={place.certificates}",) if place.certificates else ("--tls-verify=false",)
        line = [require(program), "login", f"--authfile={file}", *reached, f"--username={USER}", "--password-stdin"]
        subprocess.run([*line, place.host], check=True, capture_output=True, input=PASSWORD.encode(), timeout=60)
        if password != PASSWORD:
            document = json.loads(file.read_bytes())
            document["auths"][place.host] |= auths(place.host, password)["auths"][place.host]
            file.write_text(json.dumps(document))
        return Given()

    return give


SOURCES: Final = (
    Source("--username, --password-stdin", _typed, "--username"),
    Source("REGISTRY_PUSH_USERNAME and …_PASSWORD", _variables, "REGISTRY_PUSH_USERNAME"),
    Source("--authfile", _authfile, "logins.json"),
    Source("REGISTRY_AUTH_FILE", _auth_file_variable, "logins.json"),
    Source("DOCKER_AUTH_CONFIG", _auth_config, "DOCKER_AUTH_CONFIG"),
    Source("DOCKER_CONFIG", _docker_config, "docker/config.json"),
    Source("a secret of Kubernetes", _kubernetes, ".dockerconfigjson"),
    Source("docker's file", _docker, DOCKER),
    Source("podman's file", _podman, PODMAN),
    Source("podman's file in XDG_RUNTIME_DIR", _podman_of_the_session, "run/containers/auth.json"),
    Source("credsStore", _store, "docker-credential-test"),
    Source("credHelpers", _cred_helper, "docker-credential-test"),
    Source("a table of the host in config.toml", _host_table, "team.json"),
    Source("CI_REGISTRY_PASSWORD", _gitlab, "CI_REGISTRY_PASSWORD"),
    Source("skopeo login", _by("skopeo"), PODMAN),
    Source("podman login", _by("podman"), PODMAN),
)
