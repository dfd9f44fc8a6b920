"""Log in and out: keep logins where docker or podman keep theirs, and list them."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import Final

from msgspec import Struct

from ..auth.credential_helper import CredentialHelper
from ..auth.credentials import TYPED, Credential, CredentialStore, filed_login
from ..auth.login_document import VARIABLE, LoginDocument, folded_key
from ..auth.login_file import KeptLogin, LoginFile
from ..auth.login_places import Compat, LoginPlace, login_places, place_to_keep
from ..auth.login_reading import read_document
from ..errors import InvalidName, InvalidSettings, NotAtSource, RegistryPushError, UsageError, printable, quoted
from ..events import Sink, Warned, ignore
from ..model import Reference
from ..model.place import Below, after_prefix, parse_destination
from ..registry.registries import Registries
from ..settings import Settings
from ..text.hint import Setting, step
from ..text.user_part import without_login

# What a URL of docker's API ends in; it is no part of a registry.
_API: Final = ("v1", "v2")
# A repository for a reference that only its host matters of.
_ANY: Final = "library/any"
_ALL: Final = "see every login: registry-push login --list"


class LoginHost(Struct, frozen=True):
    """A registry to log in to, and the part of it that the login is for: `path`, or all of it if that is empty."""

    host: str
    path: str
    scheme: str | None

    @classmethod
    def parse(cls, text: str) -> LoginHost:
        """Return what `HOST[:PORT][/PATH]` spells, with or without a scheme. Raises `InvalidName`."""
        rest = text if (named := after_prefix(text)) is None else named
        scheme, separator, _ = rest.partition("://")
        rest = rest.rstrip("/") + "/"
        # A single word is a host here, so it gets a scheme, without which it could be a namespace.
        try:
            below = parse_destination(rest if separator else f"https://{rest}")
        except InvalidName as error:
            hint = "write HOST, HOST:PORT or HOST/PATH"
            if rest.startswith(("http:/", "https:/")) and not separator:
                hint = f"write two slashes: {rest.partition('/')[0]}//HOST"
            elif "@" in rest:
                hint += ", and give the login by --username and --password-stdin"
            raise InvalidName(f"{quoted(without_login(text))} is no registry", hint=hint) from error
        if not isinstance(below, Below) or not below.host:
            raise InvalidName(f"{quoted(text)} is no registry", hint="write HOST, HOST:PORT or HOST/PATH")
        path = "" if below.prefix in _API else below.prefix
        return cls(below.host, path, scheme if separator else None)

    @property
    def reference(self) -> Reference:
        """A repository there."""
        return Reference(self.host, f"{self.path}/any" if self.path else _ANY, scheme=self.scheme)

    def __str__(self) -> str:
        return f"{self.host}/{self.path}" if self.path else self.host


class LoggedIn(Struct, frozen=True):
    """A login that is kept now; `is_checked`: the registry has taken it."""

    host: LoginHost
    username: str
    kept: KeptLogin
    is_checked: bool


class ListedLogin(Struct, frozen=True):
    """A login that is kept for `host`; `username` is None if only its helper knows it."""

    host: str
    username: str | None
    source: str


async def log_in(
    host: LoginHost,
    username: str,
    password: str,
    *,
    settings: Settings,
    compat: Compat | None = None,
    check: bool = True,
    sink: Sink = ignore,
    stop: asyncio.Event | None = None,
) -> LoggedIn:
    """Keep the login for `host` in `settings.authfile`, or where `compat` keeps it (see `place_to_keep`).

    With `check`, the registry is asked first; one that wants no login at `/v2/` can't say. Raises `NotAllowed` for a
    login that is refused, which is not kept, and what the registry and the file raise. Cancelling is safe.
    """
    # Only the place is the registry's own: what its table says of TLS does not hold for its token service.
    place = place_to_keep(settings.at(host.host).authfile, settings.environ, settings.home, compat)
    if host.path and place.is_docker_s:
        raise UsageError(
            f"docker keeps logins for whole registries, and {host} is a part of one",
            hint=step(f"log in to {host.host}; or let podman's file have it: ", Setting("compat", "podman")),
        )
    is_checked = False
    if check:
        async with Registries(settings, sink, stop=stop) as registries:
            client = registries.repository(host.reference).client
            is_checked = await client.check_login(Credential(TYPED, username, password))
            if not is_checked:
                sink(Warned(f"{client.origin.netloc} asks for no login at /v2/, so this one was not checked"))
    kept = await LoginFile(place, settings.environ).keep(host.host, host.path, username, password)
    await _tell(host, username, kept, settings=settings, sink=sink)
    return LoggedIn(host, username, kept, is_checked)


async def log_out(
    host: LoginHost, *, settings: Settings, compat: Compat | None = None, sink: Sink = ignore
) -> KeptLogin | None:
    """Forget the login for `host` where `log_in` would keep it; return where it was, or None if there is none at all.

    Warns if there is another one that will still be used; raises `NotAtSource` if that is the only one.
    """
    place = place_to_keep(settings.at(host.host).authfile, settings.environ, settings.home, compat)
    was = await LoginFile(place, settings.environ).forget(host.host, host.path)
    if (left := await _used(host, settings)) is not None:
        whole, again = await _still_kept(host, left.source, place, settings)
        whose = f"{'' if whole == host else f'for {whole}, '}of {left.username or 'a token'}, in {left.source}"
        if was is None:
            raise NotAtSource(f"there is no login for {host} in {place.path}, but one {whose}", hint=again)
        sink(Warned(f"there is still a login for {host}, {whose}", again))
    return was


async def _still_kept(host: LoginHost, source: str, place: LoginPlace, settings: Settings) -> tuple[LoginHost, str]:
    """Return for what the login in `source` is kept, that of a whole registry perhaps, and how to forget it."""
    if source == VARIABLE:
        return host, f"take it out of {VARIABLE}"
    files = {str(each) for each in login_places(None, settings.environ, settings.home) if each != place.path}
    if source not in files:
        return host, _ALL
    document = await read_document(Path(source))
    is_own = not host.path or (document is not None and str(host) in document.by_key("auths"))
    whole = host if is_own else LoginHost(host.host, "", host.scheme)
    return whole, f"forget that one: registry-push logout {whole} --authfile {shlex.quote(source)}"


async def every_login(settings: Settings, sink: Sink = ignore) -> list[ListedLogin]:
    """Return the logins that are kept, in the order in which they are looked for; secrets are not read.

    Warns through `sink` about a place that can't be read, and about a helper that fails.
    """
    found: dict[str, ListedLogin] = {}
    own = [file for host in settings.hosts if (file := settings.at(host).authfile) is not None]
    for place in dict.fromkeys((*login_places(settings.authfile, settings.environ, settings.home), *own)):
        try:
            if isinstance(place, Path):
                document = await read_document(place)
            else:
                document = LoginDocument.parse(place, VARIABLE)
            if document is None and place == settings.authfile:
                sink(Warned(f"{place} is not there"))
            if document is not None:
                for login in await _listed(document, settings, sink):
                    found.setdefault(login.host, login)
        except RegistryPushError as error:
            sink(Warned(error.message, error.hint))
    return [*found.values()]


async def _listed(document: LoginDocument, settings: Settings, sink: Sink) -> list[ListedLogin]:
    found: list[ListedLogin] = []
    for key, value in document.section("credHelpers").items():
        try:
            name = document.text(value, f"credHelpers[{printable(key, limit=80)}]")
        except InvalidSettings as error:  # reported, and the others are listed
            sink(Warned(error.message, error.hint))
        else:
            found.append(ListedLogin(folded_key(key), None, f"docker-credential-{name} ({document.source})"))
    if (store := document.document.get("credsStore")) is not None:
        helper = CredentialHelper(document.text(store, "credsStore"), document.source, settings.environ)
        try:
            held = await helper.list()
        except RegistryPushError as error:
            sink(Warned(error.message, error.hint))
        else:
            source = f"{helper.program} ({document.source})"
            found += [ListedLogin(folded_key(server), name, source) for server, name in sorted(held.items())]
    for key, entry in document.by_key("auths").items():
        one = filed_login(document, key, entry)
        if one is not None:
            found.append(ListedLogin(key, one.username or None, document.source))
    return found


async def _tell(host: LoginHost, username: str, kept: KeptLogin, *, settings: Settings, sink: Sink) -> None:
    """Warn of what keeps the login from being used, or from being secret."""
    if kept.is_exposed:
        sink(Warned(f"other users can read {kept.path}, which holds passwords", f"chmod 600 {kept.path}"))
    usual = login_places(None, settings.environ, settings.home)
    own = settings.at(host.host).authfile  # a table's file is read for its host
    if settings.authfile is not None and settings.authfile == own and own not in usual:
        sink(
            Warned(
                f"{kept.path} is only read if it is named",
                f"give commands --authfile {kept.path}, or set REGISTRY_AUTH_FILE to it",
            )
        )
    used = await _used(host, settings)
    if used is not None and used.username != username:
        sink(Warned(f"the login of {used.username or 'a token'} from {used.source} is found before this one", _ALL))


async def _used(host: LoginHost, settings: Settings) -> Credential | None:
    store = CredentialStore(settings.at(host.host).authfile, settings.environ, settings.home, None)
    try:
        return await store.lookup(host.host, host.path)
    except RegistryPushError:  # reported when the login is used
        return None
