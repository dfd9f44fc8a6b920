"""Injects the faults of a schedule. The registry's content stays right: only answers and their timing are wrong."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from aiohttp import web

from .answers import Code, RefusedRequest, plain
from .auth import origin, other_origin
from .call import Exchange
from .faults import Fault, On, Schedule, What
from .odd_answers import drip, echo, portal

Answer = Callable[[web.Request, Exchange], Awaitable[web.StreamResponse]]

_SESSION: Final = re.compile(r"/v2/.+/blobs/uploads/([A-Za-z0-9_=-]+)(?:\?|\Z)")
_RANGE: Final = re.compile(r"0-([0-9]+)\Z")
_OTHER_DIGEST: Final = "sha256:" + "0" * 64
# Seconds between two checks of a silent server whether its client has given up.
_LOOK_AGAIN: Final = 5.0


class Forgetful(Protocol):
    """The uploads under way, as faults see them."""

    async def forget(self, session: str) -> None:
        """End the session with this id, if there is one."""
        ...

    def offset(self, session: str) -> int | None:
        """Return how many bytes the session holds; None if there is none, or no such number."""
        ...


class Tokens(Protocol):
    """The tokens that were issued."""

    def revoke(self) -> None:
        """End all of them."""
        ...


class _Due:
    """A fault and its state."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._until = fault.number
        self._left = fault.times

    def counts(self, request: web.Request, *, storage: bool) -> bool:
        """Return whether the fault is due at this request, and count the request if it is of the fault's kind."""
        if not _is_on(self.fault.on, request, storage=storage):
            return False
        self._until -= 1
        return self._until <= 0 and self._left > 0

    def take(self) -> Fault:
        """Note that the fault has happened; a portal counts its answers itself."""
        self._left = 0 if self.fault.what is What.PORTAL else self._left - 1
        return self.fault


class Mishaps:
    """One run's faults. `fired` holds them in the order in which they happened.

    `endured` holds the drips that a client read for as long as they were sent, `echoed` the secrets that were repeated.
    """

    def __init__(self, schedule: Schedule, sessions: Forgetful, tokens: Tokens) -> None:
        self.fired: list[Fault] = []
        self.endured: list[Fault] = []
        self.echoed: set[str] = set()
        self._due = [_Due(fault) for fault in schedule.faults]
        self._sessions = sessions
        self._tokens = tokens
        self._limit: int | None = None
        self._broken: dict[str, Fault] = {}
        self._portal: Fault | None = None
        self._portal_left = 0

    def add(self, fault: Fault) -> None:
        """Add a fault, which counts requests from now on."""
        self._due.append(_Due(fault))

    async def answer(
        self, request: web.Request, exchange: Exchange, handle: Answer, *, storage: bool = False
    ) -> web.StreamResponse:
        """Return the answer to the request, which `handle` gives where nothing goes wrong.

        Raises `ConnectionResetError` if there is none, and what `handle` raises.
        """
        if self._portal is not None and self._portal_left:
            self._portal_left -= 1
            exchange.fault = self._portal
            return portal(self._portal.form)
        if (broken := self._broken.get(_session(request))) is not None:
            exchange.fault = broken
            return await _fail(request, broken)
        due = [each for each in self._due if each.counts(request, storage=storage)]
        if not due:
            return self._too_long(request) or await handle(request, exchange)
        fault = exchange.fault = due[0].take()
        self.fired.append(fault)
        if (early := await self._before(request, exchange, fault)) is not None:
            return early
        response = await handle(request, exchange)
        if fault.what is What.DRIP:
            if await drip(request, response, fault.form):
                self.endured.append(fault)
            _hang_up(request)
        if not response.prepared:
            self._after(request, response, fault)
        return response

    async def _before(self, request: web.Request, exchange: Exchange, fault: Fault) -> web.StreamResponse | None:
        """Return the answer of a fault that happens instead of the request, or before it."""
        match fault.what:
            case What.CUT:
                if not request.body_exists or ("Expect" in request.headers and fault.on is not On.STORAGE):
                    _hang_up(request)
                exchange.cut_at = fault.at % max(request.content_length or 1, 1)
            case What.STALL:
                await _fall_silent(request)
            case What.ANSWER:
                return plain("not now", status=fault.status, headers=_pause(fault))
            case What.LIMIT:
                self._limit = fault.limit
                return self._too_long(request)
            case What.FORGET:
                await self._sessions.forget(_session(request))
            case What.EXPIRE:
                self._tokens.revoke()
            case What.OFFSET:
                return self._wrong_place(request, fault)
            case What.UNAUTHORIZED:
                return plain("who are you?", status=401, headers=_challenge(request, fault.form))
            case What.PORTAL:
                self._portal, self._portal_left = fault, fault.times - 1
                return portal(fault.form)
            case What.ECHO:
                response, secrets = echo(request, fault.status, fault.form)
                self.echoed |= secrets
                return response
            case What.BROKEN if session := _session(request):
                self._broken[session] = fault
                return await _fail(request, fault)
        return None

    def _after(self, request: web.Request, response: web.StreamResponse, fault: Fault) -> None:
        """Return the answer, changed by a fault."""
        match fault.what:
            case What.LOST | What.CUT:
                _hang_up(request)
            case What.TRUNCATED:
                _hang_up(request, f"HTTP/1.1 {response.status} OK\r\nContent-Length: 5\r\nLocat".encode())
            case What.GARBLED:
                _hang_up(request, b"\x16\x03\x01 this is no HTTP\r\n\r\n")
            case What.WRONG_DIGEST if response.status == 201:
                response.headers["Docker-Content-Digest"] = _OTHER_DIGEST
            case What.RANGE if (told := _RANGE.match(response.headers.get("Range", ""))) is not None:
                response.headers["Range"] = f"0-{max(int(told[1]) + fault.shift, 0)}"
            case What.LOCATION:
                for name in ("Location", "Docker-Upload-Location"):
                    if _session_in(response.headers.get(name, "")):
                        response.headers[name] = _moved(response.headers[name], request, fault.form)
            case What.BROKEN:
                opened = response.headers.get("Docker-Upload-Location", response.headers.get("Location", ""))
                if (found := _SESSION.match(opened.removeprefix(origin(request)))) is not None:
                    self._broken[found[1]] = fault

    def _too_long(self, request: web.Request) -> web.StreamResponse | None:
        is_body = request.method in ("PATCH", "PUT") and "/blobs/uploads/" in request.path
        if self._limit is None or not is_body or (request.content_length or 0) <= self._limit:
            return None
        return RefusedRequest(Code.TOO_LARGE, f"at most {self._limit} bytes a request").response

    def _wrong_place(self, request: web.Request, fault: Fault) -> web.StreamResponse | None:
        offset = self._sessions.offset(_session(request))
        if offset is None:
            return None
        told = {
            "true": f"0-{max(offset - 1, 0)}",
            "ahead": f"0-{offset + fault.shift - 1}",
            "behind": f"0-{max(offset - fault.shift - 1, 0)}",
            "odd": "bytes */*",
        }.get(fault.form)
        return RefusedRequest(Code.RANGE_INVALID, headers={"Range": told} if told else None).response


def _is_on(on: On, request: web.Request, *, storage: bool) -> bool:
    if storage or on is On.STORAGE:
        return storage and on is On.STORAGE and request.method == "PUT"
    if on is On.MANIFEST:
        return request.method == "PUT" and "/manifests/" in request.path
    if on is On.ANY:
        return True
    return request.method == on.value and "/manifests/" not in request.path and request.path != "/token"


def _session(request: web.Request) -> str:
    found = _SESSION.match(request.path)
    return found[1] if found else ""


def _session_in(location: str) -> bool:
    return "/blobs/uploads/" in location


def _moved(location: str, request: web.Request, form: str) -> str:
    path = location.removeprefix(origin(request))
    match form:
        case "relative":
            return path
        case "changed":
            return f"{location}&moved=1"
        case _:
            return f"{other_origin(request)}{path}"


def _pause(fault: Fault) -> dict[str, str]:
    return {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}


def _challenge(request: web.Request, form: str) -> dict[str, str]:
    match form:
        case "same":
            return {"WWW-Authenticate": f'Bearer realm="{origin(request)}/token",service="embedded"'}
        case "no-realm":
            return {"WWW-Authenticate": 'Bearer service="embedded"'}
        case "elsewhere":
            return {"WWW-Authenticate": f'Bearer realm="{other_origin(request)}/token",service="embedded"'}
        case _:
            return {}


async def _fail(request: web.Request, fault: Fault) -> web.StreamResponse:
    """Return the answer of a broken session to every request."""
    if fault.form == "hang":
        await _fall_silent(request)
    return plain("this upload is damaged", status=fault.status, headers=_pause(fault))


async def _fall_silent(request: web.Request) -> None:
    """Take no more of the body than the buffers hold, and say nothing until the client has gone."""
    # aiohttp has nothing to wait on for the end of a connection.
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_AGAIN)
    raise ConnectionResetError("the client gave up")


def _hang_up(request: web.Request, last_words: bytes = b"") -> None:
    """Cut the line, after `last_words` if there are any. Raises `ConnectionResetError`."""
    if request.transport is not None:
        if last_words:
            request.transport.write(last_words)
            request.transport.close()
        else:
            request.transport.abort()
    raise ConnectionResetError("cut where the schedule said")
