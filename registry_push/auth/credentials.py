"""`CredentialStore`: the registry logins that docker, podman and similar tools keep for their user."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..errors import InvalidSettings, KeyNotFound
from ..model.origin import spellings
from ..protocol.auth.token import HEADER_SAFE
from ..settings import check_text
from ..text.hint import Hint, Login, Setting, step
from .credential_helper import CredentialHelper
from .login_document import MOST_BYTES, LoginDocument, keys_of
from .login_places import login_places
from .login_reading import read_document

# The sources that `login` cannot replace: they are looked into before what it keeps.
TYPED: Final = "--username"
# As `TYPED`, in a request to the service.
REQUESTED: Final = "the request"
_VARIABLE: Final = "DOCKER_AUTH_CONFIG"


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

    def next_step(self, host: str) -> Hint:
        """Return what to do if the registry at `host` refuses it."""
        if self.source in (TYPED, REQUESTED):
            return step("check the user name and the password, and what this account may do there")
        if self.source == _VARIABLE:
            return step(f"correct {_VARIABLE}, or check what this account may do there")
        return step("log in again (", Login(host), "), or check what this account may do there")


# The next step for a login that can't be read in a file.
_ANEW: Final = step("log in again, which replaces it: ", Login())


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
                keys = keys_of(spelling, repository)
                found = await self._from_helpers(config, spelling, keys) or _from_auths(config, keys)
                if found is not None:
                    return found
        return None

    async def _read(self, place: Path | str) -> LoginDocument | None:
        if isinstance(place, str):
            if len(place) > MOST_BYTES:
                raise InvalidSettings(f"{_VARIABLE} has more than {MOST_BYTES} characters")
            return LoginDocument.parse(place, _VARIABLE)
        document = await read_document(place)
        if document is None and place == self._authfile:
            raise KeyNotFound(
                f"--authfile {place} is not there",
                hint=step("log in with: ", Login(), "; or check ", Setting("authfile")),
            )
        return document

    async def _from_helpers(self, config: LoginDocument, host: str, keys: tuple[str, ...]) -> Credential | None:
        for helper, server in config.helpers(host, keys):
            answer = await CredentialHelper(helper, config.source, self._environ).get(server)
            if answer is None:
                continue
            source = f"docker-credential-{helper} ({config.source})"
            # docker's convention: this is no user's name, but says that the secret is an identity token.
            if answer.username == "<token>":
                return Credential(source, identity_token=answer.secret)
            return Credential(source, answer.username, answer.secret)
        return None


def _from_auths(config: LoginDocument, keys: tuple[str, ...]) -> Credential | None:
    filed = config.by_key("auths")
    found = (filed_login(config, key, filed.get(key)) for key in keys)
    return next((login for login in found if login is not None), None)


def filed_login(document: LoginDocument, key: str, entry: Any) -> Credential | None:
    """Return the login in the `entry` under `key`, if there is one in it. Raises `InvalidSettings`."""
    if not entry:
        return None  # docker leaves an empty entry if a helper has the login itself
    where = f"auths[{key}]"
    if not isinstance(entry, dict):
        raise InvalidSettings(f"{where} is not a JSON object in {document.source}")
    return _credential(entry, where, document)


def _credential(entry: dict[str, Any], where: str, config: LoginDocument) -> Credential | None:
    fields = {
        name: config.text(entry[name], f"{where}.{name}")
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


def _decode_auth(auth: str, where: str, config: LoginDocument) -> tuple[str, str]:
    try:
        decoded = base64.b64decode("".join(auth.split()), validate=True).decode()
    except UnicodeDecodeError:  # not chained: it holds the whole content
        raise InvalidSettings(
            f"{where} is the base64 of a login that is not UTF-8, in {config.source}", hint=_ANEW
        ) from None
    except (binascii.Error, ValueError) as error:
        raise InvalidSettings(f"{where} is not the base64 of a login in {config.source}", hint=_ANEW) from error
    username, colon, password = decoded.partition(":")
    if not colon or not username:
        raise InvalidSettings(f"{where} is not the base64 of user:password in {config.source}", hint=_ANEW)
    return username, password.strip("\0")  # old docker versions padded it
