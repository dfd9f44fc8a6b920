"""`Root`: a registry's answer at `/v2/`, asked for once: whether it is one, how to sign in, and why it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ..errors import BlobMissing, ManifestCorrupt, ModelNotFound, NotARegistry, Refused, RegistryPushError, Unavailable
from ..http.response import Response
from ..model import HTTPOrigin
from ..protocol.roots import shows_registry, what_is_wrong

# Errors that may come from a server that is no registry.
_DOUBTFUL = (ModelNotFound, BlobMissing, ManifestCorrupt)


class Root:
    """`/v2/` at `origin`; `get` sends a request without a login, following redirects. Ollama's registry `has_none`."""

    def __init__(self, origin: HTTPOrigin, get: Callable[[str], Awaitable[Response]], *, has_none: bool) -> None:
        self._origin = origin
        self._get = get
        self._has_none = has_none
        self._asking = asyncio.Lock()
        self._is_asked = False
        self._answer: Response | None = None
        self.is_registry = False  # whether an answer came that only registries send

    def saw(self, response: Response) -> None:
        """Learn from an answer to any request."""
        self.is_registry = self.is_registry or shows_registry(response.status, response.headers)

    async def answer(self) -> Response | None:
        """Return the answer to a GET of `/v2/`; None if there is none. Cancelling is safe."""
        async with self._asking:
            if not self._is_asked:
                try:
                    self._answer = await self._get(f"{self._origin}/v2/")
                except (Unavailable, Refused):  # Refused: redirects without end
                    self._answer = None
                self._is_asked = True  # a question that was cancelled is asked again
        return self._answer

    async def check(self) -> None:
        """Raise `NotARegistry` if the server at this origin is none."""
        if self.is_registry:
            return
        response = await self.answer()
        if response is None:
            return
        wrong = what_is_wrong(response.status, response.headers, response.body, has_root=not self._has_none)
        if wrong is not None:
            there = HTTPOrigin.of(response.url)
            leads = "" if there == self._origin else f" and leads to {there}"
            raise NotARegistry(
                f"{self._origin.netloc} is no registry: /v2/ answers {wrong}{leads}",
                hint="a sign-in page, captive portal or proxy may answer for it; check the address: "
                f"curl -i {self._origin}/v2/",
                url=response.url,
            )

    async def judge(self, error: RegistryPushError) -> None:
        """Raise `NotARegistry` if that is the reason for `error`."""
        if isinstance(error, _DOUBTFUL) or type(error) is Refused:
            await self.check()
