"""What goes wrong at a registry that is read from: seeded, finite, printable; and what was asked there meanwhile.

`SourceFaults.hook` is an embedded registry's hook. It answers what is to go wrong by itself and leaves the rest alone.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from aiohttp import web

from registry_push.model import Digest

_BLOB: Final = re.compile(r"/v2/.+/blobs/(sha256:[0-9a-f]{64})\Z")
_STORED: Final = re.compile(r"/storage/.+/(sha256:[0-9a-f]{64})\Z")
_MANIFEST: Final = re.compile(r"/v2/.+/manifests/[^/]+\Z")
_START: Final = re.compile(r"bytes=([0-9]+)-\Z")
# How often a silent server looks whether its client has given up, in seconds.
_LOOK_AGAIN: Final = 5.0


class On(Enum):
    """Which requests a fault counts."""

    CONTENT = "GET of a blob's content"  # wherever it is: at the storage, if the registry redirects there
    REDIRECT = "GET of a blob that is redirected"
    MANIFEST = "GET of a manifest"
    HEAD = "HEAD of a manifest"


class What(Enum):
    """What the answer is."""

    CUT = "it ends early"
    TORN = "it is reset early"
    STALL = "it falls silent in the middle"
    BUSY = "try later"
    LOST = "there is none"
    MISSING = "404"
    EXPIRED = "403, as of a presigned URL that has run out"
    OTHER_PART = "206 with another range than was asked for"
    WHOLE = "200 with all of it, whatever was asked for"
    CORRUPT = "a bit of it is flipped"
    SHORT = "it says that it is shorter"
    LONG = "it says that it is longer"
    UNSIZED = "it does not say how long it is"
    LOOP = "a redirect to itself"


# After these the whole is rightly asked for again.
SPOILS: Final = frozenset({What.CORRUPT, What.LONG, What.SHORT, What.OTHER_PART})
# What passes within a run, as often as a client tries.
PASSING: Final = frozenset({What.CUT, What.TORN, What.STALL, What.BUSY, What.LOST, What.WHOLE, What.EXPIRED})
_CONTENT: Final = (
    *(What.CUT, What.CUT, What.CUT, What.TORN, What.TORN, What.STALL, What.BUSY, What.BUSY, What.LOST, What.MISSING),
    *(What.EXPIRED, What.EXPIRED, What.OTHER_PART, What.WHOLE, What.WHOLE, What.CORRUPT, What.CORRUPT, What.SHORT),
    *(What.LONG, What.UNSIZED),
)
_OF: Final[Mapping[On, tuple[What, ...]]] = {
    On.CONTENT: _CONTENT,
    On.REDIRECT: (What.BUSY, What.LOST, What.MISSING, What.LOOP),
    On.MANIFEST: (What.CUT, What.BUSY, What.LOST, What.MISSING, What.CORRUPT, What.UNSIZED),
    On.HEAD: (What.BUSY, What.LOST, What.MISSING, What.UNSIZED),
}
_SECONDS: Final = ("7", "300")
_PAUSES: Final = (None, "0", "7", "300", "Wed, 21 Oct 2015 07:28:00 GMT", "99999999999999999999", "soon")


@dataclass(frozen=True, slots=True)
class SourceFault:
    """Happens to the `number`-th request that is `on`, the first being 1, and to `times` in all.

    `at`: the byte of the answer at which something happens; longer than the answer, it counts from the start again.
    """

    what: What
    on: On
    number: int = 1
    times: int = 1
    at: int = 0
    status: int = 503
    retry_after: str | None = None

    def __str__(self) -> str:
        busy = f" ({self.status}, Retry-After: {self.retry_after})" if self.what is What.BUSY else ""
        return f"{self.on.value}, number {self.number}, {self.times} time(s): {self.what.value}{busy} (byte {self.at})"


def faults_of_seed(seed: int, *, redirects: bool) -> tuple[SourceFault, ...]:
    """One to five; the same seed gives the same ones."""
    dice = random.Random(f"source {seed}")
    places = [On.CONTENT] * 6 + [On.MANIFEST, On.HEAD] + ([On.REDIRECT] if redirects else [])
    return tuple(_fault(dice, dice.choice(places)) for _ in range(dice.randint(1, 5)))


def _fault(dice: random.Random, on: On) -> SourceFault:
    what = dice.choice(_OF[on])
    return SourceFault(
        what,
        on,
        dice.choice((1, 1, 1, 2, 2, 3, 5)),
        dice.choice((1, 1, 2, 3, 9)),
        dice.choice((0, 1, dice.randrange(1 << 16), dice.randrange(1 << 20))),
        dice.choice((429, 500, 502, 503, 504)),
        dice.choice(_PAUSES),
    )


@dataclass(slots=True)
class Asked:
    """A request for a blob's content: from which byte, and up to which it was answered with what was asked for.

    `exact` if all of that has reached the client, if it was there to take it. It came `at` a time of the loop's
    clock, in seconds, and the next was asked to `wait` for so many.
    """

    run: int
    digest: Digest
    start: int
    end: int
    at: float
    fault: What | None = None
    exact: bool = True
    wait: float = 0.0


@dataclass
class SourceFaults:
    """One source's faults, and its log. `contents`: what its blobs are. Nothing happens until it is `armed`.

    `seen`: what `look` has found.
    """

    faults: tuple[SourceFault, ...]
    contents: Mapping[Digest, bytes]
    manifest: bytes
    media_type: str
    redirects: bool
    is_signed: bool
    look: Callable[[], list[str]] = list  # what is wrong at the target, looked for at each request
    armed: bool = False
    run: int = 0
    seen: list[str] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    requests: list[tuple[int, str]] = field(default_factory=list)
    fired: list[tuple[int, SourceFault]] = field(default_factory=list)
    # A path's manifest, if there are several, with its type; None: a path where there is none, and nothing goes wrong.
    manifest_at: Callable[[str], tuple[bytes, str] | None] | None = None
    _seen: Counter[int] = field(default_factory=Counter)  # requests that each fault is for, by its place
    _done: Counter[int] = field(default_factory=Counter)

    def fired_in(self, run: int) -> list[SourceFault]:
        """What happened in that run."""
        return [fault for each, fault in self.fired if each == run]

    def has_fired(self, *what: What) -> bool:
        """Whether any of these has happened."""
        return any(fault.what in what for _, fault in self.fired)

    async def hook(self, request: web.Request) -> web.StreamResponse | None:
        """Answer what is to go wrong. Raises `ConnectionResetError` if there is no answer, or no end to it."""
        if not self.armed:
            return None
        if self.is_signed and request.path.startswith("/v2/") and "Authorization" not in request.headers:
            return None  # a registry that wants to know who asks says nothing else before
        self.seen += self.look()
        now, part = asyncio.get_running_loop().time(), request.headers.get("Range", "")
        self.requests.append((self.run, f"{now:.3f} {request.method} {request.path} {part}"))
        on, digest = self._kind(request)
        if on is None:
            return None
        named: tuple[bytes, str] | None = self.manifest, self.media_type
        if digest is None and self.manifest_at is not None:
            named = self.manifest_at(request.path)
        if named is None:
            return None
        asked = None
        if on is On.CONTENT and digest is not None:
            start = _START.match(request.headers.get("Range", ""))
            asked = Asked(self.run, digest, int(start[1]) if start else 0, len(self.contents[digest]), now)
            self.asked.append(asked)
        fault = self._due(on)
        if fault is None:
            return None
        self.fired.append((self.run, fault))
        if asked is None:
            return await self._answer(request, fault, *named, None)
        asked.fault = fault.what
        return await self._answer(request, fault, self.contents[asked.digest], "application/octet-stream", asked)

    def _kind(self, request: web.Request) -> tuple[On | None, Digest | None]:
        if request.method == "HEAD":
            return (On.HEAD, None) if _MANIFEST.match(request.path) else (None, None)
        if request.method != "GET":
            return None, None
        if found := _STORED.match(request.path):
            return On.CONTENT, Digest.parse(found[1])
        if found := _BLOB.match(request.path):
            return (On.REDIRECT if self.redirects else On.CONTENT), Digest.parse(found[1])
        return (On.MANIFEST, None) if _MANIFEST.match(request.path) else (None, None)

    def _due(self, on: On) -> SourceFault | None:
        """What is to happen to this request; a second fault that is due waits for the next."""
        self._seen.update(place for place, fault in enumerate(self.faults) if fault.on is on)
        for place, fault in enumerate(self.faults):
            if fault.on is on and self._seen[place] >= fault.number and self._done[place] < fault.times:
                self._done[place] += 1
                return fault
        return None

    async def _answer(
        self, request: web.Request, fault: SourceFault, content: bytes, media_type: str, asked: Asked | None
    ) -> web.StreamResponse:
        start = asked.start if asked is not None else 0
        if asked is not None:
            asked.end = start
        match fault.what:
            case What.BUSY:
                headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
                if asked is not None and fault.retry_after in _SECONDS:
                    asked.wait = float(fault.retry_after)
                return web.Response(status=fault.status, headers=headers)
            case What.LOST:
                return _reset(request)
            case What.MISSING:
                return web.json_response({"errors": [{"code": "BLOB_UNKNOWN", "message": "unknown"}]}, status=404)
            case What.EXPIRED:
                text = "<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"
                return web.Response(text=text, status=403, content_type="application/xml")
            case What.LOOP:
                return web.Response(status=307, headers={"Location": str(request.url)})
        return await self._content(request, fault, content, media_type, asked)

    async def _content(
        self, request: web.Request, fault: SourceFault, content: bytes, media_type: str, asked: Asked | None
    ) -> web.StreamResponse:
        start = asked.start if asked is not None else 0
        is_part = bool(start) and fault.what is not What.WHOLE
        first = start if is_part else 0
        told = first
        if fault.what is What.OTHER_PART and is_part:
            told = first = max(0, first - 1 - fault.at % first)
        body = bytearray(content[first:])
        at = fault.at % max(len(body), 1)
        response = web.StreamResponse(status=206 if is_part else 200)
        response.content_type = media_type
        if asked is None and (request.method == "HEAD" or fault.at % 2):
            response.headers["Docker-Content-Digest"] = str(Digest.of(content))
        if is_part:
            response.headers["Content-Range"] = f"bytes {told}-{len(content) - 1}/{len(content)}"
        if fault.what is What.CORRUPT and body:
            body[at] ^= 1
        length = len(body) + {What.SHORT: -min(1 + at, len(body)), What.LONG: 1 + at}.get(fault.what, 0)
        if fault.what is not What.UNSIZED:
            response.content_length = length
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        ends = fault.what in (What.CUT, What.TORN, What.STALL)
        await response.write(bytes(body[: at if ends else max(length, 0)]))
        if asked is not None and fault.what not in SPOILS:
            asked.end = max(start, first + (at if ends else len(body)))
            asked.exact = fault.what is not What.TORN
        if fault.what is What.STALL:
            await _silent(request)
        if fault.what in (What.CUT, What.LONG):
            return _end(request)
        if fault.what is What.TORN:
            return _reset(request)
        return response


async def _silent(request: web.Request) -> None:
    # aiohttp has nothing to wait on for the end of a connection.
    while request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(_LOOK_AGAIN)
    raise ConnectionResetError("the client gave up")


def _end(request: web.Request) -> web.StreamResponse:
    """Close behind what was written, so that it arrives."""
    if request.transport is not None:
        request.transport.close()
    raise ConnectionResetError("cut where the schedule said")


def _reset(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("torn where the schedule said")
