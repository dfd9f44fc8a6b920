"""Checks that open an upload in a repository, send some bytes to it, and delete it again; nothing is committed."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Final
from urllib.parse import quote

from ...errors import ManifestCorrupt, ModelNotFound, Refused, RegistryPushError
from ...http.response import Response
from ...protocol.astray import Whereabouts
from ...protocol.location import resolve
from ...protocol.response import NO_ANSWER, Kind, RegistryResponse
from .finding import Finding, failed, ok, skipped, warn
from .there import There

MiB: Final = 1024 * 1024
# Chunks to try, and the seconds that the next one may take by the speed of the last.
_CHUNKS: Final = (8 * MiB, 32 * MiB)
# The chunk to try if the first one is refused; some take none that is smaller than 5 MiB.
_SMALL: Final = MiB
_PATIENCE: Final = 1.5


class Upload:
    """An upload that is opened for the checks, at `there`."""

    def __init__(self, there: There) -> None:
        self._there = there
        self._name = there.repository.name
        self._scopes = (f"repository:{self._name}:pull,push",)
        self._opened: RegistryResponse | None = None
        self._location: str | None = None
        self._where = Whereabouts(there.client.url(f"/v2/{self._name}/blobs/uploads/"))
        self._openings: set[asyncio.Task[Response]] = set()  # that were not answered yet
        self._sent = 0

    async def push(self) -> Finding:
        """Open an upload."""
        client = self._there.client
        response = await self._post("")
        answer = self._read(response)
        if answer.kind is not Kind.ACCEPTED or not answer.location:
            return failed(client.refusal(response, f"to open an upload in {self._name}"))
        self._opened, self._location = answer, self._where.led_to(resolve(response.url, answer.location))
        return ok(f"{self._name} takes uploads", self._there.client.who or "no login was used")

    async def least(self) -> Finding:
        """Tell the smallest chunk that the registry names."""
        assert self._opened is not None, "it needs auth.push"
        least = self._opened.minimum_chunk
        return ok(f"chunks have at least {least} bytes" if least else "it names no smallest chunk")

    async def most(self) -> Finding:
        """Send chunks of growing size, until one is refused or would take too long."""
        assert self._opened is not None, "it needs auth.push"
        if (named := self._opened.maximum_chunk) is not None:
            return ok(f"chunks have at most {named} bytes", "named by OCI-Chunk-Max-Length")
        rate, largest = 0.0, 0
        for size in _CHUNKS:
            if rate and size / rate > _PATIENCE:
                break
            begun = time.monotonic()
            if (refusal := await self._refused(size)) is not None:
                return await self._capped(size, largest, refusal)
            largest, rate = size, size / max(time.monotonic() - begun, 0.001)
        return ok(f"a chunk of {largest // MiB} MiB is taken", f"at {rate / 1e6:.0f} MB/s")

    async def _refused(self, size: int) -> Response | None:
        """Send a chunk; return the answer if it is refused."""
        try:
            response = await self._patch(size)
        except RegistryPushError as error:
            assert self._location is not None, "it needs auth.push"
            self._where.saw(RegistryResponse(NO_ANSWER, self._location), error.message)
            raise self._where.judged(error) from error
        answer = self._read(response)
        if answer.kind not in (Kind.ACCEPTED, Kind.CREATED):
            return response
        self._sent += size
        if answer.location:
            self._location = resolve(response.url, answer.location)
        return None

    async def survives(self) -> Finding:
        """Ask for the upload again, as a run does that was interrupted between two chunks."""
        if not self._sent:
            return skipped("it takes no chunks")
        response = await self._status()
        if response.status in (200, 202, 204):
            return ok("an upload that is interrupted between two chunks stays")
        words = f"an upload is gone after a chunk (HTTP {response.status}): what is interrupted begins anew"
        fix = "if several registries share the name, they need one storage and sticky sessions; or push with --one-put"
        return warn(words, fix)

    async def status(self) -> Finding:
        """Compare the offset in the status with what was sent."""
        if not self._sent:
            return skipped("it takes no chunks")
        response = await self._status()
        if response.status not in (200, 202, 204):
            return skipped("the upload is gone")
        answer = self._read(response)
        told = answer.range_end + 1 if answer.range_end is not None else None
        if told is None:
            return warn("the status of an upload does not say how much is there", None)
        if told != self._sent:
            return ok(f"its status says {told} where {self._sent} bytes were sent", "that is known, and counted with")
        return ok("its status says how much is there")

    async def mount(self) -> Finding:
        """Mount a blob of the repository from the repository itself."""
        repository = self._there.repository
        try:
            tags = await repository.tags()
            manifest = await repository.resolve(tags[0]) if tags else None
        except (ModelNotFound, ManifestCorrupt):
            manifest = None
        if manifest is None or manifest.config is None:
            return skipped("there is no model in it yet")
        query = f"mount=sha256%3A{manifest.config.digest.hex}&from={quote(self._name, safe='/')}"
        response = await self._post(f"?{query}")
        answer = self._read(response)
        if answer.kind is Kind.CREATED:
            return ok("blobs that are there are mounted, not sent")
        if answer.location:
            await self._free(resolve(response.url, answer.location))
        return ok("it mounts nothing from a repository itself", f"HTTP {response.status}")

    async def end(self) -> None:
        """Delete the upload, and those that open while the checks are stopped."""
        try:
            for response in await asyncio.gather(*self._openings, return_exceptions=True):
                if isinstance(response, Response) and (answer := self._read(response)).location:
                    await self._free(resolve(response.url, answer.location))
        finally:
            for opening in self._openings:
                opening.cancel()
        if self._location is not None:
            await self._free(self._location)
            self._location = None

    async def _free(self, location: str) -> None:
        with suppress(RegistryPushError):  # the registry will expire it
            await self._there.repository.free(location)

    async def _post(self, query: str) -> Response:
        """Ask for an upload. If this is cancelled, `end` deletes what the registry opens all the same."""
        client = self._there.client
        url = client.url(f"/v2/{self._name}/blobs/uploads/{query}")
        opening = asyncio.create_task(client.request("POST", url, self._scopes, {"Content-Length": "0"}, b""))
        self._openings.add(opening)
        try:
            return await asyncio.shield(opening)
        finally:
            if opening.done():
                self._openings.discard(opening)

    async def _patch(self, size: int) -> Response:
        assert self._location is not None, "it needs auth.push"
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"{self._sent}-{self._sent + size - 1}",
            "Content-Length": str(size),
        }
        return await self._there.client.request("PATCH", self._location, self._scopes, headers, bytes(size))

    async def _status(self) -> Response:
        assert self._location is not None, "it needs auth.push"
        return await self._there.client.request("GET", self._location, self._scopes)

    async def _capped(self, size: int, largest: int, response: Response) -> Finding:
        """Return what a refusal means: a push goes by smaller chunks, or by one request a blob."""
        words = f"it takes no chunk of {size // MiB} MiB: {self._read(response)}"
        if not largest:
            await self.end()
            await self.push()  # a refused chunk may have ended the upload
            again = await self._refused(_SMALL) if self._location is not None else response
            if again is not None and again.status == 413:
                hint = "raise the limit of the proxy in front (client_max_body_size)"
                return failed(Refused(f"{words}, and none of 1 MiB either", hint=hint))
            if again is not None:
                return warn(words, "each blob goes in one request, which few registries can resume: --one-put")
            largest = _SMALL
        flag = f"--chunk-size {largest // MiB}MiB"
        taken = f"{largest // MiB} MiB are taken"
        return warn(words, f"raise the limit of the proxy in front (client_max_body_size), or give {flag}", taken)

    def _read(self, response: Response) -> RegistryResponse:
        return RegistryResponse.read(
            response.status, response.url, response.headers, response.body, now=self._there.client.transport.now()
        )
