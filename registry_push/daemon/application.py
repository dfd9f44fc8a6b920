"""The service's routes: Ollama's `POST /api/push`, its clients' other requests, and routes for monitoring."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.resources import files
from typing import Any, Final

from aiohttp import web
from msgspec import Struct

from ..content.ollama.source import open_store
from ..content.threads import in_thread
from ..errors import RegistryPushError, printable
from ..settings import Settings
from ..text.user_part import without_login
from ..version import __version__
from . import metrics
from .access import PREFLIGHT, Access
from .bounds import Bounds
from .clients import BoundedRunner, Clients
from .failures import TooBusy, status_of, words_of
from .job import Job, Reader
from .log import LOG, Answered, tell, tell_of_request
from .planned_push import planned_push
from .push_request import PushRequest
from .running_pushes import RunningPushes
from .tags import list_response
from .targets import AllowedTargets

# Bytes of a request's body. A name has 600 characters at most, a login (token) some thousands.
MAX_BODY: Final = 64 * 1024
# Routes without a token, for monitors. Ollama's clients ask `/` to see whether a server is there.
_OPEN: Final = frozenset({"/", "/healthz", "/readyz", "/openapi.json"})
_ERROR_STATUS: Final = 500
_PUSH: Final = "/api/push"
# The key under which a request stores its model's name.
_MODEL: Final = web.RequestKey("model", str)
# Ollama's other routes (docs/api.md, and its OpenAI-compatible ones).
_OLLAMAS: Final = ("/api/", "/v1/")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Patience(Struct, frozen=True):
    """The service's timeouts, in seconds.

    `first_line`: for the registry's first answer, before ours begins and its status is fixed. `body`: for a request's
    body. `idle`: for a request's head, and for the next request. `reader`: for a client that does not read its stream.
    """

    first_line: float = 2.0
    body: float = 10.0
    idle: float = 30.0
    reader: float = 60.0


class Service:
    """The routes over `hub`. `access` and `targets` say who may ask and for what."""

    def __init__(
        self,
        settings: Settings,
        hub: RunningPushes,
        access: Access,
        targets: AllowedTargets,
        patience: Patience | None = None,
        *,
        bounds: Bounds | None = None,
    ) -> None:
        self._settings = settings
        self._hub = hub
        self._access = access
        self._targets = targets
        self._searching = asyncio.Lock()
        self._patience = patience or Patience()
        bounds = bounds or Bounds()
        self._clients = Clients(bounds.clients, bounds.retry_after)
        self._unready = ""

    def runner(self) -> web.AppRunner:
        """Return the server's runner, with limits on heads, whose handlers are cancelled when their client leaves."""
        application = web.Application(middlewares=[self._guarded])
        application.on_response_prepare.append(self._name_origin)
        router = application.router
        router.add_get("/", self._root)
        router.add_get("/api/version", self._version)
        router.add_get("/api/tags", self._tags)
        router.add_post(_PUSH, self._push, expect_handler=_asked_for_later)
        router.add_get("/healthz", self._health)
        router.add_get("/readyz", self._readiness)
        router.add_get("/metrics", self._metrics)
        router.add_get("/openapi.json", self._openapi)
        return BoundedRunner(
            application,
            self._clients,
            access_log=None,
            handler_cancellation=True,
            keepalive_timeout=self._patience.idle,
            # A refused client's body is read for so long, since a reset could destroy the answer.
            lingering_time=2.0,
            max_line_size=8190,
            max_field_size=8190,
            max_headers=64,
            auto_decompress=False,
            # Handlers that are still sending the last line.
            shutdown_timeout=5.0,
        )

    # ── who may ask ───────────────────────────────────────────────────────────────────────────────

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with self._clients.working(request):
            response = await self._answer(request, handler)
        # Monitors ask every few seconds, so requests other than pushes are logged only with --verbose.
        level = logging.INFO if request.path == _PUSH else logging.DEBUG
        client, model, seconds = request.remote or "a local client", request.get(_MODEL), loop.time() - began
        tell_of_request(Answered(client, request.method, request.path, response.status, seconds, model), level)
        resource = request.match_info.route.resource
        self._hub.metrics.answered(resource.canonical if resource else "other", response.status)
        return response

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            refusal = self._refusal(request)
            if refusal is not None:
                return refusal
            if request.method == "OPTIONS" and "Origin" in request.headers:
                return web.Response(status=204, headers=PREFLIGHT)
            return await handler(request)
        except web.HTTPException as error:  # the router's 404 and 405, and ours
            if error.status == 404 and request.path.startswith(_OLLAMAS):
                text = f"registry-push only pushes models, by POST {_PUSH}; for {request.path} ask Ollama itself"
                return _error(501, printable(text, limit=300))
            headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return _error(error.status, error.text or error.reason, headers)
        except RegistryPushError as error:
            return _failure(error)
        except Exception:  # a bug: tell the client and continue
            LOG.exception("a bug in the answer to %s %s", request.method, printable(request.path))
            return _error(_ERROR_STATUS, "a bug in registry-push; the service's log says where")

    def _refusal(self, request: web.Request) -> web.Response | None:
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        if origin is not None and not self._access.admits_origin(origin, host):
            return _error(403, "pages of this origin may not ask; OLLAMA_ORIGINS can let them in")
        if not self._access.admits_host(host):
            return _error(403, "this host is not a name of this machine; ask at 127.0.0.1 or localhost")
        is_preflight = request.method == "OPTIONS" and origin is not None
        if request.path in _OPEN or is_preflight or self._access.admits_token(request.headers.get("Authorization", "")):
            return None
        return _error(
            401, "this service wants its bearer token; send Authorization: Bearer …", {"WWW-Authenticate": "Bearer"}
        )

    async def _name_origin(self, request: web.Request, response: web.StreamResponse) -> None:
        origin = request.headers.get("Origin")
        if origin is not None and response.status != 403:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Vary"] = "Origin"

    # ── pushing ───────────────────────────────────────────────────────────────────────────────────

    async def _push(self, request: web.Request) -> web.StreamResponse:
        asked = PushRequest.parse(await self._body(request))
        request[_MODEL] = printable(without_login(asked.model), limit=120)
        push = await planned_push(asked, self._settings, self._targets, tell, searching=self._searching)
        _notice_dead_lines(request)
        with self._hub.joined(push) as job:
            if asked.stream:
                return await self._stream(request, job)
            await job.over()
        return _json({"status": "success"}) if job.error is None else _failure(job.error)

    async def _stream(self, request: web.Request, job: Job) -> web.StreamResponse:
        reader = Reader(job)
        await reader.begun(self._patience.first_line)
        if job.error is not None:
            return _failure(job.error)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        try:
            await response.prepare(request)
            while text := await reader.next():
                async with asyncio.timeout(self._patience.reader):
                    await response.write(text)
            await response.write_eof()
        except TimeoutError:
            LOG.warning("a client takes nothing of its stream and is dropped")
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # it has left
        return response

    async def _body(self, request: web.Request) -> bytes:
        """Raise 413 and 408."""
        if (request.content_length or 0) > MAX_BODY:
            raise _too_large()
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # as aiohttp does: a 100 is no part of the answer
        body = bytearray()
        try:
            async with asyncio.timeout(self._patience.body):
                async for piece in request.content.iter_any():
                    body += piece
                    if len(body) > MAX_BODY:
                        raise _too_large()
        except TimeoutError:
            text = f"the request's body did not come within {self._patience.body:g} seconds"
            raise web.HTTPRequestTimeout(text=text) from None
        return bytes(body)

    # ── the rest ──────────────────────────────────────────────────────────────────────────────────

    async def _root(self, _: web.Request) -> web.Response:
        return web.Response(text="Ollama is running")  # the words that clients look for

    async def _version(self, _: web.Request) -> web.Response:
        return _json({"version": __version__})

    async def _tags(self, _: web.Request) -> web.Response:
        return _json(await in_thread(lambda: list_response(open_store(self._settings))))

    async def _health(self, _: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def _readiness(self, _: web.Request) -> web.Response:
        if self._hub.is_stopping:
            return _error(503, "the service is stopping")
        try:
            await in_thread(open_store, self._settings)
        except RegistryPushError as error:
            self._log_once(words_of(error))
            # This route needs no token, so the store's path and owner are only logged.
            return _error(503, "the store of models can't be read; the service's log says why")
        self._unready = ""
        return _json({"status": "ok"})

    def _log_once(self, words: str) -> None:
        """Log why the service is not ready when that changes; monitors ask every few seconds."""
        if words != self._unready:
            self._unready = words
            LOG.warning("not ready: %s", words)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._hub.metrics.text(), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _openapi(self, _: web.Request) -> web.Response:
        document = json.loads(files(__package__).joinpath("openapi.json").read_text("utf-8"))
        document["info"]["version"] = __version__
        return _json(document)


async def _asked_for_later(_: web.Request) -> None:
    """Do nothing: the body is asked for when it is known to be needed."""


def _notice_dead_lines(request: web.Request) -> None:
    """Have the kernel probe a silent client, and give it up after a minute: its machine may be gone."""
    line = request.transport.get_extra_info("socket") if request.transport is not None else None
    if line is None or line.family not in (socket.AF_INET, socket.AF_INET6):
        return
    for name, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            with suppress(OSError):
                line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)


def _too_large() -> web.HTTPException:
    return web.HTTPRequestEntityTooLarge(MAX_BODY, text=f"the request's body has more than {MAX_BODY} bytes")


def _failure(error: RegistryPushError) -> web.Response:
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, TooBusy) else {}
    return _error(status_of(error), words_of(error), headers)


def _error(status: int, words: str, headers: dict[str, str] | None = None) -> web.Response:
    response = _json({"error": words}, status, headers)
    if status in (408, 413):
        response.force_close()  # the rest of the body is no next request
    return response


def _json(document: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")
