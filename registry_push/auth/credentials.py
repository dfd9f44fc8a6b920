"""`CredentialStore`: the registry logins that docker, podman and similar tools keep for their user."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..content.read_errors import passes, read_error, unreadable
from ..content.small_files import linked_descriptor, read_small_file
from ..errors import InvalidSettings
from ..model.json_errors import why_not_json
from ..model.origin import spellings
from ..model.reference import DOCKER_HUB
from ..protocol.auth.token import HEADER_SAFE
from ..settings import check_text
from ..text.hint import Login, Setting, step
from .credential_helper import ask_helper
from .login_places import login_places

# Such files have a few kilobytes; this bounds what a wrong path can make us read.
_MAX_FILE: Final = 1024 * 1024

# Docker files its Hub's login under a URL of API version 1 (docker's registry/config.go, IndexServer). It must never be
# used for another registry, nor another registry's login for it (CVE-2021-41092).
_DOCKER_HUB_KEY: Final = "https://index.docker.io/v1/"


@dataclass(frozen=True, slots=True)
class Credential:
    """A login for a registry; `source` says where it was found.

    One of three kinds is set: `username` with `password`; `identity_token`, which is exchanged for a token at a token
    service; `registry_token`, which is sent as it is.
    """

    source: str
    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str | None = field(default=None, repr=False)
    registry_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Raise `InvalidSettings` for what can't be sent: half a character, or a token that no header can carry."""
        named = (("user name", self.username), ("password", self.password), ("identity token", self.identity_token))
        for what, value in named:
            check_text(what, value or "", self.source)
        if self.registry_token is not None and not HEADER_SAFE.match(self.registry_token):
            raise InvalidSettings(f"the token from {self.source} has characters that no header can carry")


@dataclass(frozen=True, slots=True)
class _Config:
    """A decoded file of logins, and the name to call it by in messages."""

    document: dict[str, Any] = field(repr=False)
    source: str

    def section(self, name: str) -> dict[str, Any]:
        """Return the object `name`, empty if there is none. Raises `InvalidSettings` if it is something else."""
        section = self.document.get(name)
        if section is None:
            return {}
        if not isinstance(section, dict):
            raise InvalidSettings(f"{name} is not a JSON object in {self.source}")
        return section


class CredentialStore:
    """Finds logins, reading the files each time, since logins change during a long push.

    `environ` is passed in, as only the faces read the environment. `explicit` wins over all others; with
    `explicit_host`, for that host only.
    """

    def __init__(
        self,
        authfile: Path | None,
        environ: Mapping[str, str],
        home: Path | None,
        explicit: Credential | None,
        *,
        explicit_host: str | None = None,
    ) -> None:
        self._authfile = authfile
        self._environ = environ
        self._home = home
        self._explicit = explicit
        self._explicit_host = explicit_host

    async def lookup(self, host: str, repository: str, *, scheme: str | None = None) -> Credential | None:
        """Return the login for `repository` at `host[:port]`, or None.

        Look in each place in the order of `login_places`. In each, an entry under `host` as it is written wins; with
        `scheme`, an entry under the other spelling of the same origin (with its port or without) comes next. Helpers
        are asked before logins stored in the file are used. Raise `InvalidSettings` for a broken file or a named one
        that is missing, `Unreadable` for one that we may not read, and `Unauthorized` if a helper fails: to continue
        without it could send another login than the one meant.
        """
        if self._explicit is not None and self._explicit_host in (None, host):
            return self._explicit
        hosts = spellings(host, scheme) if scheme is not None else (host,)
        for place in login_places(self._authfile, self._environ, self._home):
            config = await self._read(place)
            if config is None:
                continue
            for spelling in hosts:
                keys = _keys(spelling, repository)
                found = await self._from_helpers(config, spelling, keys) or _from_auths(config, keys)
                if found is not None:
                    return found
        return None

    async def _read(self, place: Path | str) -> _Config | None:
        if isinstance(place, str):
            if len(place) > _MAX_FILE:
                raise InvalidSettings(f"DOCKER_AUTH_CONFIG has more than {_MAX_FILE} characters")
            return _Config(_decode(place, "DOCKER_AUTH_CONFIG"), "DOCKER_AUTH_CONFIG")
        try:
            # utf-8-sig: editors on Windows begin files with a byte order mark.
            text = (await read_small_file(place, _MAX_FILE, linked_descriptor)).decode("utf-8-sig")
        except (FileNotFoundError, NotADirectoryError) as error:
            if place == self._authfile:
                raise InvalidSettings(
                    f"--authfile {place} is not there",
                    hint=step("log in with: ", Login(), "; or check ", Setting("authfile")),
                ) from error
            return None
        except PermissionError as error:
            raise unreadable(place, what="the file of logins") from error
        except UnicodeDecodeError:  # not chained: it holds the whole content
            raise InvalidSettings(f"{place} is not UTF-8") from None
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and passes(error):
                raise read_error(error, "the file of logins", path=place) from error
            raise InvalidSettings(f"{place} can't be read: {error}") from error
        return _Config(_decode(text, str(place)), str(place))

    async def _from_helpers(self, config: _Config, host: str, keys: tuple[str, ...]) -> Credential | None:
        for helper, server in _helpers(config, host, keys):
            answer = await ask_helper(helper, server, config.source, self._environ)
            if answer is None:
                continue
            source = f"docker-credential-{helper} ({config.source})"
            # docker's convention: this is no user's name, but says that the secret is an identity token.
            if answer.username == "<token>":
                return Credential(source, identity_token=answer.secret)
            return Credential(source, answer.username, answer.secret)
        return None


def _keys(host: str, repository: str) -> tuple[str, ...]:
    """Return the keys under which a login for this repository can be filed, the most specific first."""
    host = _folded_host(host)
    parts = repository.split("/") if repository else []
    return tuple("/".join([host, *parts[:count]]) for count in range(len(parts), -1, -1))


def _helpers(config: _Config, host: str, keys: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the helpers to ask, each with the name of the server to ask about."""
    filed = _by_key(config.section("credHelpers"))
    server = _DOCKER_HUB_KEY if _folded_host(host) == "docker.io" else host
    for key in keys:
        helper = filed.get(key)
        if helper:
            yield _text(helper, f"credHelpers[{key}]", config), server if "/" not in key else key
            break
    store = config.document.get("credsStore")
    if store:
        yield _text(store, "credsStore", config), server


def _from_auths(config: _Config, keys: tuple[str, ...]) -> Credential | None:
    filed = _by_key(config.section("auths"))
    for key in keys:
        entry = filed.get(key)
        if not entry:
            continue  # docker leaves an empty entry if a helper has the login itself
        where = f"auths[{key}]"
        if not isinstance(entry, dict):
            raise InvalidSettings(f"{where} is not a JSON object in {config.source}")
        found = _credential(entry, where, config)
        if found is not None:
            return found
    return None


def _credential(entry: dict[str, Any], where: str, config: _Config) -> Credential | None:
    fields = {
        name: _text(entry[name], f"{where}.{name}", config)
        for name in ("auth", "username", "password", "identitytoken", "registrytoken")
        if entry.get(name)
    }
    username, password = fields.get("username", ""), fields.get("password", "")
    if "auth" in fields:
        username, password = _decode_auth(fields["auth"], f"{where}.auth", config)
    # docker's order (cli/command/registry.go, and RequestAuthConfig in distribution): the more special first.
    if "registrytoken" in fields:
        return Credential(config.source, registry_token=fields["registrytoken"])
    if "identitytoken" in fields:
        return Credential(config.source, username, identity_token=fields["identitytoken"])
    return Credential(config.source, username, password) if username or password else None


def _decode_auth(auth: str, where: str, config: _Config) -> tuple[str, str]:
    try:
        decoded = base64.b64decode("".join(auth.split()), validate=True).decode()
    except UnicodeDecodeError:  # not chained: it holds the whole content
        raise InvalidSettings(f"{where} is the base64 of a login that is not UTF-8, in {config.source}") from None
    except (binascii.Error, ValueError) as error:
        raise InvalidSettings(f"{where} is not the base64 of a login in {config.source}") from error
    username, colon, password = decoded.partition(":")
    if not colon or not username:
        raise InvalidSettings(f"{where} is not the base64 of user:password in {config.source}")
    return username, password.strip("\0")  # old docker versions padded it


def _by_key(section: dict[str, Any]) -> dict[str, Any]:
    """Return `section` by normalised keys; of two keys that become one, the one that was already normal wins."""
    normal: dict[str, Any] = {}
    for key, value in section.items():
        folded = _folded_key(key)
        if folded == key:
            normal[folded] = value
        else:
            normal.setdefault(folded, value)
    return normal


def _folded_key(key: str) -> str:
    """Normalise a key: docker's old ones are URLs that mean their host; podman's are hosts with or without a path."""
    _, scheme, rest = key.rpartition("://")
    host, slash, path = rest.rstrip("/").partition("/")
    if scheme or path in ("v1", "v2"):
        return _folded_host(host)
    return _folded_host(host) + slash + path


def _folded_host(host: str) -> str:
    host = host.lower()
    return "docker.io" if host in DOCKER_HUB else host


def _text(value: object, where: str, config: _Config) -> str:
    if not isinstance(value, str):
        raise InvalidSettings(f"{where} is not a string in {config.source}")
    return value


def _decode(text: str, source: str) -> dict[str, Any]:
    if not text.strip():
        return {}  # docker writes an empty file before its first login
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidSettings(f"{source} is not JSON: {why_not_json(error)}") from error
    if not isinstance(document, dict):
        raise InvalidSettings(f"{source} is not a JSON object")
    return document
