"""`Registries`: the registries that one run talks to, each with one client, all with the same means."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Self

from ..events import Sink, Warned
from ..model import HTTPOrigin, Reference
from ..settings import Settings
from .client import Client
from .credentials import Credential, CredentialStore
from .identity import Identity, default_key_path, mode_warning
from .keeper import Keeper, KeepNothing
from .means import Means
from .repository import Repository
from .tokens import Authenticator
from .uploader import Uploader


class Registries:
    """Opens repositories. An async context manager. Leaving it closes every connection, but for `means` of others."""

    def __init__(
        self,
        settings: Settings,
        sink: Sink,
        keeper: Keeper | None = None,
        stop: asyncio.Event | None = None,
        means: Means | None = None,
    ) -> None:
        self._settings = settings
        self._sink = sink
        self._keeper = keeper or KeepNothing()
        self._stop = stop or asyncio.Event()
        self._owns_means = means is None
        self._means = means or Means(settings, sink)
        self._held = AsyncExitStack()
        self._uploader: Uploader | None = None
        self._clients: dict[HTTPOrigin, Client] = {}
        self._identity: Identity | None = None
        self._looked_for_identity = False
        explicit = (
            Credential("--username", settings.username, settings.password)
            if settings.username is not None and settings.password is not None
            else None
        )
        self._logins = CredentialStore(settings.authfile, settings.environ, settings.home, explicit)

    async def __aenter__(self) -> Self:
        if self._owns_means:
            await self._held.enter_async_context(self._means)
        limits = self._held.enter_context(self._means.slots.limits())
        self._uploader = Uploader(
            self._settings, limits, self._means.hasher, self._sink, keeper=self._keeper, stop=self._stop
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._held.aclose()

    def repository(self, reference: Reference) -> Repository:
        """The repository that `reference` names. Nothing is asked of the registry yet."""
        assert self._uploader is not None, "Registries is used inside `async with`"
        return Repository(self._client(reference), reference.repository, self._uploader)

    def origin(self, reference: Reference) -> HTTPOrigin:
        """Where `reference` is reached, by the rules for plain http."""
        return reference.origin(plain_http=self._settings.plain_http)

    def _client(self, reference: Reference) -> Client:
        origin = self.origin(reference)
        if origin not in self._clients:
            authenticator = Authenticator(
                origin,
                self._means.transport,
                login=lambda repository: self._logins.lookup(origin.netloc, repository),
                identity=self._load_identity,
                prefers_signature=self._is_ollama(reference),
                allowed_realms=self._settings.allow_realms,
            )
            self._clients[origin] = Client(origin, self._means.transport, authenticator)
        return self._clients[origin]

    def _is_ollama(self, reference: Reference) -> bool:
        return self._settings.dialect == "ollama" or (self._settings.dialect == "auto" and reference.is_ollama)

    def _load_identity(self) -> Identity | None:
        """The key to sign in with, read once; None where none was named and none is in the usual place."""
        if not self._looked_for_identity:
            path = self._settings.key or default_key_path(self._settings.home)
            if self._settings.key is not None or path.exists():
                self._identity = Identity.load(path)
                if warning := mode_warning(path):
                    self._sink(Warned(warning))
            self._looked_for_identity = True
        return self._identity
