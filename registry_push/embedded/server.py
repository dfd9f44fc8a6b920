"""`EmbeddedRegistry`: the server, its routes and its log."""

from __future__ import annotations

import itertools
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

from .answers import RefusedRequest, document, plain
from .auth import Guard, Scope, guard, repository
from .blobs import Blobs
from .call import Call, Exchange
from .failures import Forgetful, Mishaps
from .faults import Fault
from .front import Front
from .hugging_face import NAME as HUB_NAME
from .hugging_face import HuggingFaceHub
from .late_commits import LateCommits
from .listener import EarlyAnswers, Listener
from .manifests import Manifests
from .ollama import EXTENSIONS, OllamaUploads
from .options import Options, Token
from .rate_limiter import LimitWindow, RateLimiter
from .receiving import Cut
from .repositories import NAME, Repositories
from .rules import Rules
from .sessions import Sessions
from .storage import Storage
from .strict_guard import StrictGuard
from .uploads import Uploads

_VERSION: Final = {"Docker-Distribution-Api-Version": "registry/2.0"}
# Cookies ignore ports: a client that keeps them would send this one to the storage, which is a breach there.
_COOKIE: Final = "__edge=embedded; Path=/; HttpOnly"
_CATALOG: Final = Scope("registry", "catalog", frozenset({"*"}))

_REFERENCE: Final = r"(?P<reference>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|[a-z0-9]+:[0-9A-Za-z]+)"
_DIGEST: Final = r"(?P<digest>[a-z0-9]+:[0-9A-Za-z]+)"

Handler = Callable[[Call], Awaitable[web.StreamResponse]]


class Route(Struct, frozen=True):
    """A path below `/v2/` and its methods."""

    path: re.Pattern[str]
    methods: Mapping[str, Handler]
    oci_only: bool = False
    is_open: bool = False

    @classmethod
    def of(cls, path: str, **methods: Handler) -> Self:
        """Return a route; a GET implies a HEAD."""
        if "GET" in methods:
            methods["HEAD"] = methods["GET"]
        return cls(re.compile(path), methods)

    def only_oci(self) -> Self:
        """Return the same, for a route that Ollama's registry does not have."""
        return replace(self, oci_only=True)

    def for_everybody(self) -> Self:
        """Return the same, for a route that asks for no login."""
        return replace(self, is_open=True)


class EmbeddedRegistry:
    """A registry on this machine, for the length of an `async with`. Its content stays in `root`.

    `log` holds every request so far, `storage_log` those to the storage of an Ollama registry; `breaches` what clients
    did against the protocol, in words. Requests under way when it is left are broken off, their sessions forgotten.
    """

    def __init__(
        self, root: Path, options: Options | None = None, *, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.repositories = Repositories(root)
        self._root = root
        self._options = options = options or Options()
        self._rules = Rules(strict=options.ollama is not None and options.ollama.strict)
        self._storage: Storage | None = None
        self._guard: Guard = guard(options.auth)
        early = None
        turns = itertools.count(1)
        self._front = Front(options.quirks)
        self._rates = RateLimiter(options.rate_limit)
        self._late = LateCommits(options.quirks.slow_commit, self.repositories)
        if options.ollama is None:
            oci_sessions = Sessions()
            self._uploads: Uploads | OllamaUploads = Uploads(options, self.repositories, oci_sessions, self._late)
            sessions: Forgetful = oci_sessions
        else:
            cut = Cut(options.cut_after)
            self._storage = Storage(options.ollama, self.repositories, self._rules, cut, turns, tls)
            sessions = self._uploads = OllamaUploads(
                options, options.ollama, self.repositories, self._storage, self._rules, cut
            )
            self._guard = StrictGuard(self._guard, self._rules) if options.auth is not None else self._guard
            early = EarlyAnswers(self._rules, options.ollama.discards, options.ollama.close_early)
        self._mishaps = Mishaps(options.faults, sessions, self._guard)
        manifests = Manifests(options, self.repositories)
        self._hub: HuggingFaceHub | None = None
        if options.hugging_face is not None:
            self._hub = HuggingFaceHub(options.hugging_face, self.repositories, manifests, self._rules, turns, tls)
        if self._storage is not None:
            self._storage.mishaps = self._mishaps
        self._listener = Listener(self._answer, turns, port=port, tls=tls, early=early, sign=self._sign)
        blobs = Blobs(self.repositories, options.quirks, self._rules)
        self._routes = _routes(blobs, manifests, self._uploads) if self._hub is None else _hub_routes(self._hub)

    async def __aenter__(self) -> Self:
        """Create the folder and listen."""
        self._root.mkdir(parents=True, exist_ok=True)
        await self._listener.start()
        if self._storage_listener is not None:
            await self._storage_listener.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._listener.close()
        if self._storage_listener is not None:
            await self._storage_listener.close()
        await self._uploads.close()

    @property
    def host(self) -> str:
        """`127.0.0.1:<port>`."""
        return self._listener.host

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:<port>`, or https with `tls`."""
        return self._listener.origin

    @property
    def log(self) -> list[Exchange]:
        """Every request to the registry, in the order they came in."""
        return self._listener.log

    @property
    def breaches(self) -> list[str]:
        """The breaches of the protocol by clients."""
        return self._rules.breaches

    @property
    def limit_windows(self) -> list[LimitWindow]:
        """The windows of `Options.rate_limit` so far, with the requests that were taken and refused."""
        return self._rates.windows

    @property
    def fired(self) -> list[Fault]:
        """The faults that have happened, in their order."""
        return self._mishaps.fired

    @property
    def endured(self) -> list[Fault]:
        """The answers that dripped, and that a client read for as long as they were sent."""
        return self._mishaps.endured

    @property
    def echoed(self) -> frozenset[str]:
        """The secrets of clients that errors repeated to them."""
        return frozenset(self._mishaps.echoed)

    def add_fault(self, fault: Fault) -> None:
        """Add a fault to those of the options; it counts requests from now on."""
        self._mishaps.add(fault)

    @property
    def has_storage(self) -> bool:
        """Whether it is of Ollama's kind."""
        return self._storage is not None

    @property
    def storage_origin(self) -> str:
        """Where presigned URLs lead, those of an Ollama registry or of hf.co."""
        assert self._storage_listener is not None, "only such a registry has a storage"
        return self._storage_listener.origin

    @property
    def storage_log(self) -> list[Exchange]:
        """Every request to the storage."""
        assert self._storage_listener is not None, "only a registry of Ollama's kind, or hf.co, has a storage"
        return self._storage_listener.log

    @property
    def _storage_listener(self) -> Listener | None:
        holder = self._storage or self._hub
        return holder.listener if holder is not None else None

    @property
    def most_parallel_puts(self) -> int:
        """How many PUTs to the storage were under way at one time, at most."""
        return self._required.most_parallel_puts

    @property
    def _required(self) -> Storage:
        assert self._storage is not None, "only a registry with Options.ollama has a storage"
        return self._storage

    async def _answer(self, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        if self._options.hook is not None and (answer := await self._options.hook(request)) is not None:
            return answer
        return await self._mishaps.answer(request, exchange, self._handled)

    async def _handled(self, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        self._check_headers(request, exchange)
        if (answer := self._front.answer(request)) is not None:
            return answer
        await self._late.settle()
        path = self._front.path(request)
        try:
            if request.path == "/token" and request.method == "GET":
                return self._guard.token(request, exchange)
            for route in self._routes:
                if match := route.path.fullmatch(path):
                    if route.oci_only and self._options.ollama is not None:
                        self._rules.unusual(exchange, "Ollama's registry does not have it")
                        break
                    call = Call(request, match.groupdict(), exchange)
                    handler = route.methods.get(request.method)
                    if handler is None:
                        return plain("Method not allowed", status=405, headers={"Allow": ", ".join(route.methods)})
                    if not route.is_open:
                        self._check(call)
                    return self._rates.answer(request) or await handler(call)
        except RefusedRequest as refused:
            return refused.response
        return plain("404 page not found", status=404)

    def _check(self, call: Call) -> None:
        """Check that the request may be handled. Raises `RefusedRequest`."""
        try:
            self._guard.check(call.request, call.exchange, _needed(call))
        except RefusedRequest as refused:
            status = self._options.quirks.unchallenged
            if status is not None and call.exchange.authorization is None and call.request.path != "/v2/":
                del refused.response.headers["WWW-Authenticate"]
                refused.response.set_status(status)
            raise

    def _check_headers(self, request: web.Request, exchange: Exchange) -> None:
        """Record headers of Ollama at another registry, and unknown ones at Ollama's."""
        if self._options.ollama is not None:
            self._rules.check_extensions(request, exchange, EXTENSIONS)
            return
        for name in sorted(EXTENSIONS & {name.lower() for name in request.headers}):
            self._rules.broken(exchange, f"{name} was sent to a plain registry")

    async def _sign(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(_VERSION)
        self._rates.sign(request, response)
        if isinstance(self._options.auth, Token):
            # By the clock that signatures are checked with, so that a client can see how far its own is off.
            response.headers["Date"] = formatdate(self._options.auth.clock(), usegmt=True)
        if self._options.ollama is not None:
            response.headers["Set-Cookie"] = _COOKIE


def _routes(blobs: Blobs, manifests: Manifests, uploads: Uploads | OllamaUploads) -> tuple[Route, ...]:
    name = rf"/v2/(?P<name>{NAME})"
    return (
        Route.of(r"/v2/", GET=_base).only_oci(),
        Route.of(r"/v2/_catalog", GET=manifests.catalog).only_oci(),
        Route.of(rf"{name}/tags/list", GET=manifests.tags).only_oci(),
        Route.of(rf"{name}/referrers/{_DIGEST}", GET=manifests.referrers).only_oci(),
        Route.of(rf"{name}/manifests/{_REFERENCE}", GET=manifests.get, PUT=manifests.put, DELETE=manifests.delete),
        Route.of(rf"/storage/(?P<name>{NAME})/{_DIGEST}", GET=blobs.stored).for_everybody().only_oci(),
        Route.of(rf"{name}/blobs/{_DIGEST}", GET=blobs.get, DELETE=blobs.delete),
        Route.of(rf"{name}/blobs/uploads/", POST=uploads.start),
        Route.of(
            rf"{name}/blobs/uploads/(?P<session>[A-Za-z0-9_=-]+)",
            GET=uploads.status,
            PATCH=uploads.append,
            PUT=uploads.finish,
            DELETE=uploads.cancel,
        ),
    )


def _hub_routes(hub: HuggingFaceHub) -> tuple[Route, ...]:
    name = rf"/v2/(?P<name>{HUB_NAME})"
    writes = {"PUT": hub.read_only, "POST": hub.read_only, "PATCH": hub.read_only, "DELETE": hub.read_only}
    return (
        Route.of(r"/v2/", GET=_base),
        Route.of(rf"{name}/manifests/{_REFERENCE}", GET=hub.manifest, **writes),
        Route.of(rf"{name}/blobs/{_DIGEST}", GET=hub.blob, **writes),
        Route.of(rf"{name}/blobs/uploads/.*", **writes),
    )


async def _base(_: Call) -> web.StreamResponse:
    return document({})


def _needed(call: Call) -> tuple[Scope, ...]:
    """Return the scopes that a request needs (distribution: registry/handlers/app.go, appendAccessRecords)."""
    request, name = call.request, call.parts.get("name")
    if name is None:
        return (_CATALOG,) if request.path == "/v2/_catalog" else ()
    if request.method in ("GET", "HEAD"):
        return (repository(name, "pull"),)
    if request.method == "DELETE" and "session" not in call.parts:
        return (repository(name, "delete"),)
    scopes = [repository(name, "pull", "push")]
    if "mount" in request.query and "from" in request.query:
        scopes.append(repository(request.query["from"], "pull"))
    return tuple(scopes)
