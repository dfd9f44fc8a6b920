"""`LoginDocument`: the JSON in which docker and podman keep logins, and who keeps them for it. Pure."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any, Final, Self

from msgspec import Struct
from msgspec.structs import replace

from ..errors import InvalidSettings
from ..model.json_errors import why_not_json
from ..model.reference import DOCKER_HUB

# Such files have a few kilobytes; this bounds what a wrong path can make us read.
MOST_BYTES: Final = 1024 * 1024
# The variable that can hold a document (GitLab's runners read it too).
VARIABLE: Final = "DOCKER_AUTH_CONFIG"
# Docker files its Hub's login under a URL of API version 1 (docker's registry/config.go, IndexServer). It must never be
# used for another registry, nor another registry's login for it (CVE-2021-41092).
DOCKER_HUB_KEY: Final = "https://index.docker.io/v1/"


class LoginDocument(Struct, frozen=True):
    """A decoded document, and the name to call it by in messages. A change returns another one."""

    document: dict[str, Any]
    source: str

    def __repr__(self) -> str:
        return f"LoginDocument({self.source!r})"  # without its secrets

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """Return the document in `text`. Raises `InvalidSettings`."""
        if not text.strip():
            return cls({}, source)  # docker writes an empty file before its first login
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidSettings(f"{source} is not JSON: {why_not_json(error)}", hint=_hint(source)) from error
        if not isinstance(document, dict):
            raise InvalidSettings(f"{source} is not a JSON object", hint=_hint(source))
        return cls(document, source)

    def section(self, name: str) -> dict[str, Any]:
        """Return the object `name`, empty if there is none. Raises `InvalidSettings` if it is something else."""
        section = self.document.get(name)
        if section is None:
            return {}
        if not isinstance(section, dict):
            raise InvalidSettings(f"{name} is not a JSON object in {self.source}", hint=_hint(self.source))
        return section

    def by_key(self, name: str) -> dict[str, Any]:
        """Return the section by normalised keys; of two that become one, the one that was already normal wins."""
        normal: dict[str, Any] = {}
        for key, value in self.section(name).items():
            folded = folded_key(key)
            if folded == key:
                normal[folded] = value
            else:
                normal.setdefault(folded, value)
        return normal

    def helpers(self, host: str, keys: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """Yield the helpers to ask, each with the name of the server to ask about."""
        filed = self.by_key("credHelpers")
        server = server_name(host)
        for key in keys:
            helper = filed.get(key)
            if helper:
                yield self.text(helper, f"credHelpers[{key}]"), server if "/" not in key else key
                break
        store = self.document.get("credsStore")
        if store:
            yield self.text(store, "credsStore"), server

    def text(self, value: object, where: str) -> str:
        """Return `value`, which is filed at `where`. Raises `InvalidSettings` if it is no string."""
        if not isinstance(value, str):
            raise InvalidSettings(f"{where} is not a string in {self.source}", hint=_hint(self.source))
        return value

    def with_login(self, key: str, username: str, password: str) -> Self:
        """Return the document with the login under `key`, and under no other spelling of it."""
        auth = b64encode(f"{username}:{password}".encode()).decode()
        return self._with_auths({**self._others(key), key: {"auth": auth}})

    def with_empty(self, key: str) -> Self:
        """Return the document with an empty entry under `key`, by which docker notes that a helper has the login."""
        return self._with_auths({**self._others(key), key: {}})

    def without(self, key: str) -> Self:
        """Return the document without a login under `key`, however it is spelt."""
        return self._with_auths(self._others(key))

    def _others(self, key: str) -> dict[str, Any]:
        return {each: value for each, value in self.section("auths").items() if folded_key(each) != folded_key(key)}

    def _with_auths(self, auths: dict[str, Any]) -> Self:
        if auths == self.section("auths"):
            return self
        return replace(self, document={**self.document, "auths": auths})

    @property
    def encoded(self) -> bytes:
        """The document as docker and podman write it. Raises `InvalidSettings` if JSON can't say it."""
        try:
            text = json.dumps(self.document, indent="\t", ensure_ascii=False, allow_nan=False)
            return text.encode()
        except UnicodeEncodeError:  # half a character, which only an escape can say
            return json.dumps(self.document, indent="\t", allow_nan=False).encode()
        except ValueError as error:
            raise InvalidSettings(f"{self.source} has a number that JSON can't say; it is left as it is") from error


def _hint(source: str) -> str:
    return (
        "correct the variable, or unset it" if source == VARIABLE else "correct it; or move it away, and log in again"
    )


def server_name(host: str) -> str:
    """Return what helpers call the registry at `host[:port]`."""
    return DOCKER_HUB_KEY if folded_host(host) == "docker.io" else host


def keys_of(host: str, repository: str) -> tuple[str, ...]:
    """Return the keys under which a login for this repository can be filed, the most specific first."""
    host = folded_host(host)
    parts = repository.split("/") if repository else []
    return tuple("/".join([host, *parts[:count]]) for count in range(len(parts), -1, -1))


def folded_key(key: str) -> str:
    """Normalise a key: docker's old ones are URLs that mean their host; podman's are hosts with or without a path."""
    _, scheme, rest = key.rpartition("://")
    host, slash, path = rest.rstrip("/").partition("/")
    if scheme or path in ("v1", "v2"):
        return folded_host(host)
    return folded_host(host) + slash + path


def folded_host(host: str) -> str:
    """Normalise a host: all names of Docker Hub are one."""
    host = host.lower()
    return "docker.io" if host in DOCKER_HUB else host
