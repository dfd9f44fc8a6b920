"""`EmbeddedRegistry`: the server, its routes and its log."""

from __future__ import annotations

import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from .answers import RefusedRequest, document, plain
from .auth import Scope, guard, repository
from .blobs import Blobs
from .call import Call, Exchange
from .manifests import Manifests
from .options import Options
from .repositories import NAME, Repositories
from .sessions import Sessions
from .uploads import Uploads

# aiohttp stops reading at twice this and hands over what is there: larger pieces, fewer turns of the loop.
_READ_BUFFER: Final = 1024 * 1024
# Seconds that `close` gives to requests under way; nobody waits for them who closes a registry.
_SHUTDOWN: Final = 0.1
_VERSION: Final = {"Docker-Distribution-Api-Version": "registry/2.0"}
_CATALOG: Final = Scope("registry", "catalog", frozenset({"*"}))

_REFERENCE: Final = r"(?P<reference>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|[a-z0-9]+:[0-9A-Za-z]+)"
_DIGEST: Final = r"(?P<digest>[a-z0-9]+:[0-9A-Za-z]+)"

Handler = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """A path below `/v2/` and what can be done there."""

    path: re.Pattern[str]
    methods: Mapping[str, Handler]

    @classmethod
    def of(cls, path: str, **methods: Handler) -> Self:
        """A route; where there is a GET there is a HEAD."""
        if "GET" in methods:
            methods["HEAD"] = methods["GET"]
        return cls(re.compile(path), methods)


class EmbeddedRegistry:
    """A registry on this machine, for the length of an `async with`. Its content stays in `root`.

    `log` holds every request so far. Requests under way when it is left are broken off, their sessions forgotten.
    """

    def __init__(
        self, root: Path, options: Options | None = None, *, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.log: list[Exchange] = []
        self.repositories = Repositories(root)
        self._root = root
        self._options = options or Options()
        self._port = port
        self._tls = tls
        self._guard = guard(self._options.auth)
        self._sessions = Sessions()
        blobs, manifests = Blobs(self.repositories), Manifests(self._options, self.repositories)
        uploads = Uploads(self._options, self.repositories, self._sessions)
        name = rf"/v2/(?P<name>{NAME})"
        self._routes = (
            Route.of(r"/v2/", GET=_base),
            Route.of(r"/v2/_catalog", GET=manifests.catalog),
            Route.of(rf"{name}/tags/list", GET=manifests.tags),
            Route.of(rf"{name}/referrers/{_DIGEST}", GET=manifests.referrers),
            Route.of(rf"{name}/manifests/{_REFERENCE}", GET=manifests.get, PUT=manifests.put, DELETE=manifests.delete),
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
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle, expect_handler=_asked_for_later)
        application.on_response_prepare.append(_sign)
        self._runner = web.AppRunner(
            application, access_log=None, read_bufsize=_READ_BUFFER, shutdown_timeout=_SHUTDOWN
        )

    async def __aenter__(self) -> Self:
        """Makes the folder and listens."""
        self._root.mkdir(parents=True, exist_ok=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await self._sessions.close()

    @property
    def host(self) -> str:
        """`127.0.0.1:<port>`."""
        return f"127.0.0.1:{self._port}"

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:<port>`, or https with `tls`."""
        return f"{'https' if self._tls else 'http'}://{self.host}"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        exchange = Exchange.of(request)
        self.log.append(exchange)
        try:
            response = await self._answer(request, exchange)
        except ConnectionError:
            # Nobody is there to be answered. Raised further, aiohttp would log it as a fault of ours.
            return web.Response(status=400)
        exchange.status = response.status
        return response

    async def _answer(self, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        if self._options.hook is not None and (answer := await self._options.hook(request)) is not None:
            return answer
        try:
            if request.path == "/token" and request.method == "GET":
                return self._guard.token(request)
            for route in self._routes:
                if match := route.path.fullmatch(request.path):
                    call = Call(request, match.groupdict(), exchange)
                    handler = route.methods.get(request.method)
                    if handler is None:
                        return plain("Method not allowed", status=405, headers={"Allow": ", ".join(route.methods)})
                    self._guard.check(request, _needed(call))
                    return await handler(call)
        except RefusedRequest as refused:
            return refused.response
        return plain("404 page not found", status=404)


async def _base(_: Call) -> web.StreamResponse:
    return document({})


async def _asked_for_later(_: web.Request) -> None:
    """The body is asked for by `Intake`, when the request is known to be good."""


async def _sign(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_VERSION)


def _needed(call: Call) -> tuple[Scope, ...]:
    """What a request must be allowed to do (distribution: registry/handlers/app.go, appendAccessRecords)."""
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
