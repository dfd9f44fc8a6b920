"""`SignIn`: how one run signs in, at whichever registry asks for it."""

from __future__ import annotations

import asyncio
from functools import partial

from ..content.optional_files import is_there
from ..events import Event, Sink, Warned
from ..http.transport import Transport
from ..model import HTTPOrigin
from ..protocol.clear_text import may_sign_in
from ..settings import Settings
from .ambient import ambient_login
from .credentials import REQUESTED, TYPED, Credential, CredentialStore
from .identity import Identity, default_key_path, mode_warning
from .refresh_tokens import RefreshTokens
from .tokens import Authenticator


class SignIn:
    """The logins and the key that the settings mean, each read when it is wanted."""

    def __init__(
        self,
        settings: Settings,
        sink: Sink,
        refreshed: RefreshTokens | None = None,
        stop: asyncio.Event | None = None,
    ) -> None:
        self._settings = settings
        self._sink = sink
        self._refreshed = refreshed
        self._stop = stop
        self._identity: Identity | None = None
        self._looked_for_identity = False
        self._reading = asyncio.Lock()
        self._told: set[str] = set()
        self._explicit = (
            Credential(REQUESTED if settings.http_said_by == "request" else TYPED, settings.username, settings.password)
            if settings.username is not None and settings.password is not None
            else None
        )
        self._logins = CredentialStore(settings.authfile, settings.environ, settings.home, self._explicit)

    def at(
        self, origin: HTTPOrigin, transport: Transport, *, prefers_signature: bool, written: str | None = None
    ) -> Authenticator:
        """Return the authenticator for `origin`; `written` is its host and port as the user wrote them."""
        # Judged by the registry and not by its realm: a token from an https realm would be sent to the http registry.
        withheld = not may_sign_in(origin, login_of="runner", said_by=self._settings.http_said_by)
        return Authenticator(
            origin,
            transport,
            login=partial(self._lookup, origin, written or origin.netloc) if not withheld else self._only_explicit,
            identity=self._read_identity if not withheld else self._no_identity,
            prefers_signature=prefers_signature,
            allowed_realms=self._settings.allow_realms,
            withheld=withheld,
            refreshed=self._refreshed,
            stop=self._stop,
        )

    async def _lookup(self, origin: HTTPOrigin, host: str, repository: str) -> Credential | None:
        kept = await self._logins.lookup(host, repository, scheme=origin.scheme)
        return kept or await ambient_login(host, self._settings.environ, self._tell_once)

    def _tell_once(self, event: Event) -> None:
        assert isinstance(event, Warned)
        if event.message not in self._told:
            self._told.add(event.message)
            self._sink(event)

    async def _only_explicit(self, _: str) -> Credential | None:
        return self._explicit

    async def _no_identity(self) -> None:
        return None

    async def _read_identity(self) -> Identity | None:
        """Return the key to sign in with, read once; None if none was named and none is in the usual place."""
        async with self._reading:
            if not self._looked_for_identity:
                path = self._settings.key or default_key_path(self._settings.home)
                if path is not None and (self._settings.key is not None or is_there(path)):
                    self._identity = await Identity.read(path)
                    if warning := mode_warning(path):
                        self._sink(Warned(warning))
                self._looked_for_identity = True
        return self._identity
