"""`RateLimiter`: turns requests away that are more than the registry allows in a window of time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from aiohttp import web
from msgspec import Struct

from .answers import plain


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


class RateLimit(Struct, frozen=True):
    """So many reads of manifests in `seconds`, counted from the first one on; more are answered 429.

    As Docker Hub, it counts GETs of manifests, and answers HEADs in any case; with `heads` they count too, and with
    `lists` the lists of tags. `retry_after`: whether a 429 says when the window is over. `headers`: whether answers
    about manifests carry `RateLimit-Limit` and `RateLimit-Remaining` as Docker Hub spells them, and with `reset` also
    `RateLimit-Reset`. `clock` returns seconds; the loop's own may be a virtual one.
    """

    requests: int = 100
    seconds: float = 60.0
    heads: bool = False
    lists: bool = False
    retry_after: bool = True
    headers: bool = False
    reset: bool = False
    clock: Callable[[], float] = _loop_time


class LimitWindow(Struct):
    """One window: when it began, how many requests were `taken`, and when others were `refused`."""

    began: float
    taken: int = 0
    refused: list[float] = []


class RateLimiter:
    """Counts requests by `limit`; None: it limits nothing. `windows` are those so far."""

    def __init__(self, limit: RateLimit | None) -> None:
        self.windows: list[LimitWindow] = []
        self._limit = limit

    def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Count the request; return the answer if it is one too many."""
        limit = self._limit
        if limit is None or not _counts(request, limit):
            return None
        now = limit.clock()
        if not self.windows or now >= self.windows[-1].began + limit.seconds:
            self.windows.append(LimitWindow(now))
        window = self.windows[-1]
        if window.taken < limit.requests:
            window.taken += 1
            return None
        window.refused.append(now)
        headers = {"Retry-After": str(math.ceil(self._left(limit)))} if limit.retry_after else {}
        return plain("toomanyrequests: You have reached your pull rate limit.", status=429, headers=headers)

    def sign(self, request: web.Request, response: web.StreamResponse) -> None:
        """Say in the answer what is left of the window."""
        limit = self._limit
        if limit is None or not limit.headers or not _is_about_manifests(request):
            return
        left = self._left(limit)
        remaining = limit.requests - self.windows[-1].taken if left else limit.requests
        response.headers["RateLimit-Limit"] = f"{limit.requests};w={limit.seconds:.0f}"
        response.headers["RateLimit-Remaining"] = f"{remaining};w={limit.seconds:.0f}"
        if limit.reset:
            response.headers["RateLimit-Reset"] = str(math.ceil(left))

    def _left(self, limit: RateLimit) -> float:
        """Return the seconds until the window is over; 0 if there is none."""
        return max(0.0, self.windows[-1].began + limit.seconds - limit.clock()) if self.windows else 0.0


def _counts(request: web.Request, limit: RateLimit) -> bool:
    if request.path.endswith("/tags/list"):
        return limit.lists
    return _is_about_manifests(request) and (request.method == "GET" or (limit.heads and request.method == "HEAD"))


def _is_about_manifests(request: web.Request) -> bool:
    return "/manifests/" in request.path
