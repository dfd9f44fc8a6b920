"""`Registries`: the registries that one run talks to, each with one client, all with the same runtime."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Self

from ..auth.login_places import login_places
from ..events import Sink
from ..http.tls import speaks_of_tls
from ..model import HTTPOrigin, Reference
from ..model.origin import is_loopback
from ..model.place import CatalogPlace
from ..settings import Settings
from .client import Client
from .host import Host
from .keeper import Keeper, KeepNothing
from .limits import RunSlots
from .rates import Rates
from .repository import Repository
from .run import Run
from .runtime import Runtime
from .under_way import UnderWay

if TYPE_CHECKING:
    from ..auth.sign_in import SignIn
    from ..auth.tokens import Authenticator
    from .catalog import Catalog


class Registries:
    """Opens repositories. An async context manager. Leaving it closes every connection, but for `means` of others."""

    def __init__(
        self,
        settings: Settings,
        sink: Sink,
        keeper: Keeper | None = None,
        stop: asyncio.Event | None = None,
        means: Runtime | None = None,
    ) -> None:
        self._settings = settings
        self._sink = sink
        self._keeper = keeper or KeepNothing()
        self._stop = stop or asyncio.Event()
        self._owns_means = means is None
        self._means = means or Runtime(settings, sink)
        self._held = AsyncExitStack()
        self._run: Run | None = None
        self._slots: RunSlots | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._hosts: dict[HTTPOrigin, Host] = {}
        self._sign_ins: dict[str | None, SignIn] = {}  # by the host that has settings of its own; None: all others
        self._tls: dict[str, bool] = {}  # by `host[:port]`, whether a flag or a folder speaks of it

    async def __aenter__(self) -> Self:
        if self._owns_means:
            await self._held.enter_async_context(self._means)
        self._slots = self._held.enter_context(self._means.slots.run())
        under_way = UnderWay(asyncio.get_running_loop().time)
        self._run = Run(
            self._settings,
            self._means.hasher,
            self._sink,
            self._keeper,
            self._stop,
            under_way,
            self._means.downloads,
        )
        self._stopping = asyncio.create_task(self._heed_stop(under_way))
        return self

    async def _heed_stop(self, under_way: UnderWay) -> None:
        await self._stop.wait()
        if (stopping := under_way.stopping()) is not None:
            self._sink(stopping)
        for host in self._hosts.values():
            host.client.questions.stop()
            host.client.rates.stop()

    async def __aexit__(self, *_: object) -> None:
        if self._stopping is not None:
            self._stopping.cancel()
        await self._held.aclose()

    def repository(self, reference: Reference) -> Repository:
        """Return the repository that `reference` names. Sends no request."""
        assert self._run is not None, "Registries is used inside `async with`"
        return Repository(self._host(reference), reference.repository, self._run)

    def catalog(self, place: CatalogPlace) -> Catalog:
        """Return the list of repositories of the registry of `place`. Sends no request."""
        from .catalog import Catalog  # only whole registries need it

        return Catalog(self._host(place.inside).client, place.inside)

    def origin(self, reference: Reference) -> HTTPOrigin:
        """Return the origin of `reference`; see `Reference.origin`.

        Flags and `certs.d` folders show that TLS is configured for a host.
        """
        plain_http = self._settings.at(reference.host).plain_http
        return reference.origin(plain_http=plain_http, speaks_of_tls=self._speaks_of_tls)

    def _speaks_of_tls(self, netloc: str) -> bool:
        if netloc not in self._tls:
            self._tls[netloc] = speaks_of_tls(netloc, self._settings.at(netloc))
        return self._tls[netloc]

    def _host(self, reference: Reference) -> Host:
        origin = self.origin(reference)
        if origin not in self._hosts:
            assert self._slots is not None, "Registries is used inside `async with`"
            client = self._client(origin, reference)
            settings = self._settings.at(reference.host)
            self._hosts[origin] = Host(client, self._slots.at(str(origin)), self._keeper, settings)
        return self._hosts[origin]

    def _client(self, origin: HTTPOrigin, reference: Reference) -> Client:
        is_ollama = self._is_ollama(reference)
        sign_in = partial(self._authenticator, origin, prefers_signature=is_ollama, written=reference.host)
        settings, transport = self._settings.at(reference.host), self._means.transport
        return Client(
            origin,
            transport,
            sign_in,
            self._stop,
            has_root=not is_ollama,
            may_log_in=partial(self._may_log_in, reference.host),
            rates=Rates(origin, transport, self._stop, sink=self._sink, ratelimit_min=settings.ratelimit_min),
        )

    def _may_log_in(self, host: str) -> bool:
        """Return whether there may be a login.

        This check is cheap; importing what reads logins takes a twentieth of a push's start.
        """
        settings = self._settings.at(host)
        if settings.username is not None or login_places(settings.authfile, settings.environ, settings.home):
            return True
        if is_loopback(host.partition(":")[0]) and not settings.environ.get("CI_REGISTRY"):
            return False  # no cloud's registry is on this machine
        from ..auth.offers import is_offered

        return is_offered(host.lower(), settings.environ)

    def _authenticator(self, origin: HTTPOrigin, *, prefers_signature: bool, written: str) -> Authenticator:
        # Imported when a registry asks for it: it is a twentieth of the start of a push.
        from ..auth.sign_in import SignIn

        settings = self._settings.at(written)
        key = written if settings is not self._settings else None
        if key not in self._sign_ins:
            self._sign_ins[key] = SignIn(settings, self._sink, self._means.refreshed, self._stop)
        return self._sign_ins[key].at(
            origin, self._means.transport, prefers_signature=prefers_signature, written=written
        )

    def _is_ollama(self, reference: Reference) -> bool:
        dialect = self._settings.at(reference.host).dialect
        return dialect == "ollama" or (dialect == "auto" and reference.is_ollama)
